"""Batches of rows of similar length: each row once per epoch, within the budget, in a fixed order."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.training.buckets import Buckets

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300)


def epoch(buckets: Buckets, rows: int, number: int) -> list[list[int]]:
    """The batches of one epoch, which has so many rows."""
    batches: list[list[int]] = []
    for index in count():
        if sum(map(len, batches)) == (number + 1) * rows:
            before = [n for n in range(len(batches) + 1) if sum(map(len, batches[:n])) == number * rows]
            return batches[before[0] :]  # IndexError if no batch starts the epoch
        batches.append(buckets.batch(index).tolist())
    raise AssertionError("no end")


@given(rows=lengths, budget=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
def test_every_row_comes_once_an_epoch(rows: list[int], budget: int, seed: int) -> None:
    buckets = Buckets(rows, budget, seed)
    for number in (0, 1):
        read = [row for batch in epoch(buckets, len(rows), number) for row in batch]
        assert sorted(read) == list(range(len(rows)))


@given(rows=lengths, budget=st.integers(1, 400))
def test_no_batch_is_over_the_budget_unless_it_is_one_row(rows: list[int], budget: int) -> None:
    for batch in epoch(Buckets(rows, budget, 0), len(rows), 0):
        assert batch
        assert len(batch) == 1 or len(batch) * max(rows[i] for i in batch) <= budget


@given(rows=lengths, seed=st.integers(0, 100), order=st.permutations(range(12)))
def test_a_batch_depends_on_its_number_alone(rows: list[int], seed: int, order: list[int]) -> None:
    one, other = Buckets(rows, 100, seed), Buckets(rows, 100, seed)
    in_order = [one.batch(i).tolist() for i in range(12)]
    assert {i: other.batch(i).tolist() for i in order} == dict(enumerate(in_order))


def test_seeds_and_epochs_differ() -> None:
    rows = [5] * 200
    orders = [epoch(Buckets(rows, 50, seed), 200, number) for seed in (0, 1) for number in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


@pytest.mark.parametrize("seed", range(5))
def test_little_of_a_batch_is_padding(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = np.clip(generator.lognormal(3.5, 0.8, 3_000).astype(int), 2, 400)
    batches = epoch(Buckets(rows.tolist(), 2_048, seed), 3_000, 0)
    width = sum(len(batch) * max(rows[i] for i in batch) for batch in batches)
    assert 1 - rows.sum() / width < 0.2
    in_file_order = sum(32 * chunk.max() for chunk in np.array_split(rows, len(rows) // 32))
    assert 1 - rows.sum() / in_file_order > 0.4  # what sorting saves


def test_an_epoch_has_as_many_batches_as_its_rows_fill() -> None:
    assert [len(epoch(Buckets([10] * 8, 20, 0), 8, number)) for number in (0, 1, 2)] == [4, 4, 4]
