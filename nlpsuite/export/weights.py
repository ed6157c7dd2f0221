"""Reading a checkpoint's weights for a graph: whatever can't be stored is refused with the weight's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint import Checkpoint

__all__ = ["encode_rows", "finite_tensor", "in_type"]

_PART = 1 << 22  # weights in float32 at once: 16 MB


def finite_tensor(checkpoint: Checkpoint, name: str) -> npt.NDArray[np.float32]:
    """A checkpoint's tensor.

    Raises:
        BundleCorruptError: a weight is not a finite number.
    """
    return _finite(checkpoint.tensor(name), name)


def _finite(weight: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    if not np.isfinite(weight).all():
        raise BundleCorruptError(
            f"{name} has weights that are not finite numbers.",
            hint="Copy, download or train the model again.",
        )
    return weight


def encode_rows(
    checkpoint: Checkpoint,
    name: str,
    encode: Callable[[npt.NDArray[np.float32], slice], Sequence[npt.NDArray[Any]]],
) -> list[npt.NDArray[Any]]:
    """A matrix encoded a part of its rows at a time, so that memory holds what it becomes but not its floats.

    Args:
        encode: turns rows in float32, and which they are, into arrays with these rows as their first axis.

    Returns:
        The arrays of all rows.

    Raises:
        BundleCorruptError: a weight is not a finite number.
    """
    rows, columns = dict(checkpoint.config.parameter_shapes())[name]
    step = max(1, _PART // columns)
    arrays: list[npt.NDArray[Any]] = []
    for at in range(0, rows, step):
        part = slice(at, min(rows, at + step))
        encoded = encode(_finite(checkpoint.rows(name, part), name), part)
        arrays = arrays or [np.empty((rows, *array.shape[1:]), array.dtype) for array in encoded]
        for whole, array in zip(arrays, encoded):
            whole[part] = array
    return arrays


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
