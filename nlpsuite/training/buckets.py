"""Batches of rows of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Buckets"]

# Batches whose rows are sorted together: enough to find rows of the same length, few enough for a batch to
# hold random rows.
_POOL = 50


class Buckets:
    """The batches of a set of rows, epoch after epoch; depends on lengths, size and seed alone.

    Each epoch has every row once. Rows are shuffled, sorted by length within pools and cut into batches, which
    are shuffled again.

    Args:
        lengths: tokens of each row.
        batch_tokens: most tokens in a batch, padding included; a longer row gets its own batch.
    """

    def __init__(self, lengths: Sequence[int], batch_tokens: int, seed: int) -> None:
        assert len(lengths) > 0, "there must be rows"
        self._lengths = np.asarray(lengths)
        self._batch_tokens, self._seed = batch_tokens, seed
        self._ends: list[int] = []  # batches up to the end of each epoch so far
        self._epoch: tuple[int, list[npt.NDArray[np.int64]]] = (-1, [])

    def batch(self, index: int) -> npt.NDArray[np.int64]:
        """The row numbers of the batch ``index``, counted over all epochs."""
        epoch = 0
        while True:
            if epoch == len(self._ends):
                before = self._ends[-1] if self._ends else 0
                self._ends.append(before + len(self._batches(epoch)))
            if index < self._ends[epoch]:
                begin = self._ends[epoch - 1] if epoch else 0
                return self._batches(epoch)[index - begin]
            epoch += 1

    def _batches(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._plan(np.random.default_rng([self._seed, epoch])))
        return self._epoch[1]

    def _plan(self, generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
        order = generator.permutation(len(self._lengths))
        pool_rows = max(1, _POOL * self._batch_tokens // max(1, int(self._lengths.mean())))
        batches: list[npt.NDArray[np.int64]] = []
        for at in range(0, len(order), pool_rows):
            pool = order[at : at + pool_rows]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches.extend(self._cut(pool))
        return [batches[i] for i in generator.permutation(len(batches))]

    def _cut(self, pool: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        """Consecutive rows, as many as fit; the last of a batch is its longest."""
        batches = []
        begin = 0
        for end in range(1, len(pool) + 1):
            full = end < len(pool) and (end + 1 - begin) * self._lengths[pool[end]] > self._batch_tokens
            if full or end == len(pool):
                batches.append(pool[begin:end])
                begin = end
        return batches
