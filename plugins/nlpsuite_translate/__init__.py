"""Translate a text, line by line (experimental: the default model knows little but English)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nlpsuite import GenerationOptions, Message, Output, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.plugins import Columns, Piece
from nlpsuite_translate.languages import english_name
from nlpsuite_translate.layout import translatable


@dataclass(frozen=True)
class Options(GenerationOptions):
    to: str = option("German", "Language to translate into: an English or native name, or an ISO 639-1 code.")
    from_: str = option("English", "Language of the text: an English or native name, or an ISO 639-1 code.")
    plain: bool = option(False, "Prompt without a conversation around the text, as for an adapted model.")

    def __post_init__(self) -> None:
        """Turn the languages into their English names. Raises OptionError for an unknown one."""
        object.__setattr__(self, "to", english_name(self.to, "to"))
        object.__setattr__(self, "from_", english_name(self.from_, "from"))


class Translate(Task[Options]):
    name = "translate"
    version = "2"
    options = Options
    long_input = "split"
    merging = "concat"
    max_prompt_tokens = 300  # about a paragraph; longer ones drift off the text
    streams = True
    prose = True
    # An adapter needs no instructions: the plain prompt is half as long to read and to train on.
    adapter_options: ClassVar = {"plain": True}
    columns = Columns(text=("source", "en", "text"), reference=("target", "reference", "translation"))
    metrics = ("bleu", "chrf")

    def divide(self, record: Record, options: Options) -> Sequence[Piece]:
        """A piece for each line with words, so that lists, blank lines and subtitles stay as they are."""
        text = record.text.strip()
        spans = list(translatable(text))
        ends = [start for start, _ in spans[1:]] + [len(text)]
        return [
            Piece(
                text[start:end],
                before="" if i else text[:start],
                separator=text[end : ends[i]],
            )
            for i, (start, end) in enumerate(spans)
        ]

    def without_model(self, record: Record, options: Options) -> Output | None:
        if any(letter.isalpha() for letter in record.text) or not record.text.strip():
            return None
        return Output(record.text.strip(), notices=("The text has no words to translate.",))

    def prompt(self, record: Record, options: Options) -> Prompt:
        text = record.text.strip()
        # Translations are about as long as their source; a token is at least a character.
        max_tokens = min(400, 24 + len(text))
        if options.plain:
            # The frame has a line for each language, so the text must be one line as well.
            framed = f"{options.from_}: {_line(text)}\n{options.to}:"
            return options.apply(Prompt(text=framed, max_tokens=max_tokens, stop=("\n",)))
        prompt = Prompt(
            messages=(
                Message(
                    "system",
                    f"You translate from {options.from_} to {options.to}. Answer with the translation only.",
                ),
                Message("user", f"{options.from_}: {text}\n{options.to}:"),
            ),
            max_tokens=max_tokens,
            stop=() if "\n" in text else ("\n",),  # a line stays a line
            sampling=Sampling(repetition_penalty=1.1),
        )
        return options.apply(prompt)

    def target(self, reference: str, record: Record, options: Options) -> str:
        return super().target(_line(reference) if options.plain else reference, record, options)


def _line(text: str) -> str:
    return " ".join(text.split())


@hookimpl
def nlpsuite_task() -> Translate:
    return Translate()
