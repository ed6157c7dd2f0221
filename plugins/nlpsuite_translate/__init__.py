"""Translate a text (experimental: the default model knows little but English)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nlpsuite import GenerationOptions, Message, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.plugins import Columns


@dataclass(frozen=True)
class Options(GenerationOptions):
    to: str = option("German", "language to translate into, by its English name")
    from_: str = option("English", "language of the text, by its English name")
    plain: bool = option(False, "ask without a conversation around the text, as an adapted model is asked")


class Translate(Task[Options]):
    name = "translate"
    options = Options
    long_input = "split"
    merging = "concat"
    max_prompt_tokens = 300  # about a paragraph; longer ones drift off the text
    streams = True
    # An adapter knows what it is to do: the plain prompt is half as long to read and to train on.
    adapter_options: ClassVar = {"plain": True}
    columns = Columns(text=("source", "en", "text"), reference=("target", "reference", "translation"))
    metrics = ("bleu", "chrf")

    def prompt(self, record: Record, options: Options) -> Prompt:
        text = record.text.strip()
        # Translations are about as long as their source; a token is at least a character.
        max_tokens = min(400, 24 + len(text))
        if options.plain:
            return options.apply(_plain(text, options, max_tokens))
        prompt = Prompt(
            messages=(
                Message(
                    "system",
                    f"You translate from {options.from_} to {options.to}. Answer with the translation only.",
                ),
                Message("user", f"{options.from_}: {text}\n{options.to}:"),
            ),
            max_tokens=max_tokens,
            sampling=Sampling(repetition_penalty=1.1),
        )
        return options.apply(prompt)

    def target(self, reference: str, record: Record, options: Options) -> str:
        return super().target(_line(reference) if options.plain else reference, record, options)


def _plain(text: str, options: Options, max_tokens: int) -> Prompt:
    # The frame has a line for each language, so the text must be one line as well.
    framed = f"{options.from_}: {_line(text)}\n{options.to}:"
    return Prompt(text=framed, max_tokens=max_tokens, stop=("\n",))


def _line(text: str) -> str:
    return " ".join(text.split())


@hookimpl
def nlpsuite_task() -> Translate:
    return Translate()
