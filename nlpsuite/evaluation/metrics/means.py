"""Metrics that are a mean over the rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nlpsuite.evaluation.metrics.base import RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_references
from nlpsuite.tasks.result import Output

__all__ = ["RowMean", "ratio"]


class RowMean(RowMetric):
    """The plain mean of a figure of each row. Columns: the figure, and 1."""

    @abstractmethod
    def row(self, output: Output, references: Sequence[str]) -> float:
        """The figure of one row, finite."""

    def check(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> None:
        """Raises InputInvalidError if the rows can't be measured."""
        check_references(outputs, references)

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        self.check(outputs, references)
        rows = np.ones((len(outputs), 2))
        for i, (output, wanted) in enumerate(zip(outputs, references)):
            rows[i, 0] = self.row(output, wanted)
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        return ratio(sums[..., 0], sums[..., 1])


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike, otherwise: float = 0.0) -> Statistics:
    """``part / whole``, and ``otherwise`` where the whole is not positive."""
    found: Statistics = np.full(np.shape(whole), otherwise)
    np.divide(part, whole, out=found, where=np.asarray(whole) > 0)
    return found
