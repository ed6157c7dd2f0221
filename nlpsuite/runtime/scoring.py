"""Exact log-probabilities of given text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.prefill import SharedPrefix, feed, prefill
from nlpsuite.runtime.sampling import log_normalizers, log_softmax
from nlpsuite.runtime.session import SlotSession

__all__ = ["continuation_logprobs", "many_token_logprobs", "token_logprobs"]

# Positions whose logits are in memory at once: 64 × a vocabulary of 50,000 × 4 bytes = 13 MB.
_READ_CHUNK = 64
# The same for many rows: larger runs are faster, up to this size.
_READ_TOGETHER = 256


def continuation_logprobs(
    session: SlotSession,
    contexts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[Sequence[int]]],
    slot: int = 0,
    shared: SharedPrefix | None = None,
) -> list[list[float]]:
    """Natural log-probability of each row's continuations after its context.

    One pass reads all contexts and gives every continuation's first token; only longer
    continuations cost another pass, which starts from the context's state and is rolled back.

    Args:
        contexts: a row's context ids, at least one each.
        continuations: for each row, the ids of its continuations; rows may differ in number.
        slot: the first to use.
        shared: beginning of these contexts and others, already read.
    """
    first = log_softmax(prefill(session, contexts, slot, shared))
    totals = [[float(first[i, c[0]]) for c in row] for i, row in enumerate(continuations)]
    for choice in range(max(map(len, continuations))):
        fed = [list(row[choice][:-1]) if choice < len(row) else [] for row in continuations]
        if not any(fed):
            continue
        lengths = np.array([len(context) for context in contexts])
        # A row with nothing to read is fed a dummy token.
        with session.rolled_back(slot, len(fed)):
            logits = feed(session, [ids or [0] for ids in fed], lengths, slot, read_all=True)
        for i, ids in enumerate(fed):
            if ids:
                steps = log_softmax(logits[i, : len(ids)])
                totals[i][choice] += float(steps[np.arange(len(ids)), continuations[i][choice][1:]].sum())
    return totals


def token_logprobs(
    session: SlotSession, ids: Sequence[int], context_length: int, slot: int = 0
) -> npt.NDArray[np.float64]:
    """Log-probability of each token after the first, given all before it; (len(ids) - 1,)."""
    if len(ids) > context_length:
        raise InputTooLongError(f"{len(ids):,} tokens exceed the model's context of {context_length:,}.")
    out = []
    for at in range(0, len(ids) - 1, _READ_CHUNK):
        part = ids[at : min(at + _READ_CHUNK, len(ids) - 1)]
        logits = feed(session, [part], np.array([at]), slot, read_all=True)[0]
        out.append(log_softmax(logits)[np.arange(len(part)), ids[at + 1 : at + 1 + len(part)]])
    return np.concatenate(out) if out else np.zeros(0)


def many_token_logprobs(
    session: SlotSession, rows: Sequence[Sequence[int]], begins: Sequence[int], slot: int = 0
) -> list[npt.NDArray[np.float64]]:
    """Log-probability of each row's tokens from its ``begins`` on, given those before it in the row.

    All rows run together, one slot each.

    Args:
        rows: token ids, at least two per row.
        begins: the first position to score in each row, at least 1.
        slot: the first to use.
    """
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))  # so that those still running come first
    found: list[list[npt.NDArray[np.float64]]] = [[] for _ in rows]
    # Each token but the last is fed, and predicts the next.
    ends = [len(rows[i]) - 1 for i in order]
    session.reserve(slot + len(rows), ends[0])
    at = 0
    while running := sum(end > at for end in ends):
        size = max(1, _READ_TOGETHER // running)
        # Runs don't go past the end of the shortest: its slot has no more to read.
        stop = min(at + size, ends[running - 1])
        parts = [rows[i][at:stop] for i in order[:running]]
        wanted = any(begins[i] <= stop for i in order[:running])
        logits = feed(session, parts, np.full(running, at), slot, read_all=wanted)
        for row, i in enumerate(order[:running]):
            skipped = max(0, begins[i] - 1 - at)
            if skipped < stop - at:
                targets = np.asarray(rows[i][at + 1 + skipped : stop + 1])
                scored = logits[row, skipped:]
                chosen = scored[np.arange(len(targets)), targets]
                found[i].append(chosen - log_normalizers(scored))
        at = stop
    return [np.concatenate(parts) for parts in found]
