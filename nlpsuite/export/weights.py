"""Reading a checkpoint's weights for a graph: whatever can't be stored is refused with the weight's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint import Checkpoint

__all__ = ["finite_tensor", "in_type"]


def finite_tensor(checkpoint: Checkpoint, name: str) -> npt.NDArray[np.float32]:
    """A checkpoint's tensor.

    Raises:
        BundleCorruptError: a weight is not a finite number.
    """
    weight = checkpoint.tensor(name)
    if not np.isfinite(weight).all():
        raise BundleCorruptError(
            f"{name} has weights that are not finite numbers.",
            hint="Copy, download or train the model again.",
        )
    return weight


def in_type(
    weight: npt.NDArray[np.float32], name: str, dtype: npt.DTypeLike
) -> npt.NDArray[np.floating[Any]]:
    """A finite weight as float32 or float16.

    Raises:
        UnsupportedModelError: a weight is too large for float16.
    """
    with np.errstate(over="ignore"):
        array: npt.NDArray[np.floating[Any]] = weight.astype(dtype, copy=False)
    if not np.isfinite(array).all():
        raise UnsupportedModelError(f"{name} has weights too large for fp16.", hint="Use another precision.")
    return array
