"""Weight quantisation, in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "dequantize_int8", "quantize_int8"]

# Weights that share one scale. 32 divides the layers of every common model, and GGUF's
# own 8-bit blocks have this size, so a Q8_0 tensor passes through without loss.
BLOCK = 32
_ZERO_POINT = 128
# Blocks of yet smaller numbers become zero: the scale's reciprocal would overflow.
_SMALLEST_SCALE = np.finfo(np.float32).tiny


def quantize_int8(
    weight: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
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
    return (levels + _ZERO_POINT).astype(np.uint8), scales


def dequantize_int8(
    blocks: npt.NDArray[np.uint8], scales: npt.NDArray[np.float32], columns: int
) -> npt.NDArray[np.float32]:
    """The (out, columns) float32 weight that quantised blocks stand for."""
    weight = (blocks.astype(np.float32) - _ZERO_POINT) * scales[:, :, None]
    return weight.reshape(len(blocks), -1)[:, :columns]
