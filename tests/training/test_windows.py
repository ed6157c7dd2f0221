"""The order of training windows: each once an epoch, however the rows are shared out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.training.windows import Windows

sizes = st.integers(1, 9).flatmap(lambda length: st.tuples(st.integers(length + 1, 300), st.just(length)))
seeds = st.integers(-5, 2**70)


def numbered(shape: tuple[int, int], seed: int) -> Windows:
    """Windows over the numbers 0, 1, 2 …, so that a token tells its position."""
    size, length = shape
    return Windows(np.arange(size, dtype=np.uint16), length, seed)


@given(shape=sizes, seed=seeds, epochs=st.integers(1, 3))
def test_each_token_is_predicted_at_most_once_an_epoch(
    shape: tuple[int, int], seed: int, epochs: int
) -> None:
    size, length = shape
    windows = numbered(shape, seed)
    for epoch in range(epochs):
        rows = windows.batch(epoch * windows.per_epoch, windows.per_epoch)
        assert rows.shape == (size // length, length + 1)
        assert rows.dtype == np.int64
        np.testing.assert_array_equal(np.diff(rows, axis=1) % size, 1)  # consecutive, on a ring
        predicted = rows[:, 1:].ravel()
        assert len(set(predicted.tolist())) == len(predicted) > size - length


@given(
    shape=sizes,
    seed=seeds,
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=8),
    start=st.integers(0, 400),
)
def test_rows_do_not_depend_on_how_they_are_shared_out(
    shape: tuple[int, int], seed: int, counts: list[int], start: int
) -> None:
    whole = numbered(shape, seed).batch(start, sum(counts))
    windows = numbered(shape, seed)
    at = start + np.cumsum([0, *counts])
    parts = [windows.batch(int(a), n) for a, n in reversed(list(zip(at, counts)))]
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), whole)


def test_the_order_is_the_same_on_every_machine() -> None:
    """A change here would change what a resumed run reads."""
    order = Windows(np.arange(1000), 100, seed=1)
    assert order.starts(0, 12).tolist() == [96, 896, 196, 296, 596, 496, 996, 696, 396, 796, 805, 205]


def test_seeds_and_epochs_differ() -> None:
    tokens = np.arange(10_000)
    orders = {tuple(Windows(tokens, 10, seed).starts(0, 1000)) for seed in range(20)}
    windows = Windows(tokens, 10, 0)
    orders |= {tuple(windows.starts(epoch * 1000, 1000)) for epoch in range(1, 20)}
    assert len(orders) == 39
    offsets = {int(windows.starts(epoch * 1000, 1)[0]) % 10 for epoch in range(100)}
    assert offsets == set(range(10))


def test_all_orders_are_about_equally_frequent() -> None:
    """Three windows on a ring have 6 orders; 1,200 epochs give each about 200 times (σ = 13)."""
    windows = Windows(np.arange(300), 100, seed=5)
    starts = windows.starts(0, 3 * 1200).reshape(-1, 3)
    orders = Counter(tuple(np.argsort(row).tolist()) for row in starts)
    assert len(orders) == 6
    assert all(130 < count < 270 for count in orders.values())


def test_neighbours_in_the_order_are_no_neighbours_in_the_text() -> None:
    starts = Windows(np.arange(1_000_000), 100, seed=3).starts(0, 10_000)
    steps = np.abs(np.diff(starts))
    assert abs(np.corrcoef(starts[:-1], starts[1:])[0, 1]) < 0.05
    assert np.mean(steps <= 200) < 0.002


def test_windows_of_a_memory_map_larger_than_a_page_table(tmp_path: Path) -> None:
    """2^33 tokens, sparse on disk: positions that 32 bits don't hold, and no list of windows."""
    count = 1 << 33
    with (tmp_path / "t.bin").open("wb") as file:
        file.truncate(count * 2)
    windows = Windows(np.memmap(tmp_path / "t.bin", np.uint16, "r"), 1024, seed=9)
    starts = windows.starts(windows.per_epoch * 5, 4096)
    assert len(set(starts.tolist())) == 4096
    assert starts.min() >= 0 and starts.max() > 1 << 32
    assert windows.batch(windows.per_epoch - 2, 4).sum() == 0


def test_the_windows_of_an_epoch_are_counted() -> None:
    assert Windows(np.arange(101), 10, seed=0).per_epoch == 10


def test_too_few_tokens_for_a_window() -> None:
    assert Windows(np.arange(9), 8, 0).per_epoch == 1
    with pytest.raises(InputInvalidError, match="has 8 tokens to train on; one window has 9"):
        Windows(np.arange(8), 8, 0)
