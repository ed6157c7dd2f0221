"""From logits to the next token, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.prompt import Sampling

__all__ = ["Sampler", "log_softmax"]

Floats = npt.NDArray[np.float32]


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Log-probabilities over the last axis; any shape, summed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalised: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


class Sampler:
    """Draws one row's tokens.

    Args:
        sampling: the settings.
        source: the prompt's tokens, for ``Sampling.copy_bias``.
    """

    def __init__(self, sampling: Sampling, source: Sequence[int] = ()) -> None:
        self._sampling = sampling
        self._rng = np.random.default_rng(sampling.seed)
        self._seen: set[int] = set()
        self._last: tuple[int, ...] = ()
        # Two tokens of the source to those that follow them there.
        self._followers: dict[tuple[int, ...], set[int]] = {}
        if sampling.copy_bias > 0:
            for first, second, third in zip(source, source[1:], source[2:]):
                self._followers.setdefault((first, second), set()).add(third)

    def draw(self, logits: Floats) -> int:
        """The next token's id. ``logits`` (V,) may be changed in place."""
        s = self._sampling
        if s.repetition_penalty != 1.0 and self._seen:
            seen = np.fromiter(self._seen, np.int64)
            values = logits[seen]
            logits[seen] = np.where(values > 0, values / s.repetition_penalty, values * s.repetition_penalty)
        if self._last in self._followers:
            logits[list(self._followers[self._last])] += np.float32(s.copy_bias)
        token = int(logits.argmax()) if s.temperature == 0 else self._sample(logits)
        self._seen.add(token)
        self._last = (*self._last[-1:], token)
        return token

    def _sample(self, logits: Floats) -> int:
        s = self._sampling
        ids = np.arange(len(logits))
        if 0 < s.top_k < len(logits):
            ids = np.argpartition(logits, -s.top_k)[-s.top_k :]
        # Most likely first; ties by id, so that the order never depends on the partition.
        ids = ids[np.lexsort((ids, -logits[ids]))]
        # Shifted first and in float64: a tiny temperature then drives the others to zero, not to NaN.
        shifted = logits[ids].astype(np.float64) - logits[ids[0]]
        with np.errstate(over="ignore"):
            probabilities = np.exp(shifted / s.temperature)
        probabilities /= probabilities.sum()
        keep = len(ids)
        if s.top_p < 1:
            keep = int(np.searchsorted(probabilities.cumsum(), s.top_p)) + 1
        if s.min_p > 0:
            keep = min(keep, int((probabilities >= s.min_p * probabilities[0]).sum()))
        likeliest = probabilities[: max(keep, 1)]
        return int(ids[self._rng.choice(len(likeliest), p=likeliest / likeliest.sum())])
