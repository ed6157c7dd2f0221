"""Baselines for a language model: a unigram model, and an interpolated Kneser-Ney n-gram model.

Sources: R. Kneser and H. Ney, "Improved backing-off for M-gram language modeling", ICASSP 1995;
S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling",
Computer Speech and Language 13 (1999), sections 2.7 and 4.1, with one discount per order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["interpolated_ngram", "unigram"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


def unigram(train: NDArray[Any], heldout: NDArray[Any], vocab_size: int) -> float:
    """Negative log-likelihood of ``heldout`` (nats) by a unigram model of ``train`` with add-one smoothing.

    Args:
        train, heldout: (N,) token ids below ``vocab_size``.
    """
    counts = np.bincount(train, minlength=vocab_size)
    log_p = np.log(counts + 1.0) - np.log(len(train) + vocab_size)
    return -float(np.bincount(heldout, minlength=vocab_size) @ log_p)


def interpolated_ngram(
    train: NDArray[Any], heldout: NDArray[Any], vocab_size: int, order: int = 5, *, end_of_text: int = 0
) -> float:
    """Negative log-likelihood of ``heldout`` (nats) by an interpolated Kneser-Ney model of ``train``.

    With h the m - 1 tokens before w, and h' the same without the first of them::

        P_m(w|h) = (max(c(hw) - D_m, 0) + D_m T(h) P_{m-1}(w|h')) / C(h)      if h was seen
        P_m(w|h) = P_{m-1}(w|h')                                              otherwise
        P_0(w)   = 1 / vocab_size

    c is the number of occurrences for m = ``order``; below it is the number of different tokens
    that come before hw. C(h) is the sum of c over all w, T(h) the number of different w after h.
    D_m = n1 / (n1 + 2 n2), n1 and n2 the numbers of m-grams with c = 1 and 2.

    A context extends back to the last ``end_of_text`` at most; both texts are assumed to follow one. So the
    first tokens of a document are predicted from how documents start. Nothing precedes m-grams that start with
    ``end_of_text``: for them c is the number of occurrences in every order. Each token of ``heldout`` is
    predicted, including the first one and every ``end_of_text``.

    Takes about 150 bytes per training token: 3 GB for 20 million.

    Args:
        train, heldout: (N,) token ids below ``vocab_size``.
        order: longest m-gram, 1 or more.
    """
    if order < 1:
        raise ValueError(f"order is {order}")
    seen = _Grams.begin(train, vocab_size, end_of_text)
    new = _Grams.begin(heldout, vocab_size, end_of_text)
    p = np.full(len(heldout), 1 / vocab_size)
    level = _Level.unigrams(seen)
    for m in range(1, order + 1):
        longer = seen.lengthen(m + 1) if m < order else None
        counts = level.counts
        if longer is not None:
            before = np.bincount(longer.suffixes, minlength=len(counts))
            counts = np.where(before > 0, before, counts)
        contexts, grams = new.context_ids(m), new.ids[1:]
        p = level.interpolated(counts, contexts, grams, p)
        if longer is not None:
            new.look_up(m + 1, longer.keys)
            level = longer
    return -float(np.log(p).sum())


@dataclass
class _Level:
    """All m-grams of one length in the training tokens, numbered; g is their number.

    Attributes:
        keys: (g,) ascending: first token times the number of (m-1)-grams, plus the id of the rest.
        suffixes: (g,) id of the rest, the last m - 1 tokens.
        contexts: (g,) id of the first m - 1 tokens.
        counts: (g,) occurrences.
        context_count: number of (m-1)-grams.
    """

    keys: _Ints
    suffixes: _Ints
    contexts: _Ints
    counts: _Ints
    context_count: int

    @classmethod
    def unigrams(cls, seen: _Grams) -> _Level:
        """Every token of the vocabulary, whether it occurs or not; their context is empty."""
        keys = np.arange(seen.count)
        empty = np.zeros(seen.count, np.int64)
        return cls(keys, empty, empty, np.bincount(seen.tokens[1:], minlength=seen.count), 1)

    def interpolated(self, counts: _Ints, contexts: _Ints, grams: _Ints, lower: _Floats) -> _Floats:
        """P_m of m-grams, given P_{m-1} (``lower``); ids are -1 for m-grams that don't occur."""
        discount = _discount(counts)
        totals = np.bincount(self.contexts, counts, self.context_count)
        kinds = np.bincount(self.contexts, counts > 0, self.context_count)
        p = lower.copy()
        at = np.flatnonzero(contexts >= 0)
        at = at[totals[contexts[at]] > 0]
        c = np.where(grams[at] >= 0, counts[grams[at]], 0)
        left = np.maximum(c - discount, 0)
        h = contexts[at]
        p[at] = (left + discount * kinds[h] * lower[at]) / totals[h]
        return p


class _Grams:
    """The m-gram that ends at each token, as an id; ``lengthen`` or ``look_up`` go from m to m + 1.

    Attributes:
        tokens: (N + 1,) with an ``end_of_text`` before the first.
        reach: (N + 1,) tokens of context: back to the last ``end_of_text``, that one included.
        ids: (N + 1,) id of the m-gram that ends here, -1 without one.
        shorter: the same of m - 1.
        count: number of m-grams.
    """

    def __init__(self, tokens: _Ints, reach: _Ints, count: int) -> None:
        self.tokens = tokens
        self.reach = reach
        self.count = count
        self.ids = self.shorter = tokens

    @classmethod
    def begin(cls, tokens: NDArray[Any], vocab_size: int, end_of_text: int) -> _Grams:
        tokens = np.concatenate(([end_of_text], tokens)).astype(np.int64)
        position = np.arange(len(tokens))
        last = np.maximum.accumulate(np.where(tokens == end_of_text, position, 0))
        reach = np.zeros(len(tokens), np.int64)
        reach[1:] = position[1:] - last[:-1]
        return cls(tokens, reach, vocab_size)

    def lengthen(self, m: int) -> _Level:
        """Number the m-grams, given ids of the (m-1)-grams."""
        at = self._ends(m)
        keys, ids, counts = np.unique(self._keys(at, m), return_inverse=True, return_counts=True)
        contexts = np.empty(len(keys), np.int64)
        contexts[ids] = self.ids[at - 1]  # the same at each occurrence
        level = _Level(keys, keys % self.count, contexts, counts, self.count)
        self._set(at, ids, len(keys))
        return level

    def look_up(self, m: int, keys: _Ints) -> None:
        """Number the m-grams as ``keys`` has them."""
        at = self._ends(m)
        at = at[self.ids[at] >= 0]
        wanted = self._keys(at, m)
        place = np.searchsorted(keys, wanted)
        found = place < len(keys)
        found[found] = keys[place[found]] == wanted[found]
        self._set(at[found], place[found], len(keys))

    def context_ids(self, m: int) -> _Ints:
        """(N,) id of the m - 1 tokens before each token but the first, -1 without such a gram."""
        if m == 1:
            return np.zeros(len(self.tokens) - 1, np.int64)
        return np.where(self.reach[1:] >= m - 1, self.shorter[:-1], -1)

    def _ends(self, m: int) -> _Ints:
        """Where m-grams end."""
        return np.flatnonzero(self.reach >= m - 1)

    def _keys(self, at: _Ints, m: int) -> _Ints:
        return self.tokens[at - m + 1] * self.count + self.ids[at]

    def _set(self, at: _Ints, ids: _Ints, count: int) -> None:
        self.shorter = self.ids
        self.ids = np.full(len(self.tokens), -1)
        self.ids[at] = ids
        self.count = count


def _discount(counts: _Ints) -> float:
    """n1 / (n1 + 2 n2), or a half if n1 is 0, so that no token gets probability 0."""
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once else 0.5
