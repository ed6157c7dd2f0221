"""How sure a mean is: intervals by resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlpsuite.errors import InputInvalidError

__all__ = ["RESAMPLES", "Interval", "paired_interval"]

RESAMPLES = 2_000


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval.

    Attributes:
        mean: of the differences.
        low, high: ends of the interval.
        n: units that were drawn from.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """The interval does not contain 0."""
        return self.low > 0 or self.high < 0


def paired_interval(differences: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of paired differences and its 95 % interval: the percentile bootstrap (Efron 1979).

    Args:
        differences: one for each unit that was measured twice. What belongs together, such as
            measurements on one text, is to be averaged to one unit before.
        resamples: how often as many units are drawn with replacement.

    Raises:
        InputInvalidError: there is none, or one is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise InputInvalidError("An interval needs at least one difference, and finite ones.")
    drawn = np.random.default_rng(seed).integers(0, values.size, (resamples, values.size))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), int(values.size))
