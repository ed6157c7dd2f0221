"""Exact match and edit similarity of generated texts and their references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nlpsuite.evaluation.metrics.alignment import edit_distance
from nlpsuite.evaluation.metrics.base import signed
from nlpsuite.evaluation.metrics.means import RowMean
from nlpsuite.tasks.result import Output

__all__ = ["MOST_CHARACTERS", "EditSimilarity", "ExactMatch", "edit_similarity", "exact_match"]

# Of each text; what follows them is not read. Two texts of so many characters take a second.
MOST_CHARACTERS = 65_536


class ExactMatch(RowMean):
    """The fraction, 0 to 1, of outputs that equal a reference of theirs but for white space around them."""

    name: ClassVar[str] = "exact_match"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, multi="best", case="mixed", strip="yes")

    def row(self, output: Output, references: Sequence[str]) -> float:
        return float(output.answer.strip() in (reference.strip() for reference in references))


class EditSimilarity(RowMean):
    """The mean, 0 to 1, of 1 − Levenshtein distance / characters of the longer text, but for white space
    around them: how RepoBench (Liu et al. 2023, arXiv:2306.03091) and others define the edit similarity of
    completed code.

    Their scripts, and CodeXGLUE's, take ``fuzz.ratio`` of the package fuzzywuzzy in its place, in whole
    hundredths and with a replaced character as two edits: those figures aren't comparable with these. Two
    empty texts are equal.
    """

    name: ClassVar[str] = "edit_similarity"

    def signature(self, references: int | None = 1) -> str:
        return signed(
            references, multi="best", case="mixed", strip="yes", unit="character", norm="longest", cap=MOST_CHARACTERS
        )  # fmt: skip

    def row(self, output: Output, references: Sequence[str]) -> float:
        answer = output.answer.strip()[:MOST_CHARACTERS]
        return max(_similarity(answer, text.strip()[:MOST_CHARACTERS]) for text in references)


def _similarity(a: str, b: str) -> float:
    longest = max(len(a), len(b))
    return 1 - edit_distance(a, b) / longest if longest else 1.0


exact_match = ExactMatch()
edit_similarity = EditSimilarity()
