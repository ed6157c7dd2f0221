"""How well keywords agree with those of a person."""

from __future__ import annotations

from collections.abc import Sequence

from nlpsuite.metrics.lengths import check_lengths

__all__ = ["keyword_scores"]


def keyword_scores(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1, 0 to 1, of the keywords as sets without regard to case: means over the texts.

    Two empty sets agree.

    Raises:
        InputInvalidError: none at all, or not as many references as outputs.
    """
    check_lengths(outputs, references)
    rows = [_scores(given, wanted) for given, wanted in zip(outputs, references)]
    return {
        name: sum(row[i] for row in rows) / len(rows) for i, name in enumerate(("precision", "recall", "f1"))
    }


def _scores(given: Sequence[str], wanted: Sequence[str]) -> tuple[float, float, float]:
    ours, theirs = ({word.casefold() for word in words} for words in (given, wanted))
    if not ours or not theirs:
        same = float(ours == theirs)
        return same, same, same
    right = len(ours & theirs)
    return right / len(ours), right / len(theirs), 2 * right / (len(ours) + len(theirs))
