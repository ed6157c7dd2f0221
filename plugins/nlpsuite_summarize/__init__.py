"""Summarize a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from nlpsuite import (
    Completion,
    GenerationOptions,
    Message,
    Output,
    Prompt,
    Record,
    Sampling,
    Task,
    hookimpl,
    option,
)
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import Columns

# Tokens after which a summary stops at the next sentence end, and the most it may take.
_LENGTHS = {"short": (12, 60), "medium": (45, 140), "long": (110, 280)}
_SIZES = {"short": "one sentence", "medium": "two or three sentences", "long": "a detailed paragraph"}
# What stands before a summary in the plain prompt.
_CUES = {"short": "TL;DR:", "medium": "Summary:", "long": "Detailed summary:"}
_WORD = re.compile(r"[^\W\d_]{2,}")
# Words of scripts that put no spaces between them are counted by their characters.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# The model makes up a page about a text of fewer words.
_LEAST_WORDS = 12
_LONGEST_WORD = 40
_LEAST_SHARE = 0.3  # of a text's characters that are letters


@dataclass(frozen=True)
class Options(GenerationOptions):
    length: Literal["short", "medium", "long"] = option("medium", "Length of the summary.")
    style: Literal["paragraph", "bullets"] = option("paragraph", "Running text or a list of points.")
    plain: bool = option(False, "Prompt without a conversation around the text, as for an adapted model.")


class Summarize(Task[Options]):
    name = "summarize"
    options = Options
    long_input = "split"
    merging = "map_reduce"
    max_prompt_tokens = 2_000  # a small model loses the thread of longer texts
    streams = True
    prose = True
    # How long a summary is and when it ends is in the data that an adapter learns from.
    adapter_options: ClassVar = {"plain": True, "length": "long"}
    columns = Columns(
        text=("text", "document", "source", "article"), reference=("summary", "target", "highlights")
    )
    metrics = ("rouge_l", "chrf")

    def without_model(self, record: Record, options: Options) -> Output | None:
        """A text too short to summarize, as it is.

        Raises:
            InputInvalidError: a longer text that isn't prose, such as a table of numbers.
        """
        text = record.text.strip()
        words = [word for word in _WORD.findall(text) if len(word) <= _LONGEST_WORD]
        if len(words) + len(_UNSPACED.findall(text)) // 2 >= _LEAST_WORDS:
            if sum(map(str.isalpha, text)) >= _LEAST_SHARE * len("".join(text.split())):
                return None
        elif len(text.split()) < _LEAST_WORDS and len(text) < _LEAST_WORDS * _LONGEST_WORD:
            return Output(text, notices=("The text is too short to summarize, so it is returned as it is.",))
        raise InputInvalidError(
            "The text has too few words to summarize.",
            hint="Summaries are for prose; tables, numbers and codes can't be summarized.",
        )

    def prompt(self, record: Record, options: Options) -> Prompt:
        enough, most = _LENGTHS[options.length]
        bullets = options.style == "bullets"
        form = "as a list of short bullet points" if bullets else f"in {_SIZES[options.length]}"
        # One paragraph in, one paragraph out: a copied passage would bring its line breaks along.
        text = " ".join(record.text.split())
        if options.plain:
            plain = Prompt(
                text=f"Text: {text}\n{_CUES[options.length]}",
                prefill=" -" if bullets else "",
                max_tokens=most,
                sentence_end_after=enough,
                stop=("\n\n",) if bullets else ("\n",),
            )
            return options.apply(plain)
        prompt = Prompt(
            messages=(
                Message("system", "You write short, faithful summaries. Use only facts from the text."),
                Message("user", f"Summarize the following text {form}.\n\nText:\n{text}"),
            ),
            prefill="-" if bullets else "",
            max_tokens=most,
            sentence_end_after=enough,
            # Without the bias this model invents numbers and names (see dev/LOG.md).
            sampling=Sampling(repetition_penalty=1.05, copy_bias=3.0),
        )
        return options.apply(prompt)

    def parse(self, completion: Completion, record: Record, options: Options) -> Output:
        output = super().parse(completion, record, options)
        source, said = _content_words(record.text), _content_words(output.text)
        if said and source.isdisjoint(said):
            notice = "The summary shares no word with the text: it is most likely made up."
            return Output(output.text, notices=(notice,))
        return output

    def target(self, reference: str, record: Record, options: Options) -> str:
        if options.plain and options.style == "paragraph":
            reference = " ".join(reference.split())
        return super().target(reference, record, options)


def _content_words(text: str) -> set[str]:
    """Words of four letters or more, by their beginning, and single characters of unspaced scripts."""
    words = {word[:5].casefold() for word in _WORD.findall(text) if len(word) > 3}
    return words | set(_UNSPACED.findall(text))


@hookimpl
def nlpsuite_task() -> Summarize:
    return Summarize()
