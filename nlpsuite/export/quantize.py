"""Weight quantisation, in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK",
    "Int4Blocks",
    "Int8Blocks",
    "block_sums",
    "dequantize_int4",
    "dequantize_int8",
    "quantize_channels",
    "quantize_int4",
    "quantize_int8",
]

# Weights that share one scale. 32 divides the layers of every common model, and GGUF's
# own 8-bit blocks have this size, so a Q8_0 tensor passes through without loss.
BLOCK = 32
_ZERO_POINT = 128
# Blocks with a smaller scale become zero, as its reciprocal would overflow.
_SMALLEST_SCALE = np.finfo(np.float32).tiny

_LEVELS = 15  # the largest 4-bit level
# How far the grid of a 4-bit block is stretched over the block's range (+) or beyond it (-), in
# levels. Forty steps from -3 to 2 lower the squared error by another 0.1 %, in three times the time.
_STRETCHES = tuple(np.linspace(-1, 1, 13))
# Blocks searched at once: 1 MB, so that a search stays in the processor's cache.
_CHUNK = 8192


class Int8Blocks(NamedTuple):
    """A weight in blocks of 32 with a scale each: ``(level - 128) * scale``.

    Attributes:
        levels: (out, blocks, 32) uint8.
        scales: (out, blocks) float32.
    """

    levels: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]


def quantize_channels(
    weight: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric 8-bit quantisation with one scale for each output.

    Args:
        weight: (out, in) float32.

    Returns:
        Levels (out, in) int8 from -127 to 127, and scales (out,) float32; ``level * scale`` restores the
        weight to within half a scale.
    """
    scales = np.abs(weight).max(axis=1) / np.float32(127)
    scales[scales < _SMALLEST_SCALE] = 0
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    return np.rint(weight * inverse[:, None]).astype(np.int8), scales


def block_sums(columns: int) -> npt.NDArray[np.float32]:
    """The matrix (columns, padding + blocks) that maps x to the sums of its blocks of 32.

    Zeros come first, so that the sums start a new block after the input.
    """
    padding = -columns % BLOCK
    matrix = np.zeros((columns, padding + -(-columns // BLOCK)), np.float32)
    at = np.arange(columns)
    matrix[at, padding + at // BLOCK] = 1
    return matrix


def quantize_int8(weight: npt.NDArray[np.float32]) -> Int8Blocks:
    """Symmetric 8-bit quantisation of a linear layer's weight, a scale for every 32 inputs.

    Args:
        weight: (out, in) float32.

    Returns:
        Blocks (out, ceil(in / 32), 32) uint8 with zero point 128, padded with 128, and
        scales (out, ceil(in / 32)) float32; ``(block - 128) * scale`` restores the weight
        to within half a scale. This is the layout of onnxruntime's ``MatMulNBits``.
    """
    rows, columns = weight.shape
    blocks = -(-columns // BLOCK)
    if columns % BLOCK:
        weight = np.pad(weight, ((0, 0), (0, blocks * BLOCK - columns)))
    grouped = weight.reshape(rows, blocks, BLOCK)
    scales = np.abs(grouped).max(axis=2) / np.float32(127)
    scales[scales < _SMALLEST_SCALE] = 0
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    levels = np.rint(grouped * inverse[:, :, None])
    return Int8Blocks((levels + _ZERO_POINT).astype(np.uint8), scales)


def dequantize_int8(
    blocks: npt.NDArray[np.uint8], scales: npt.NDArray[np.float32], columns: int
) -> npt.NDArray[np.float32]:
    """The (out, columns) float32 weight that quantised blocks represent."""
    weight = (blocks.astype(np.float32) - _ZERO_POINT) * scales[:, :, None]
    return weight.reshape(len(blocks), -1)[:, :columns]


class Int4Blocks(NamedTuple):
    """A weight in blocks of 32 with a scale and a minimum each: ``level * scale + minimum``.

    Attributes:
        levels: (out, blocks, 32) uint8, 0 to 15.
        scales: (out, blocks) float32.
        minimums: (out, blocks) float32.
    """

    levels: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    minimums: npt.NDArray[np.float32]


def quantize_int4(weight: npt.NDArray[np.float32], *, search: bool = True) -> Int4Blocks:
    """4-bit quantisation of a linear layer's weight, a scale and a minimum for every 32 inputs.

    Rounding to nearest puts 16 levels evenly between a block's smallest and largest weight. The
    search starts there, and ends there if every weight already lies on a level: a tensor dequantised
    from such blocks comes back unchanged. Otherwise it tries wider and narrower
    grids, fits scale and minimum to each by least squares, and keeps the one with the smallest
    squared error, in which large weights count for more (root mean square + absolute value: the idea
    of the "k-quants" of llama.cpp, ``make_qkx2_quants``).

    Args:
        weight: (out, in) float32, finite. A last block that is not full is padded.
        search: False for plain rounding to nearest, for comparison.
    """
    rows, columns = weight.shape
    count = -(-columns // BLOCK)
    if columns % BLOCK:
        # With the edge value, which doesn't widen a block's range.
        weight = np.pad(weight, ((0, 0), (0, count * BLOCK - columns)), mode="edge")
    flat = weight.reshape(rows * count, BLOCK)
    levels = np.empty((rows * count, BLOCK), np.uint8)
    scales = np.empty(rows * count, np.float32)
    minimums = np.empty(rows * count, np.float32)
    stretches = _STRETCHES if search else ()
    for at in range(0, len(flat), _CHUNK):
        # Blocks as columns: sums over a block then run over whole vectors.
        part = slice(at, at + _CHUNK)
        found = _fit(np.ascontiguousarray(flat[part].T), stretches)
        levels[part], scales[part], minimums[part] = found[0].T, found[1], found[2]
    return Int4Blocks(
        levels.reshape(rows, count, BLOCK), scales.reshape(rows, count), minimums.reshape(rows, count)
    )


def _fit(
    x: npt.NDArray[np.float32], stretches: tuple[float, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Levels (32, n), scales (n,) and minimums (n,) for the blocks in the columns of ``x`` (32, n)."""
    # In units of a block's range, so that squares neither overflow nor underflow.
    low = x.min(axis=0)
    span = x.max(axis=0) - low
    span[span < _SMALLEST_SCALE] = 0
    y = (x - low) * np.divide(1, span, out=np.zeros_like(span), where=span > 0)  # 0 to 1
    levels = np.rint(y * _LEVELS)
    scales = np.full_like(span, 1 / _LEVELS)
    minimums = np.zeros_like(span)
    w = importance(x)
    wy = w * y
    total, first, second = w.sum(axis=0), wy.sum(axis=0), (wy * y).sum(axis=0)
    least = (w * (levels * scales - y) ** 2).sum(axis=0)
    for stretch in stretches:
        tried = np.clip(np.rint(y * np.float32(_LEVELS + stretch)), 0, _LEVELS)
        wt = w * tried
        t, tt, ty = wt.sum(axis=0), (wt * tried).sum(axis=0), (wt * y).sum(axis=0)
        determinant = total * tt - t * t
        solvable = determinant > 1e-6 * total * tt
        scale = np.divide(total * ty - t * first, determinant, out=np.zeros_like(span), where=solvable)
        minimum = np.divide(first - scale * t, total, out=np.zeros_like(span), where=total > 0)
        error = second - scale * ty - minimum * first  # of a least-squares fit
        # The margin is the possible rounding error of this difference of sums.
        better = solvable & (scale > 0) & (error + 1e-6 * second < least)
        levels = np.where(better, tried, levels)
        scales, minimums = np.where(better, scale, scales), np.where(better, minimum, minimums)
        least = np.where(better, error, least)
    return levels, scales * span, minimums * span + low


def importance(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The importance of each weight's error, for blocks in the columns of ``x`` (32, n).

    Relative to the block's largest weight, which has 1 to 2.
    """
    size = np.abs(x)
    largest = size.max(axis=0)
    size *= np.divide(1, largest, out=np.zeros_like(largest), where=largest >= _SMALLEST_SCALE)
    return np.asarray(size + np.sqrt((size * size).mean(axis=0)), np.float32)


def dequantize_int4(blocks: Int4Blocks, columns: int) -> npt.NDArray[np.float32]:
    """The (out, columns) float32 weight that 4-bit blocks represent."""
    weight = blocks.levels * blocks.scales[:, :, None] + blocks.minimums[:, :, None]
    return weight.reshape(len(weight), -1)[:, :columns]
