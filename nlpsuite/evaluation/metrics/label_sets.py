"""Metrics of classifications that give a text several labels. All are fractions between 0 and 1.

Outputs and references are label sets as ``nlpsuite.data.labels.join_labels`` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nlpsuite.data.labels import split_label_set
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.lengths import check_references
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.tasks.result import Output

__all__ = ["LabelMacroF1", "LabelMicroF1", "label_macro_f1", "label_micro_f1"]


class LabelMicroF1(RowMetric):
    """The harmonic mean, 0 to 1, of precision and recall of all decisions for a label, of all labels together.

    Frequent labels weigh most. Columns: right, given and wanted, of each label that occurs in any row, in
    alphabetical order.
    """

    name: ClassVar[str] = "label_micro_f1"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, case="mixed", sets="yes", labels="occurring", zero="0")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        check_references(outputs, references, most=1)
        given = [set(split_label_set(output.answer)) for output in outputs]
        wanted = [set(split_label_set(row[0])) for row in references]
        labels = sorted(set().union(*given, *wanted))
        columns = [
            [
                [label in ours and label in theirs, label in ours, label in theirs]
                for ours, theirs in zip(given, wanted)
            ]
            for label in labels
        ]
        return np.concatenate(
            [np.array(column, np.float64) for column in columns] or [np.zeros((len(given), 3))], 1
        )

    def figure(self, sums: Statistics) -> Statistics:
        right, seen = sums[..., 0::3], sums[..., 1::3] + sums[..., 2::3]
        return ratio(2 * right.sum(axis=-1), seen.sum(axis=-1))

    def row_figures(self, rows: Statistics) -> Statistics:
        nothing = rows.sum(axis=-1) == 0  # no label, rightly
        return np.where(nothing, 1.0, LabelMicroF1.figure(self, rows))


class LabelMacroF1(LabelMicroF1):
    """The mean, 0 to 1, over all labels that occur, of the harmonic mean of precision and recall: every label has
    the same weight, however rare. Columns as ``LabelMicroF1``.
    """

    name: ClassVar[str] = "label_macro_f1"

    def figure(self, sums: Statistics) -> Statistics:
        right, seen = sums[..., 0::3], sums[..., 1::3] + sums[..., 2::3]
        return ratio(ratio(2 * right, seen).sum(axis=-1), (seen > 0).sum(axis=-1))


label_micro_f1 = LabelMicroF1()
label_macro_f1 = LabelMacroF1()
