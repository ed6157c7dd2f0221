"""Summarize a text: its own main sentences by default, or a text that the model writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
from nlpsuite.plugins import Columns, ends_as_sentence
from nlpsuite_summarize.candidates import UNSPACED, Candidate, content_words, find_candidates
from nlpsuite_summarize.ranking import Budget, choose

# Of an extract: most sentences, or items of a list, and words after which no other is added.
_BUDGETS = {"short": Budget(1, 1), "medium": Budget(4, 55), "long": Budget(8, 130)}
_ITEM_BUDGETS = {"short": Budget(2, 30), "medium": Budget(5, 70), "long": Budget(10, 150)}
# Words of a sentence that are scored, and the most characters: what follows is copied with near certainty.
_BEGINNING, _LONGEST_BEGINNING = 4, 48
# Of a generated summary: tokens after which it stops at the next sentence end, and the most it may take.
_LENGTHS = {"short": (12, 60), "medium": (45, 140), "long": (110, 280)}
_SIZES = {"short": "one sentence", "medium": "two or three sentences", "long": "a detailed paragraph"}
# What stands before a summary in the plain prompt.
_CUES = {"short": "TL;DR:", "medium": "Summary:", "long": "Detailed summary:"}
_WORD = re.compile(r"[^\W\d_]{2,}")
_LEAST_WORDS = 12  # of a text worth summarizing
_LONGEST_WORD = 40
_LEAST_SHARE = 0.3  # of a text's characters that are letters


@dataclass(frozen=True)
class Options(GenerationOptions):
    length: Literal["short", "medium", "long"] = option("medium", "Length of the summary.")
    style: Literal["paragraph", "bullets"] = option("paragraph", "Running text or a list of points.")
    method: Literal["extract", "abstract", "instruct", "free"] = option(
        "extract",
        "Choose sentences of the text (extract), or generate: by an adapted model (abstract), by instructions "
        "with a bias towards the text's words (instruct), or without it, for capable models (free).",
    )
    query: str = option("", "A question that the summary should answer.")


class Summarize(Task[Options]):
    name = "summarize"
    version = "2"
    options = Options
    long_input = "split"
    merging = "map_reduce"
    max_prompt_tokens = 2_000  # a small model loses the thread of longer texts
    streams = True
    prose = True
    named_adapters = ("abstract.safetensors",)  # of recipe/; exported/summarize.md is its card
    # How long a summary is and when it ends is in the data that an adapter learns from.
    adapter_options: ClassVar = {"method": "abstract", "length": "long"}
    capable_options: ClassVar = {"method": "free"}
    shots_options: ClassVar = {"method": "instruct"}
    template_options: ClassVar = {"method": "instruct"}
    columns = Columns(
        text=("text", "document", "source", "article"), reference=("summary", "target", "highlights")
    )
    metrics = ("rouge_l", "chrf")
    samples = (
        (
            "The ferry to Skarn sails again from Monday, eleven weeks after a storm broke the island's pier. "
            "Tickets cost as much as before.",
            "The ferry to Skarn sails again from Monday, eleven weeks after a storm broke the island's pier.",
        ),
        (
            "It was a long night. By 19 votes to 14 the council decided to close the outdoor pool and to sell the "
            "land on which it stands.",
            "By 19 votes to 14 the council decided to close the outdoor pool and to sell the land on which it stands.",
        ),
    )

    def without_model(self, record: Record, options: Options) -> Output | None:
        """A text too short to summarize, as it is.

        Raises:
            InputInvalidError: a longer text that isn't prose, such as a table of numbers; or one without
                sentences to choose from.
        """
        text = record.text.strip()
        words = [word for word in _WORD.findall(text) if len(word) <= _LONGEST_WORD]
        if len(words) + len(UNSPACED.findall(text)) // 2 >= _LEAST_WORDS:
            if sum(map(str.isalpha, text)) >= _LEAST_SHARE * len("".join(text.split())):
                if options.method == "extract" and not find_candidates(text):
                    raise InputInvalidError(
                        "The text has no sentences to choose from.",
                        hint="--method instruct lets the model write a summary, which may be wrong.",
                    )
                return None
        elif len(text.split()) < _LEAST_WORDS and len(text) < _LEAST_WORDS * _LONGEST_WORD:
            return Output(text, notices=("The text is too short to summarize, so it is returned as it is.",))
        raise InputInvalidError(
            "The text has too few words to summarize.",
            hint="Summaries are for prose; tables, numbers and codes can't be summarized.",
        )

    def prompt(self, record: Record, options: Options) -> Prompt:
        if options.method == "extract":
            return _extracting(record.text, options)
        # One paragraph in, one paragraph out: a copied passage would bring its line breaks along.
        text = " ".join(record.text.split())
        prompt = _plain(text, options) if options.method == "abstract" else _instructing(text, options)
        return options.apply(prompt)

    def parse(self, completion: Completion, record: Record, options: Options) -> Output:
        if completion.finish_reason == "choice":
            return _extract(completion, record.text, options)
        output = super().parse(completion, record, options)
        source, said = content_words(record.text), content_words(output.text)
        if said and source.isdisjoint(said):
            notice = "The summary shares no word with the text: it is most likely made up."
            return Output(output.text, notices=(notice,))
        return output

    def target(self, reference: str, record: Record, options: Options) -> str:
        if options.method == "extract":  # the sentence that tells most of the reference
            wanted = content_words(reference)
            candidates = find_candidates(record.text)
            best = max(candidates, key=lambda each: _f1(each.words, wanted), default=None)
            return _NOTHING if best is None else _beginning(best)
        if options.method == "abstract" and options.style == "paragraph":
            reference = " ".join(reference.split())
        return super().target(reference, record, options)


def _frame(text: str, options: Options) -> str:
    """The plain prompt, which an adapted model was trained on and sentences are scored behind."""
    if options.query:
        return f"Text: {text}\nQuestion: {options.query}\nAnswer:"
    # For an extract, the length decides how many sentences there are, not which are good.
    return f"Text: {text}\n{_CUES[options.length if options.method == 'abstract' else 'medium']}"


# Extracts: the beginnings of the candidates are the prompt's choices.

_NOTHING = " …"


def _extracting(text: str, options: Options) -> Prompt:
    choices = tuple(map(_beginning, find_candidates(text)))
    return Prompt(text=_frame(text.strip(), options), choices=choices or (_NOTHING,))


def _beginning(candidate: Candidate) -> str:
    return " " + " ".join(candidate.text.split()[:_BEGINNING])[:_LONGEST_BEGINNING]


def _extract(completion: Completion, text: str, options: Options) -> Output:
    bullets = options.style == "bullets"
    candidates = find_candidates(text)
    if len(candidates) != len(completion.logprobs):
        return Output("")
    budget = (_ITEM_BUDGETS if bullets else _BUDGETS)[options.length]
    chosen = choose(candidates, completion.logprobs, budget, content_words(options.query))
    summary = "\n".join(f"- {each}" for each in chosen) if bullets else _joined(chosen)
    unused = [field.name for field in fields(GenerationOptions) if getattr(options, field.name) is not None]
    notice = (
        f"No effect on sentences of the text: {', '.join(unused)}. --method instruct generates a summary."
    )
    return Output(summary, notices=(notice,) if unused else ())


def _joined(sentences: Sequence[str]) -> str:
    """Sentences as running text; an item of a list gets a full stop."""
    ended = [each if ends_as_sentence(each) else f"{each}." for each in sentences]
    return "".join(each if each[-1] in "。！？｡" else f"{each} " for each in ended).rstrip()


def _f1(words: frozenset[str], wanted: frozenset[str]) -> float:
    return 2 * len(words & wanted) / max(1, len(words) + len(wanted))


# Generated summaries.


def _plain(text: str, options: Options) -> Prompt:
    """The prompt of an adapted model, without a conversation around the text."""
    enough, most = _LENGTHS[options.length]
    bullets = options.style == "bullets"
    return Prompt(
        text=_frame(text, options),
        prefill=" -" if bullets else "",
        max_tokens=most,
        sentence_end_after=enough,
        stop=("\n\n",) if bullets else ("\n",),
        numbers_of=text,
    )


def _instructing(text: str, options: Options) -> Prompt:
    free = options.method == "free"
    enough, most = _LENGTHS[options.length]
    bullets = options.style == "bullets"
    form = "as a list of short bullet points" if bullets else f"in {_SIZES[options.length]}"
    asked = f", so that it answers this question: {options.query}" if options.query else "."
    return Prompt(
        messages=(
            Message("system", "You write short, faithful summaries. Use only facts from the text."),
            Message("user", f"Summarize the following text {form}{asked}\n\nText:\n{text}"),
        ),
        prefill="-" if bullets else "",
        max_tokens=most,
        # A capable model ends by itself. No model may write numbers that the text doesn't have.
        sentence_end_after=None if free else enough,
        numbers_of=text,
        # Without the bias a small model invents numbers and names (see dev/LOG.md).
        sampling=Sampling() if free else Sampling(repetition_penalty=1.05, copy_bias=3.0),
    )


@hookimpl
def nlpsuite_task() -> Summarize:
    return Summarize()
