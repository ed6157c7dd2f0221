"""Translate a text: with the default model between English and German, French or Spanish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nlpsuite import GenerationOptions, Message, Output, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Columns, Piece, guess_language, split_sentences
from nlpsuite_translate.languages import english_name, parse_pairs
from nlpsuite_translate.layout import translatable

_AUTO = "auto"


@dataclass(frozen=True)
class Options(GenerationOptions):
    to: str = option("German", "Language to translate into: an English or native name, or an ISO 639-1 code.")
    from_: str = option("English", "Language of the text: a name or a code; auto recognizes it.")
    plain: bool = option(False, "Prompt without a conversation around the text, as for an adapted model.")
    pairs: str = option("", "Pairs that the model was trained for, such as en-de,de-en; others are refused.")

    def __post_init__(self) -> None:
        """Turn the languages into their English names. Raises OptionError for an unknown one."""
        object.__setattr__(self, "to", english_name(self.to, "to"))
        auto = self.from_.strip().casefold() == _AUTO
        object.__setattr__(self, "from_", _AUTO if auto else english_name(self.from_, "from"))
        if not auto or self.sources == ():
            self.check(self.from_)

    @property
    def sources(self) -> tuple[str, ...] | None:
        """Languages that the model translates from into ``to``; None if that isn't known."""
        pairs = parse_pairs(self.pairs)
        return tuple(source for source, target in pairs if target == self.to) if pairs else None

    def check(self, source: str) -> None:
        """Raises OptionError if the model can't translate from a language."""
        if self.sources is None or source in self.sources:
            return
        known = ", ".join(f"{one} to {other}" for one, other in parse_pairs(self.pairs))
        what = f"into {self.to}" if source == _AUTO else f"from {source} to {self.to}"
        raise OptionError(
            f"The model does not translate {what}.",
            hint=f"It was trained for {known}. Give --to or --from, or another model with --model.",
        )

    def source_of(self, text: str) -> str:
        """The language of a text.

        Raises:
            OptionError: it is one that the model can't translate from, or can't be recognized.
        """
        if self.from_ != _AUTO:
            return self.from_
        languages = {language for pair in parse_pairs(self.pairs) for language in pair}
        found = guess_language(text, languages)
        if found is None and (self.sources is None or "English" in self.sources):
            found = "English"
        if found is None and self.sources and len(self.sources) == 1:
            [found] = self.sources
        if found is None:
            raise OptionError(
                "The language of the text can't be recognized.",
                hint=f"Give it with --from: {', '.join(self.sources or ())}.",
            )
        if found == self.to:
            raise OptionError(
                f"The text seems to be {found} already.",
                hint="Give the language to translate into with --to, or that of the text with --from.",
            )
        self.check(found)
        return found


@dataclass(frozen=True)
class SourcePiece(Piece):
    """A line or sentence, and the language that the whole text is in."""

    language: str = ""


class Translate(Task[Options]):
    name = "translate"
    version = "3"
    options = Options
    long_input = "split"
    merging = "concat"
    max_prompt_tokens = 300  # about a paragraph; longer ones drift off the text
    streams = True
    prose = True
    adapter = "adapter.safetensors"  # of recipe/; exported/translate.md is its card
    # An adapter needs no instructions: the plain prompt is half as long to read and to train on.
    adapter_options: ClassVar = {"plain": True}
    capable_options: ClassVar = {"repetition_penalty": 1.0}  # names and numbers may come twice
    columns = Columns(text=("source", "en", "text"), reference=("target", "reference", "translation"))
    metrics = ("bleu", "chrf")

    def divide(self, record: Record, options: Options) -> Sequence[Piece]:
        """A piece for each line with words, so that lists, blank lines and subtitles stay as they are.

        An adapted model has learned from sentences, so its pieces are sentences.
        """
        text = record.text.strip()
        spans = list(translatable(text))
        language = options.source_of(text) if spans else ""  # without words there is none to recognize
        if options.plain:
            spans = [
                (start + sentence.start, start + sentence.end)
                for start, end in spans
                for sentence in split_sentences(text[start:end])
            ]
        ends = [start for start, _ in spans[1:]] + [len(text)]
        return [
            SourcePiece(
                text[start:end],
                before="" if i else text[:start],
                separator=text[end : ends[i]],
                language=language,
            )
            for i, (start, end) in enumerate(spans)
        ]

    def without_model(self, record: Record, options: Options) -> Output | None:
        if any(letter.isalpha() for letter in record.text) or not record.text.strip():
            return None
        return Output(record.text.strip(), notices=("The text has no words to translate.",))

    def prompt(self, record: Record, options: Options) -> Prompt:
        text = record.text.strip()
        source = record.language if isinstance(record, SourcePiece) else options.source_of(text)
        # Translations are about as long as their source; a token is at least a character.
        max_tokens = min(400, 24 + len(text))
        if options.plain:
            # The frame has a line for each language, so the text must be one line as well.
            framed = f"{source}: {_line(text)}\n{options.to}:"
            return options.apply(Prompt(text=framed, max_tokens=max_tokens, stop=("\n",)))
        prompt = Prompt(
            messages=(
                Message(
                    "system",
                    f"You translate from {source} to {options.to}. Answer with the translation only.",
                ),
                Message("user", f"{source}: {text}\n{options.to}:"),
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
