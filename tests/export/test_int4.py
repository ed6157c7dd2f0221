"""4-bit blocks: never worse than rounding to nearest, exact where the weights are on a grid already."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stored import halves
from tiny import CONFIGS, blocks_of, random_weights

from nlpsuite.export.int4_layout import matmul_int4
from nlpsuite.export.operators import block_sums
from nlpsuite.export.quantize import BLOCK, Int4Blocks, dequantize_int4, quantize_int4, quantize_int8
from nlpsuite.export.stored_blocks import stored_int4, stored_int8
from nlpsuite.models.checkpoint import RawTensor

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=70),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


def blocks(weight: np.ndarray) -> np.ndarray:
    """(blocks, 32), the last of a row padded with the row's end."""
    return np.pad(weight, ((0, 0), (0, -weight.shape[1] % BLOCK)), mode="edge").reshape(-1, BLOCK)


def weighted_error(weight: np.ndarray, found: Int4Blocks) -> np.ndarray:
    """Of each block, large weights counting for more; in float64, apart from the quantiser."""
    x = blocks(weight).astype(np.float64)
    restored = dequantize_int4(found, found.levels.shape[1] * BLOCK).reshape(-1, BLOCK)
    importance = np.abs(x) + np.sqrt((x * x).mean(axis=1, keepdims=True))
    return (importance * (restored - x) ** 2).sum(axis=1)


@given(matrices)
def test_every_weight_comes_back_within_a_level(weight: np.ndarray) -> None:
    found = quantize_int4(weight)
    assert found.levels.dtype == np.uint8 and found.levels.max() <= 15
    assert np.isfinite(found.scales).all() and np.isfinite(found.minimums).all()
    restored = dequantize_int4(found, weight.shape[1])
    assert restored.shape == weight.shape
    span = np.ptp(blocks(weight).astype(np.float64), axis=1).reshape(found.scales.shape)
    # A narrower grid may clip the ends; nothing is off by more than two levels of the block's range.
    limit = np.repeat(span, BLOCK, axis=1)[:, : weight.shape[1]] * 2 / 15
    size = np.abs(weight).max(initial=0)
    assert (np.abs(restored.astype(np.float64) - weight) <= limit + 1e-6 * size + 1e-35).all()


@given(matrices)
def test_no_block_is_worse_than_rounded_to_nearest(weight: np.ndarray) -> None:
    searched = weighted_error(weight, quantize_int4(weight))
    rounded = weighted_error(weight, quantize_int4(weight, search=False))
    x = blocks(weight).astype(np.float64)
    noise = 1e-9 * (np.abs(x).max(axis=1) ** 3) * BLOCK  # of float32
    assert (searched <= rounded * (1 + 1e-3) + noise).all()


@pytest.mark.parametrize("name", ["llama", "gpt2", "lstm"])
def test_the_search_beats_rounding_on_every_tensor(name: str) -> None:
    for tensor, weight in random_weights(CONFIGS[name]).items():
        if weight.ndim == 2:
            searched, rounded = quantize_int4(weight), quantize_int4(weight, search=False)
            gain = weighted_error(weight, searched).sum() / weighted_error(weight, rounded).sum()
            assert gain <= 0.85, tensor


def test_what_was_dequantised_comes_back_as_it_was() -> None:
    weight = np.random.default_rng(0).standard_normal((40, 256), dtype=np.float32)
    raw = gguf.quantize(weight, gguf.GGMLQuantizationType.Q4_1)
    stored = gguf.dequantize(raw, gguf.GGMLQuantizationType.Q4_1)
    found = quantize_int4(stored)
    np.testing.assert_array_equal(found.levels, stored_int4(RawTensor("Q4_1", raw)).levels)  # type: ignore[union-attr]
    np.testing.assert_allclose(dequantize_int4(found, 256), stored, atol=1e-6)


@pytest.mark.parametrize("size", [1e-37, 1e-20, 1e20, 1e37])
def test_the_size_of_the_weights_does_not_matter(size: float) -> None:
    weight = np.random.default_rng(0).uniform(-1, 1, (8, 64)).astype(np.float32)
    scaled = quantize_int4(weight * np.float32(size))
    error = np.abs(dequantize_int4(scaled, 64) / np.float32(size) - weight).max()
    assert error <= 0.1


def test_the_input_is_not_changed() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 33), dtype=np.float32)
    before = weight.copy()
    quantize_int4(weight)
    assert (weight == before).all()


def test_equal_weights() -> None:
    for value in (0.0, -3.5, 1e-40):
        found = quantize_int4(np.full((2, 40), value, np.float32))
        np.testing.assert_allclose(dequantize_int4(found, 40), np.float32(value), rtol=1e-6)


# Blocks of GGUF files


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K"])
def test_stored_4_bit_blocks(kind: str) -> None:
    weight = np.random.default_rng(0).standard_normal((5, 512), dtype=np.float32)
    raw = blocks_of(weight, kind)
    found = stored_int4(RawTensor(kind, raw))
    assert found is not None
    expected = gguf.dequantize(raw, gguf.GGMLQuantizationType[kind])
    np.testing.assert_allclose(dequantize_int4(found, 512), expected, rtol=1e-6, atol=1e-7)


def test_stored_8_bit_blocks_whatever_their_levels() -> None:
    """Also those that don't use the whole range, whose scale a new quantisation would change."""
    raw = np.random.default_rng(0).integers(0, 256, (3, 2, 34), dtype=np.uint8)
    raw[:, :, :2] = np.array([0.01], np.float16).view(np.uint8)
    raw[0, 0, 2:] = 5
    found = stored_int8(RawTensor("Q8_0", raw.reshape(3, -1)))
    assert found is not None
    levels, scales = found
    expected = gguf.dequantize(raw.reshape(3, -1), gguf.GGMLQuantizationType.Q8_0)
    restored = (levels.astype(np.float32) - 128) * scales[:, :, None]
    np.testing.assert_array_equal(restored.reshape(3, -1), expected)
    assert not np.array_equal(quantize_int8(expected)[1], scales)


@pytest.mark.parametrize("kind", ["Q6_K", "Q5_0"])
def test_other_types_are_quantised_anew(kind: str) -> None:
    raw = RawTensor(kind, np.zeros((1, 22 * 8), np.uint8))
    assert stored_int4(raw) is None and stored_int8(raw) is None
    assert stored_int4(None) is None and stored_int8(None) is None


# The layout of the operator


def multiplied(found: Int4Blocks, columns: int, x: np.ndarray) -> np.ndarray:
    """What ``MatMulNBits`` computes from the layout, in float64."""
    packed = matmul_int4(found)
    rows, count = packed.scales.shape
    levels = halves(packed.levels.reshape(rows, -1)).reshape(rows, count, BLOCK)
    zeros = halves(packed.zero_points)[:, :count]
    weight = ((levels - zeros[:, :, None]) * packed.scales.astype(np.float64)[:, :, None]).reshape(rows, -1)
    if packed.sums:
        x = np.concatenate((x, x @ block_sums(columns)), axis=1)
    return x @ weight[:, : x.shape[1]].T


@pytest.mark.parametrize("columns", [32, 64, 300, 1056])
def test_minimums_are_added_by_the_sums_of_blocks(columns: int) -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((24, columns), dtype=np.float32)
    x = generator.standard_normal((7, columns))
    found = quantize_int4(weight)
    exact = x @ dequantize_int4(found, columns).T
    error = np.linalg.norm(multiplied(found, columns, x) - exact) / np.linalg.norm(exact)
    assert error <= 0.007  # that of whole zero points alone is 0.08
    whole = found._replace(minimums=-np.rint(-found.minimums / found.scales) * found.scales)
    assert np.linalg.norm(x @ dequantize_int4(whole, columns).T - exact) >= 0.05 * np.linalg.norm(exact)


def test_whole_zero_points_need_no_sums() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 64), dtype=np.float32)
    raw = gguf.quantize(weight, gguf.GGMLQuantizationType.Q4_0)
    found = stored_int4(RawTensor("Q4_0", raw))
    assert found is not None
    packed = matmul_int4(found)
    assert not packed.sums and packed.levels.shape == (6, 2, 16)
    assert (packed.zero_points == 0x88).all()
    x = np.eye(64)
    np.testing.assert_allclose(multiplied(found, 64, x).T, dequantize_int4(found, 64), atol=1e-6)


def test_sums_of_blocks() -> None:
    x = np.arange(40.0)[None]
    sums = x @ block_sums(40)
    assert sums.tolist() == [[0.0] * 24 + [sum(range(32)), sum(range(32, 40))]]
    assert block_sums(64).shape == (64, 2)
