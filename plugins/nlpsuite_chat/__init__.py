"""Talk with the model, in a dialogue or with a single question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nlpsuite import GenerationOptions, Message, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.plugins import Columns


@dataclass(frozen=True)
class Options(GenerationOptions):
    system: str = option(
        "You are a helpful assistant. Answer briefly and to the point.",
        "Instructions for the whole conversation.",
    )
    think: Literal["off", "hide", "show"] = option(
        "off", "Let a model that can think before it answers do so, and hide or show its thoughts."
    )


class Chat(Task[Options]):
    name = "chat"
    options = Options
    long_input = "error"
    streams = True
    conversational = True
    capable_options: ClassVar = {"repetition_penalty": 1.0}
    columns = Columns(
        text=("prompt", "instruction", "question", "text"),
        reference=("response", "completion", "output", "answer"),
        messages=("messages", "conversations"),
    )

    def prompt(self, record: Record, options: Options) -> Prompt:
        # A conversation may bring its own instructions, as files of examples do.
        own = bool(record.history) and record.history[0].role == "system"
        system = (Message("system", options.system),) if options.system and not own else ()
        prompt = Prompt(
            messages=(*system, *record.history, Message("user", record.text)),
            thinking=options.think,
            max_tokens=512 if options.think == "off" else 4_096,
            sampling=Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05),
        )
        return options.apply(prompt)


@hookimpl
def nlpsuite_task() -> Chat:
    return Chat()
