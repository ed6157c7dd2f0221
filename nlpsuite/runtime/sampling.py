"""From logits to the next token, in numpy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.prompt import Sampling

__all__ = ["Sampler", "log_normalizers", "log_softmax"]

Floats = npt.NDArray[np.float32]

# The least that doesn't turn 0 / temperature into NaN in float32.
_LEAST_TEMPERATURE = 1e-30
# Weights in float32 are a little wrong: candidates are chosen generously by them, and then exactly.
_SLACK = 0.999


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Log-probabilities over the last axis; any shape, summed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalised: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def log_normalizers(logits: Floats) -> npt.NDArray[np.float64]:
    """What to subtract from logits for log-probabilities over the last axis, (...,) of (..., V).

    Exponentials in float32, several times faster, summed in float64: accurate to 1e-6.
    """
    most = logits.max(axis=-1, keepdims=True)
    sums = np.exp(logits - most).sum(axis=-1, dtype=np.float64)
    normalizers: npt.NDArray[np.float64] = most[..., 0] + np.log(sums)
    return normalizers


class Sampler:
    """Draws one row's tokens.

    Args:
        sampling: the settings.
        source: the prompt's tokens, for ``Sampling.copy_bias``.
    """

    def __init__(self, sampling: Sampling, source: Sequence[int] = ()) -> None:
        self._sampling = sampling
        self._rng = np.random.default_rng(sampling.seed)
        penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
        self._penalises = penalties != (1, 0, 0)
        self._counts: dict[int, int] = {}
        self._last: tuple[int, ...] = ()
        # Two tokens of the source to those that follow them there.
        self._followers: dict[tuple[int, ...], set[int]] = {}
        if sampling.copy_bias > 0:
            for first, second, third in zip(source, source[1:], source[2:]):
                self._followers.setdefault((first, second), set()).add(third)

    def fork(self) -> Self:
        """A sampler that has recorded the same tokens. They draw from one random generator."""
        twin = copy.copy(self)
        twin._counts = dict(self._counts)
        return twin

    def adjust(self, logits: Floats) -> None:
        """Apply penalties and the copy bias to the logits (V,), in place."""
        s = self._sampling
        if self._penalises and self._counts:
            seen = np.fromiter(self._counts, np.int64)
            counts = np.fromiter(self._counts.values(), np.float32)
            values = logits[seen]
            values = np.where(values > 0, values / s.repetition_penalty, values * s.repetition_penalty)
            logits[seen] = values - s.presence_penalty - s.frequency_penalty * counts
        if self._last in self._followers:
            logits[list(self._followers[self._last])] += np.float32(s.copy_bias)

    def draw(self, logits: Floats) -> int:
        """The next token's id; ``logits`` (V,) have been adjusted."""
        return int(logits.argmax()) if self._sampling.temperature == 0 else self._sample(logits)

    def record(self, token: int) -> None:
        """Take the token that follows."""
        self._counts[token] = self._counts.get(token, 0) + 1
        self._last = (*self._last[-1:], token)

    def _sample(self, logits: Floats) -> int:
        """Draw by the settings. Only candidates are sorted: the whole vocabulary takes longer than the model."""
        s = self._sampling
        # Relative to the likeliest, so that a tiny temperature drives the others to zero, not to NaN.
        with np.errstate(over="ignore"):
            weights = np.exp((logits - logits.max()) / np.float32(max(s.temperature, _LEAST_TEMPERATURE)))
        if not (0 < s.top_k < len(logits)) and s.top_p == 1 and s.min_p == 0:
            return self._pick(weights)
        if 0 < s.top_k < len(logits):
            ids = np.flatnonzero((logits >= np.partition(logits, -s.top_k)[-s.top_k]) & (weights > 0))
            ids = _likeliest_first(ids, logits)[: s.top_k]
            total = float(weights[ids].sum(dtype=np.float64))
        else:
            ids, total = np.arange(len(logits)), float(weights.sum(dtype=np.float64))
        # Tokens below `unneeded` sum to less than 1 - top_p even if all of them are just below it.
        unneeded = (1 - s.top_p) * total / len(ids)
        ids = _likeliest_first(ids[weights[ids] >= _SLACK * max(s.min_p, unneeded)], logits)
        exact = np.exp((logits[ids].astype(np.float64) - logits.max()) / s.temperature)
        keep = len(ids)
        if s.top_p < 1:
            keep = int(np.searchsorted(exact.cumsum() / total, s.top_p)) + 1
        if s.min_p > 0:
            keep = min(keep, int((exact >= s.min_p).sum()))
        return int(ids[self._pick(exact[: max(keep, 1)])])

    def _pick(self, weights: npt.NDArray[np.floating[Any]]) -> int:
        """An index, drawn in proportion to the weights."""
        sums = weights.cumsum(dtype=np.float64)
        found = int(np.searchsorted(sums, self._rng.random() * sums[-1], side="right"))
        return found if found < len(weights) else int(weights.argmax())  # the product was rounded up


def _likeliest_first(ids: npt.NDArray[np.int64], logits: Floats) -> npt.NDArray[np.int64]:
    """Sorted by falling logits; equal ones by id, so that the order never depends on how they were found."""
    return ids[np.lexsort((ids, -logits[ids]))]
