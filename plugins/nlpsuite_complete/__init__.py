"""Continue code (or any text) from where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from nlpsuite import GenerationOptions, Prompt, Record, Task, hookimpl, option
from nlpsuite.plugins import Columns


@dataclass(frozen=True)
class Options(GenerationOptions):
    stop: str = option("\n```", "End the completion before this text.")


class Complete(Task[Options]):
    name = "complete"
    options = Options
    long_input = "window"
    max_prompt_tokens = 2_000  # what matters is near the cursor, and reading takes time
    streams = True
    strips = False  # white space is part of code
    columns = Columns(text=("text", "prompt"), reference=("completion", "canonical_solution"))

    def prompt(self, record: Record, options: Options) -> Prompt:
        prompt = Prompt(
            text=record.text,
            max_tokens=96,
            stop=(options.stop,) if options.stop else (),
        )
        return options.apply(prompt)


@hookimpl
def nlpsuite_task() -> Complete:
    return Complete()
