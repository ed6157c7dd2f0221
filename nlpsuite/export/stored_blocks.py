"""Reusing the quantised blocks of a GGUF file instead of quantising again.

Source: the block layouts of ggml (``block_q4_0``, ``block_q4_1``, ``block_q4_K``, ``block_q8_0`` in
ggml-common.h; scales of Q4_K: ``get_scale_min_k4``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nlpsuite.export.quantize import BLOCK, Int4Blocks, Int8Blocks
from nlpsuite.models.checkpoint import RawTensor

__all__ = ["q4_1_blocks", "stored_int4", "stored_int8"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def stored_int8(raw: RawTensor | None) -> Int8Blocks | None:
    """Q8_0 as ``quantize_int8`` gives it; None for any other type."""
    if raw is None or raw.type != "Q8_0":
        return None
    blocks = _blocks(raw, 34)
    scales = _half(blocks[:, :, 0:2])[:, :, 0]
    return Int8Blocks(blocks[:, :, 2:] ^ np.uint8(128), scales)  # int8 to uint8 with zero point 128


def stored_int4(raw: RawTensor | None) -> Int4Blocks | None:
    """Q4_0, Q4_1 and Q4_K as ``quantize_int4`` gives it; None for any other type."""
    if raw is None:
        return None
    if raw.type == "Q4_0":
        blocks = _blocks(raw, 18)
        scales = _half(blocks[:, :, 0:2])[:, :, 0]
        return Int4Blocks(_nibbles(blocks[:, :, 2:]), scales, -8 * scales)
    if raw.type == "Q4_1":
        blocks = _blocks(raw, 20)
        both = _half(blocks[:, :, 0:4])
        return Int4Blocks(_nibbles(blocks[:, :, 4:]), both[:, :, 0].copy(), both[:, :, 1].copy())
    if raw.type == "Q4_K":
        return _q4_k(raw)
    return None


def q4_1_blocks(blocks: Int4Blocks) -> RawTensor:
    """4-bit blocks as a GGUF file stores them; scales and minimums are rounded to float16."""
    rows, count = blocks.scales.shape
    factors = np.stack((blocks.scales, blocks.minimums), axis=2).astype("<f2").view(np.uint8)
    first, second = np.split(blocks.levels, 2, axis=2)
    return RawTensor("Q4_1", np.concatenate((factors, first | second << 4), axis=2).reshape(rows, count * 20))


def _q4_k(raw: RawTensor) -> Int4Blocks:
    """Superblocks of 8 blocks, whose scales and minimums have 6 bits: ``d * scale``, ``-dmin * minimum``."""
    supers = _blocks(raw, 144)
    rows, count = supers.shape[:2]
    factors = _half(supers[:, :, 0:4])  # d, dmin
    packed = supers[:, :, 4:16].reshape(rows, count, 3, 4)
    # The first four blocks have their six bits in one byte; of the last four, the upper two bits of
    # each lie in the upper two of those bytes, the lower four of both share a byte.
    scales = np.concatenate((packed[:, :, 0] & 63, packed[:, :, 2] & 15 | packed[:, :, 0] >> 6 << 4), 2)
    minimums = np.concatenate((packed[:, :, 1] & 63, packed[:, :, 2] >> 4 | packed[:, :, 1] >> 6 << 4), 2)
    # 32 bytes hold two blocks: the lower halves the first, the upper ones the second.
    levels = _nibbles(supers[:, :, 16:].reshape(rows, count * 4, 32))
    return Int4Blocks(
        levels.reshape(rows, count * 8, BLOCK),
        (factors[:, :, :1] * scales).reshape(rows, count * 8),
        (-factors[:, :, 1:] * minimums).reshape(rows, count * 8),
    )


def _blocks(raw: RawTensor, size: int) -> Bytes:
    """(rows, blocks, bytes of a block)."""
    return raw.blocks.reshape(len(raw.blocks), -1, size)


def _half(values: Bytes) -> Floats:
    return np.ascontiguousarray(values).view("<f2").astype(np.float32)


def _nibbles(values: Bytes) -> Bytes:
    """(…, n) bytes to (…, 2n) levels: ggml stores a block's first half in the lower four bits."""
    return np.concatenate((values & 15, values >> 4), axis=-1)
