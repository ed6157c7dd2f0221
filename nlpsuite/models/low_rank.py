"""Pairs of low-rank matrices of different ranks and scales, brought to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Pair", "same_rank"]

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""A (rank, inputs) and B (outputs, rank)."""


def same_rank(pairs: Mapping[str, Pair], scales: Mapping[str, float], scale: float) -> dict[str, Pair]:
    """The pairs with the largest rank of any and one scale: the same changes of the weights.

    Args:
        scales: factor of B A by name.
        scale: the common factor, not 0.
    """
    rank = max(len(a) for a, _ in pairs.values())
    found = {}
    for name, (a, b) in pairs.items():
        missing = rank - len(a)
        if missing:
            a, b = np.pad(a, ((0, missing), (0, 0))), np.pad(b, ((0, 0), (0, missing)))
        factor = scales[name] / scale
        found[name] = (a, b if factor == 1 else b.astype(np.float32) * np.float32(factor))
    return found
