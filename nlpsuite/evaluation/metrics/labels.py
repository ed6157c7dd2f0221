"""Metrics of classifications. All are fractions between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.lengths import check_references
from nlpsuite.evaluation.metrics.means import RowMean, ratio
from nlpsuite.tasks.result import Output

__all__ = ["Accuracy", "MacroF1", "accuracy", "macro_f1"]

_MOST_CELLS = 2**28  # 2 GiB of float64


class Accuracy(RowMean):
    """The fraction of outputs, 0 to 1, that equal a reference of theirs."""

    name: ClassVar[str] = "accuracy"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, case="mixed", strip="no")

    def row(self, output: Output, references: Sequence[str]) -> float:
        return float(output.answer in references)


class MacroF1(RowMetric):
    """The mean, 0 to 1, over all labels that occur, of the harmonic mean of precision and recall.

    Every label has the same weight, however rare; one that is never right counts 0, as in
    scikit-learn's ``f1_score(average="macro")``. Columns: right, given and wanted, of each label that occurs
    in any row, in alphabetical order. A resample without a label is measured without it.
    """

    name: ClassVar[str] = "macro_f1"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, case="mixed", strip="no", labels="occurring", zero="0")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        check_references(outputs, references, most=1)
        given, wanted = [output.answer for output in outputs], [row[0] for row in references]
        labels = sorted({*given, *wanted})
        if 3 * len(labels) * len(given) > _MOST_CELLS:
            raise InputInvalidError(
                f"There are {len(labels):,} different labels in {len(given):,} rows: too many for macro F1.",
                hint="Name the column of labels, or evaluate with a metric of texts.",
            )
        place = {label: 3 * i for i, label in enumerate(labels)}
        every = np.arange(len(given))
        ours, theirs = np.array([place[a] for a in given]), np.array([place[b] for b in wanted])
        rows = np.zeros((len(given), 3 * len(labels)))
        rows[every, ours] = ours == theirs
        rows[every, ours + 1] = 1
        rows[every, theirs + 2] = 1
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        right, seen = sums[..., 0::3], sums[..., 1::3] + sums[..., 2::3]
        # 2 · right / (given + wanted) is the harmonic mean of right / given and right / wanted.
        return ratio(ratio(2 * right, seen).sum(axis=-1), (seen > 0).sum(axis=-1))


accuracy = Accuracy()
macro_f1 = MacroF1()
