"""The order in which a language model reads its training tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpsuite.errors import InputInvalidError

__all__ = ["Windows"]

_ROUNDS = 6
# Odd constants of splitmix64 (Steele, Lea, Flood 2014: Fast splittable pseudorandom number generators).
_STEP = 0x9E3779B97F4A7C15
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

_Words = NDArray[np.uint64]


class Windows:
    """Windows of ``length + 1`` tokens in a shuffled order that is a pure function of (seed, index).

    The tokens are treated as a ring. An epoch starts at a random token and cuts the ring into ``per_epoch``
    windows, ``length`` tokens apart: the last token of one is the first of the next, so that each token is
    predicted once. It visits them in a random order.

    The order is a keyed bijection, a Feistel network on the window's number. A numpy permutation would do for
    small corpora, but takes memory and time in each epoch and after each interruption, and numpy may change
    its random streams; this one yields any row directly, on every machine.

    Args:
        tokens: (N,) of any integer type; may be a memory map.
        length: tokens in a window, without the last one, which is only predicted.
        seed: of the order.

    Raises:
        InputInvalidError: there are fewer than ``length + 1`` tokens.
    """

    def __init__(self, tokens: NDArray[Any], length: int, seed: int) -> None:
        if len(tokens) <= length:
            raise InputInvalidError(
                f"The corpus has {len(tokens):,} tokens to train on; one window has {length + 1:,}.",
                hint="Add text, or use a smaller --context.",
            )
        self._tokens = tokens
        self.length = length
        self.per_epoch = len(tokens) // length
        self._seed = np.array([seed % 2**64], np.uint64)
        # Two halves of this many bits number at least as many values as there are windows.
        self._half = np.uint64(max(1, ((self.per_epoch - 1).bit_length() + 1) // 2))

    def batch(self, start: int, rows: int) -> NDArray[np.int64]:
        """The rows ``start`` to ``start + rows``, (rows, length + 1) int64.

        With R rows per step and process and n processes, process r reads at step s
        ``batch((s * n + r) * R, R)``: how rows are shared out changes no window.
        """
        starts = self.starts(start, rows)
        positions = (starts[:, None] + np.arange(self.length + 1)) % len(self._tokens)
        return np.asarray(self._tokens[positions], np.int64)

    def starts(self, start: int, rows: int) -> NDArray[np.int64]:
        """(rows,) where each window begins; it may run over the end to the beginning."""
        index = np.arange(start, start + rows, dtype=np.uint64)
        epoch, position = np.divmod(index, np.uint64(self.per_epoch))
        key = _mix(_mix(self._seed) ^ (epoch * np.uint64(_STEP)))
        size = np.uint64(len(self._tokens))
        offset = _mix(key) % size
        number = self._permuted(position, key)
        return ((offset + number * np.uint64(self.length)) % size).astype(np.int64)

    def _permuted(self, numbers: _Words, keys: _Words) -> _Words:
        """Bijection of 0 … per_epoch - 1 for each key: repeated until the value is in the range again."""
        values = self._feistel(numbers, keys)
        while len(outside := np.flatnonzero(values >= self.per_epoch)):
            values[outside] = self._feistel(values[outside], keys[outside])
        return values

    def _feistel(self, values: _Words, keys: _Words) -> _Words:
        mask = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = values >> self._half, values & mask
        for number in range(1, _ROUNDS + 1):
            round_key = keys + np.uint64(number * _STEP % 2**64)
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        return (left << self._half) | right


def _mix(x: _Words) -> _Words:
    """The output function of splitmix64: each bit of the result depends on all bits of ``x``."""
    x = (x ^ (x >> np.uint64(30))) * _MULTIPLIERS[0]
    x = (x ^ (x >> np.uint64(27))) * _MULTIPLIERS[1]
    return x ^ (x >> np.uint64(31))
