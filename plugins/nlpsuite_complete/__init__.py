"""Continue code (or any text) from where it ends, or fill a gap in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nlpsuite import GenerationOptions, Prompt, Record, Task, hookimpl, option
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Columns
from nlpsuite_complete.ends import Unit, find_boundary

# Of the text behind the gap; more of it costs time and says little.
_MOST_SUFFIX = 1_500


@dataclass(frozen=True)
class Options(GenerationOptions):
    suffix: str = option(
        "",
        f"Text behind the gap to fill, of which the first {_MOST_SUFFIX:,} characters are used.",
        file=True,
    )
    line: bool = option(False, "End with the line, or with the statement if it goes on in the next one.")
    block: bool = option(False, "End with the block of code, before a line with less indentation.")
    stop: str = option("\n```", "End the completion before this text.")
    sentinels: bool = option(
        False,
        "Let the model read the suffix, marked by control tokens; for adapted models and models for code.",
    )

    def __post_init__(self) -> None:
        if self.line and self.block:
            raise OptionError("A completion can't end with both the line and the block.", hint="Choose one.")

    @property
    def unit(self) -> Unit | None:
        """What is completed; None for as much as the model writes."""
        return "line" if self.line else "block" if self.block else None


class Complete(Task[Options]):
    name = "complete"
    version = "2"
    options = Options
    long_input = "window"
    max_prompt_tokens = 2_000  # what matters is near the cursor, and reading takes time
    streams = True
    strips = False  # white space is part of code
    # Of recipe/, for Python; exported/complete.md is its card. It isn't the default, since it knows only code.
    named_adapters = ("python.safetensors",)
    adapter_options: ClassVar = {"sentinels": True}
    columns = Columns(text=("text", "prompt"), reference=("completion", "canonical_solution"))

    def prompt(self, record: Record, options: Options) -> Prompt:
        prompt = Prompt(
            text=record.text,
            suffix=options.suffix[:_MOST_SUFFIX] if options.sentinels else "",
            max_tokens=96,
            stop=(options.stop,) if options.stop else (),
            boundary=find_boundary(record.text, options.suffix, options.unit),
        )
        return options.apply(prompt)


@hookimpl
def nlpsuite_task() -> Complete:
    return Complete()
