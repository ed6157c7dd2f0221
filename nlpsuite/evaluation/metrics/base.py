"""The contract of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite import __version__
from nlpsuite.evaluation.metrics.lengths import check_lengths
from nlpsuite.tasks.result import Output

__all__ = ["Metric", "RowMetric", "Statistics", "signed"]

Statistics = npt.NDArray[np.float64]


class Metric(Protocol):
    """A measure of how good outputs are: what the hook ``nlpsuite_metric`` returns.

    Its docstring names the range and the source of the definition. Higher is better, unless a ``RowMetric``
    says otherwise, which also makes intervals cheap.
    """

    def __call__(self, outputs: Sequence[str], references: Sequence[str], /) -> float:
        """The metric of outputs against one reference answer each.

        Raises:
            InputInvalidError: there are none, or not as many references as outputs.
        """


class RowMetric(ABC):
    """A metric that is a function of sums over the rows.

    BLEU is a function of summed n-gram counts, accuracy of a count, macro F1 of a confusion matrix. So intervals
    and paired tests never look at the texts again: a resample is a weighted sum of what ``statistics`` returned.

    Class attributes:
        name: as in ``Task.metrics``.
        scale: the largest value, 1 or 100; inf where there is none.
        higher_is_better: False for error rates and perplexities.
        needs: what it reads: "texts", "probabilities" or "data" of an output, or "source", its text and the text
            that it was made from, which then takes the place of the references. Only a metric of "texts" or
            "source" can be called with texts as a function.
    """

    name: ClassVar[str]
    scale: ClassVar[float] = 1.0
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "texts"

    @abstractmethod
    def signature(self, references: int | None = 1) -> str:
        """How exactly it is computed, in sacreBLEU's format: ``key:value|key:value|version:…``.

        Args:
            references: how many each row has, as ``count_references`` says; None where that varies.
        """

    @abstractmethod
    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        """What each row adds to the sums, (n, k).

        Columns that depend on the data, such as one for each label, are those of all rows of the call: to
        compare two systems, pass the rows of both at once.

        Args:
            references: one or more for each output; none for a metric of "data", the source for one of "source".

        Raises:
            InputInvalidError: there are no rows, or not as many references as outputs; a row has no
                reference; or an output lacks what the metric needs, such as probabilities.
        """

    @abstractmethod
    def figure(self, sums: Statistics) -> Statistics:
        """The metric of summed statistics; (..., k) to (...). Never NaN."""

    def row_figures(self, rows: Statistics) -> Statistics:
        """The metric of each row by itself, from its statistics; (n, k) to (n,)."""
        return self.figure(rows)

    def for_references(self, references: Sequence[Sequence[str]]) -> RowMetric:
        """The form of this metric that suits the references, such as their language."""
        return self

    def notice(self, sums: Statistics) -> str:
        """What a reader of the figure should know; usually nothing."""
        return ""

    def __call__(self, outputs: Sequence[str], references: Sequence[str]) -> float:
        check_lengths(outputs, references)
        wanted = [[text] for text in references]
        metric = self.for_references(wanted)
        rows = metric.statistics([Output(text) for text in outputs], wanted)
        return float(metric.figure(rows.sum(axis=0)))


def signed(references: int | None, **parts: object) -> str:
    """The signature of one of our own metrics: the number of references, ``parts`` in order, and the version of
    nlpsuite.
    """
    parts = {
        "nrefs": "var" if references is None else references,
        **parts,
        "version": f"nlpsuite-{__version__}",
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())
