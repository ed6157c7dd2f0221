"""8-bit blocks: bounded error, exact zeros, GGUF's Q8_0 without loss."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nlpsuite.export.quantize import BLOCK, dequantize_int8, quantize_int8

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=70),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@given(matrices)
def test_every_weight_comes_back_within_half_a_scale(weight: np.ndarray) -> None:
    blocks, scales = quantize_int8(weight)
    restored = dequantize_int8(blocks, scales, weight.shape[1])
    assert restored.shape == weight.shape
    assert np.isfinite(scales).all()
    limit = np.repeat(scales.astype(np.float64), BLOCK, axis=1)[:, : weight.shape[1]] / 2
    error = np.abs(restored.astype(np.float64) - weight)
    # Blocks of numbers next to the smallest floats have no scale; they become zero.
    assert (error <= np.maximum(limit * (1 + 1e-4), 2e-36)).all()


@given(matrices)
def test_layout_and_padding(weight: np.ndarray) -> None:
    rows, columns = weight.shape
    blocks, scales = quantize_int8(weight)
    groups = -(-columns // BLOCK)
    assert blocks.dtype == np.uint8 and blocks.shape == (rows, groups, BLOCK)
    assert scales.dtype == np.float32 and scales.shape == (rows, groups)
    padding = blocks.reshape(rows, -1)[:, columns:]
    assert (padding == 128).all()
    assert blocks.min() >= 1  # symmetric: -127 to 127


def test_the_largest_weight_of_a_block_is_a_full_level() -> None:
    weight = np.zeros((1, 64), np.float32)
    weight[0, 3], weight[0, 40] = -2.54, 0.001
    blocks, scales = quantize_int8(weight)
    assert blocks[0, 0, 3] == 1 and blocks[0, 1, 8] == 255
    assert scales[0].tolist() == pytest.approx([0.02, 0.001 / 127])


def test_zeros_stay_zero() -> None:
    blocks, scales = quantize_int8(np.zeros((3, 40), np.float32))
    assert (blocks == 128).all() and (scales == 0).all()
    assert (dequantize_int8(blocks, scales, 40) == 0).all()


def test_the_input_is_not_changed() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 33), dtype=np.float32)
    before = weight.copy()
    quantize_int8(weight)
    assert (weight == before).all()


@pytest.mark.parametrize("spread", [1e-3, 1.0, 100.0])
def test_q8_0_passes_without_loss(spread: float) -> None:
    weight = np.random.default_rng(1).standard_normal((50, 256), dtype=np.float32) * np.float32(spread)
    stored = dequantize(quantize(weight, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0)
    assert not np.array_equal(stored, weight)
    blocks, scales = quantize_int8(stored)
    np.testing.assert_array_equal(dequantize_int8(blocks, scales, 256), stored)
