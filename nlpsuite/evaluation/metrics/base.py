"""What a metric is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite import __version__
from nlpsuite.evaluation.metrics.lengths import check_lengths

__all__ = ["Metric", "Prediction", "RowMetric", "Statistics", "signed"]

Statistics = npt.NDArray[np.float64]


class Metric(Protocol):
    """A figure of how good outputs are: what the hook ``nlpsuite_metric`` returns.

    Its docstring names the range and the source of the definition. More is better, unless a ``RowMetric``
    says otherwise: one that also tells how sure the figure is without computing it again and again.
    """

    def __call__(self, outputs: Sequence[str], references: Sequence[str], /) -> float:
        """The figure of outputs against a reference answer each.

        Raises:
            InputInvalidError: none at all, or not as many references as outputs.
        """


@dataclass(frozen=True)
class Prediction:
    """What a metric sees of an output.

    Attributes:
        text: of the output; for a classification, the label.
        probabilities: of every label; None where the output is no classification.
        data: further JSON values of the output.
    """

    text: str
    probabilities: Mapping[str, float] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class RowMetric(ABC):
    """A metric whose figure is a function of sums over the rows.

    BLEU is one of summed n-gram counts, accuracy of a count, macro F1 of a confusion matrix. So intervals and
    paired tests need no second look at the texts: a resample is a weighted sum of what ``statistics`` gave.

    Class attributes:
        name: as in ``Task.metrics``.
        scale: the largest figure, 1 or 100; inf where there is none.
        higher_is_better: False for error rates and perplexities.
        needs: what of a prediction it reads: "texts", "probabilities" or "data". Only one that reads texts
            can be called with them as a function.
    """

    name: ClassVar[str]
    scale: ClassVar[float] = 1.0
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "texts"

    @abstractmethod
    def signature(self, references: int | None = 1) -> str:
        """How exactly it is computed, in sacreBLEU's manner: ``key:value|key:value|version:…``.

        Args:
            references: how many each row has, as ``count_references`` says; None where that varies.
        """

    @abstractmethod
    def statistics(
        self, predictions: Sequence[Prediction], references: Sequence[Sequence[str]]
    ) -> Statistics:
        """What each row adds to the sums, (n, k).

        Columns that depend on the data, such as one for each label, are those of all rows given here: to
        compare two systems, both are given at once.

        Args:
            references: one or more for each prediction; a metric of "data" takes none as well.

        Raises:
            InputInvalidError: none at all, or not as many references as predictions; a row without a
                reference; or a prediction lacks what the metric needs, such as probabilities.
        """

    @abstractmethod
    def figure(self, sums: Statistics) -> Statistics:
        """The metric of summed statistics; (..., k) to (...). Of a single row's statistics it is that row's
        own figure. Never NaN.
        """

    def __call__(self, outputs: Sequence[str], references: Sequence[str]) -> float:
        check_lengths(outputs, references)
        rows = self.statistics([Prediction(text) for text in outputs], [[text] for text in references])
        return float(self.figure(rows.sum(axis=0)))


def signed(references: int | None, **parts: object) -> str:
    """A signature of our own metrics: of what ``parts`` say, in order, between the number of references and
    the version of nlpsuite.
    """
    parts = {
        "nrefs": "var" if references is None else references,
        **parts,
        "version": f"nlpsuite-{__version__}",
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())
