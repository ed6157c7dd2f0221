"""Metrics of classifications. All are fractions between 0 and 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nlpsuite.metrics.lengths import check_lengths

__all__ = ["accuracy", "macro_f1"]


def accuracy(outputs: Sequence[str], references: Sequence[str]) -> float:
    """The fraction of outputs that equal their reference. Raises InputInvalidError; see ``check_lengths``."""
    check_lengths(outputs, references)
    return sum(a == b for a, b in zip(outputs, references)) / len(references)


def macro_f1(outputs: Sequence[str], references: Sequence[str]) -> float:
    """The mean, over all labels that occur, of the harmonic mean of precision and recall.

    Every label counts the same, however rare; one that is given and never right counts 0, as in
    scikit-learn's ``f1_score(average="macro")``. Raises InputInvalidError; see ``check_lengths``.
    """
    check_lengths(outputs, references)
    right = Counter(a for a, b in zip(outputs, references) if a == b)
    given, wanted = Counter(outputs), Counter(references)
    labels = given.keys() | wanted.keys()
    # 2 · right / (given + wanted) is the harmonic mean of right / given and right / wanted.
    return sum(2 * right[label] / (given[label] + wanted[label]) for label in sorted(labels)) / len(labels)
