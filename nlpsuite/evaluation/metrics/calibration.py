"""How far a classifier's probabilities can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.lengths import check_references
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.tasks.result import Output

__all__ = ["BINS", "Bin", "CalibrationError", "ece", "reliability"]

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Rows whose label was given with a probability above ``low`` and at most ``high``.

    Attributes:
        n: rows.
        confidence: the mean of their labels' probabilities; 0 where there are none.
        accuracy: the fraction that was right; 0 where there are none.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class CalibrationError(RowMetric):
    """The expected calibration error, 0 to 1, lower is better: how far the probability of the most likely
    label is from the fraction that is right, the mean over 15 bins of equal width weighed by their rows
    (Guo et al. 2017, arXiv:1706.04599).

    Columns: right less probability, in each bin, and 1. With few rows it is too high: random
    differences within the bins don't cancel.
    """

    name: ClassVar[str] = "ece"
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "probabilities"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, bins=BINS, width="equal", confidence="top", norm="l1")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        bins, confidence, right = _top(outputs, references)
        rows = np.zeros((len(bins), BINS + 1))
        rows[np.arange(len(bins)), bins] = right - confidence
        rows[:, BINS] = 1
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        return ratio(np.abs(sums[..., :BINS]).sum(axis=-1), sums[..., BINS])


def reliability(outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> list[Bin]:
    """The bins of the expected calibration error, for a reliability diagram.

    Raises:
        InputInvalidError: as for the metric.
    """
    bins, confidence, right = _top(outputs, references)
    counts = np.bincount(bins, minlength=BINS)
    sure, correct = (ratio(np.bincount(bins, each, minlength=BINS), counts) for each in (confidence, right))
    return [
        Bin(i / BINS, (i + 1) / BINS, int(counts[i]), float(sure[i]), float(correct[i])) for i in range(BINS)
    ]


def _top(
    outputs: Sequence[Output], references: Sequence[Sequence[str]]
) -> tuple[npt.NDArray[np.int64], Statistics, Statistics]:
    """Of each row: the bin, the probability of the most likely label, and whether that is right; (n,) each."""
    check_references(outputs, references)
    confidence, right = np.zeros(len(outputs)), np.zeros(len(outputs))
    for i, (output, wanted) in enumerate(zip(outputs, references)):
        if not output.probabilities:
            raise InputInvalidError(
                f"The calibration error needs the probability of every label, and row {i + 1:,} has none.",
                hint="Evaluate a classification, with its probabilities.",
            )
        label, probability = max(output.probabilities.items(), key=lambda item: item[1])
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise InputInvalidError(
                f"Row {i + 1:,} gives {label!r} the probability {probability}.",
                hint="Probabilities are between 0 and 1.",
            )
        confidence[i], right[i] = probability, label in wanted
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return bins, confidence, right


ece = CalibrationError()
