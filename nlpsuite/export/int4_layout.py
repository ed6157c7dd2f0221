"""4-bit blocks as onnxruntime's ``MatMulNBits`` reads them, scale and minimum exact.

The operator knows ``(level - zero point) * scale``. Its fast CPU kernels take zero points of 4 bits
only (with float ones, which it accepts too, one token took 65 times as long on 1536 × 576 weights),
so a block's minimum, ``-zero point * scale``, would be off by up to half a scale: as large an error
as that of 4 bits itself (perplexity of the default model: +18 % with any rounding).

The difference, a constant per block times the sum of the block's inputs, is added exactly: the inputs
get the sums of their blocks as further columns, and the weights get the constants as further 4-bit
blocks. That makes the weights 3 to 6 % larger and decoding 3 to 5 µs slower for each input that
has sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.export.quantize import BLOCK, Int4Blocks

__all__ = ["MatMulInt4", "matmul_int4"]


class MatMulInt4(NamedTuple):
    """The inputs of ``MatMulNBits`` with 4 bits.

    Attributes:
        levels: (out, blocks, 16) uint8, two levels a byte, the first in the lower half.
        scales: (out, blocks) float32.
        zero_points: (out, ceil(blocks / 2)) uint8, packed like the levels.
        sums: whether the last blocks apply to the sums of the input's blocks.
    """

    levels: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.uint8]
    sums: bool


def matmul_int4(blocks: Int4Blocks) -> MatMulInt4:
    """The layout of blocks; those with whole zero points (Q4_0) need no sums."""
    zeros, missing = _zero_points(blocks.scales, blocks.minimums)
    sums = bool(missing.any())
    levels, scales = blocks.levels, blocks.scales
    if sums:
        more = _round_to_blocks(missing)
        levels = np.concatenate((levels, more.levels), axis=1)
        scales = np.concatenate((scales, more.scales), axis=1)
        zeros = np.concatenate((zeros, _zero_points(more.scales, more.minimums)[0]), axis=1)
    if zeros.shape[1] % 2:
        zeros = np.pad(zeros, ((0, 0), (0, 1)))
    return MatMulInt4(_packed(levels), np.ascontiguousarray(scales), _packed(zeros), sums)


def _zero_points(
    scales: npt.NDArray[np.float32], minimums: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The nearest zero points, and what they miss of the minimums."""
    with np.errstate(over="ignore"):
        ideal = np.divide(-minimums, scales, out=np.zeros_like(scales), where=scales != 0)
    zeros = np.clip(np.rint(ideal), 0, 15).astype(np.uint8)
    return zeros, np.asarray(minimums + zeros * scales, np.float32)


def _round_to_blocks(missing: npt.NDArray[np.float32]) -> Int4Blocks:
    """The missing constants (out, blocks) as 4-bit blocks with whole zero points, rounded to nearest."""
    rows, columns = missing.shape
    count = -(-columns // BLOCK)
    x = np.pad(missing, ((0, 0), (0, count * BLOCK - columns))).reshape(rows, count, BLOCK)
    low, high = np.minimum(x.min(axis=2), 0), np.maximum(x.max(axis=2), 0)
    scales = (high - low) / np.float32(15)
    scales[scales < np.finfo(np.float32).tiny] = 0
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    zeros = np.rint(-low * inverse)
    levels = np.clip(np.rint(x * inverse[:, :, None] + zeros[:, :, None]), 0, 15)
    return Int4Blocks(levels.astype(np.uint8), scales, -zeros * scales)


def _packed(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two 4-bit numbers per byte, along the last axis."""
    return np.ascontiguousarray(levels[..., 0::2] | levels[..., 1::2] << np.uint8(4))
