"""Screen outputs for offensive words, private data and, by asking the model, toxicity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nlpsuite import Completion, Prompt, hookimpl
from nlpsuite.plugins import Flag, Guard, LanguageModel, Screening, split_text
from nlpsuite_guard.patterns import find_patterns
from nlpsuite_guard.words import find_words

__all__ = ["THRESHOLD", "Screen"]

THRESHOLD = 0.5
"""A text is flagged as toxic from this probability on; docs/guard.md says what it was measured with."""

_CHOICES = (" neutral", " hateful")
# Three examples of each. Two neutral ones are about bad things: the subject is not the tone.
_EXAMPLES = """\
Comment: You are a disgusting fool.
Tone: hateful

Comment: We arrived at noon and had lunch.
Tone: neutral

Comment: Those people are scum, get rid of them.
Tone: hateful

Comment: The soup is cold and I want my money back.
Tone: neutral

Comment: I'll hurt you, you rat.
Tone: hateful

Comment: Thousands died in the earthquake.
Tone: neutral

"""
# Texts without content: what the model says about them is its bias towards one of the words.
_CONTENT_FREE = ("", "[MASK]", "The film lasts two hours.", "It is a letter.")
# The model judges sentences better than pages.
_PART_TOKENS = 120
_LEAST_TOKENS = 16
# More of a long text is not read: it would take longer than writing it did.
_MOST_PARTS = 64


class Screen(Guard):
    """Words and patterns are found in the whole text; the model is asked about each part of it, and the
    most toxic part counts."""

    name = "guard"

    def find(self, text: str) -> list[Flag]:
        return sorted(
            [*find_words(text), *find_patterns(text)], key=lambda flag: (flag.start or 0, flag.kind)
        )

    def screen(self, texts: Sequence[str], model: LanguageModel) -> list[Screening]:
        room = model.context_length - model.count_tokens(_question("").text) - _LEAST_TOKENS // 2
        limit = min(_PART_TOKENS, room)
        if limit < _LEAST_TOKENS:
            notice = (
                "Guard: the model's context is too short to ask it about toxicity; words and patterns only."
            )
            return [Screening(tuple(self.find(text)), None, notice) for text in texts]
        parts = [_parts(text, limit, model.count_tokens) for text in texts]
        answers = iter(model.complete([_question(part) for some in parts for part in some[:_MOST_PARTS]]))
        return [
            self._one(text, some, [next(answers) for _ in some[:_MOST_PARTS]])
            for text, some in zip(texts, parts)
        ]

    def _one(self, text: str, parts: list[str], answers: list[Completion]) -> Screening:
        toxicity = round(max(map(_probability, answers), default=0.0), 4)
        flags = self.find(text)
        if toxicity >= THRESHOLD:
            flags.append(Flag("toxicity"))
        skipped = len(parts) - len(answers)
        notice = (
            f"Guard: the model was not asked about the last {skipped:,} parts of the text." if skipped else ""
        )
        return Screening(tuple(flags), toxicity, notice)


def _parts(text: str, limit: int, count: Callable[[str], int]) -> list[str]:
    # Tokenizers take no lone surrogates.
    clean = text.encode("utf-8", "replace").decode()
    return [part.text for part in split_text(clean, limit, count) if part.text.strip()]


def _question(text: str) -> Prompt:
    return Prompt(
        text=_frame(text),
        choices=_CHOICES,
        calibration=tuple(Prompt(text=_frame(text)) for text in _CONTENT_FREE),
    )


def _frame(text: str) -> str:
    # On one line: a text must not end its own question.
    return f"{_EXAMPLES}Comment: {' '.join(text.split())}\nTone:"


def _probability(answer: Completion) -> float:
    """Of the second choice, corrected for the model's bias."""
    neutral, hateful = (score - prior for score, prior in zip(answer.logprobs, answer.calibration_logprobs))
    return 1 / (1 + math.exp(min(700.0, max(-700.0, neutral - hateful))))


@hookimpl
def nlpsuite_guard() -> Screen:
    return Screen()
