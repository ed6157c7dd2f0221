"""Reading prompts into slots: rows of different lengths in chunks, a shared prefix only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import common_prefix

__all__ = ["SharedPrefix", "feed", "prefill", "read_shared"]

# Maximum number of tokens in a run, all rows together, and of a row alone: a trade-off of speed and memory. A
# row alone reads the positions it has, so that in shorter chunks attention reads fewer of them; and integer
# products of 256 rows are faster than those of 512.
_CHUNK = 512
_CHUNK_ALONE = 256
# A shorter shared prefix is not worth a separate run.
_MIN_SHARED = 24


class SharedPrefix(NamedTuple):
    """The beginning that rows share, and its state.

    Attributes:
        length: number of tokens, fewer than any row has; 0 where nothing worthwhile is shared.
        state: as ``SlotSession.read_state`` gives it.
    """

    length: int
    state: Sequence[npt.NDArray[Any]]


def read_shared(session: SlotSession, rows: Sequence[Sequence[int]], slot: int) -> SharedPrefix:
    """Read the beginning that all rows share, in a slot that is free."""
    length = min(common_prefix(rows), min(map(len, rows)) - 1)
    if len(rows) < 2 or length < _MIN_SHARED or session.device.kind != "cpu":  # elsewhere copies cost more
        return SharedPrefix(0, ())
    feed(session, [rows[0][:length]], np.zeros(1, np.int64), slot)
    return SharedPrefix(length, session.read_state(slot, 0, length))


def prefill(
    session: SlotSession, rows: Sequence[Sequence[int]], first: int, shared: SharedPrefix | None = None
) -> npt.NDArray[np.float32]:
    """Read each row's tokens into the slots from ``first`` on; returns the logits (B, V) after the last token.

    Args:
        shared: of these rows and others; by default what these rows share is read first.
    """
    session.reserve(first + len(rows), max(map(len, rows)) + 1)
    length, state = shared or read_shared(session, rows, first)
    if length:
        for slot in range(first, first + len(rows)):
            session.write_state(slot, 0, state)
    starts = np.full(len(rows), length, np.int64)
    out: list[npt.NDArray[np.float32]] = []
    for group in _groups([len(row) - length for row in rows]):
        tails = [rows[i][length:] for i in group]
        out.append(feed(session, tails, starts[group.start : group.stop], first + group.start)[:, -1])
    return np.concatenate(out)


def feed(
    session: SlotSession,
    rows: Sequence[Sequence[int]],
    starts: npt.NDArray[np.int64],
    first: int,
    *,
    read_all: bool = False,
) -> npt.NDArray[np.float32]:
    """Run rows of different lengths, each from its own start, and return their logits.

    Args:
        rows: the new tokens of each slot, at least one each.
        starts: (B,) number of tokens each slot has already seen.
        first: the first slot.
        read_all: return logits after every token, (B, S, V), meaningless past a row's own
            length; otherwise after each row's last token, (B, 1, V).
    """
    lengths = np.array([len(row) for row in rows])
    width = _CHUNK_ALONE if len(rows) == 1 else max(1, _CHUNK // len(rows))
    longest = int(lengths.max())
    session.reserve(first + len(rows), int(starts.max()) + longest)
    last: npt.NDArray[np.float32] | None = None
    pieces = []
    for at in range(0, longest, width):
        size = min(width, longest - at)
        ids = np.zeros((len(rows), size), np.int64)
        for i, row in enumerate(rows):
            part = row[at : at + size]
            ids[i, : len(part)] = part
        # A finished row writes padding past its end, where nothing is read; a recurrent one gets a length
        # of zero and remains unchanged.
        begin = starts + np.minimum(at, lengths)
        if read_all:
            reads = np.broadcast_to(np.arange(size), (len(rows), size))
        else:
            reads = np.clip(lengths - 1 - at, 0, size - 1)[:, None]
        logits = session.run(ids, begin, reads, first, np.clip(lengths - at, 0, size))
        if read_all:
            pieces.append(logits)
            continue
        ends_here = (lengths > at) & (lengths <= at + size)
        if last is None:
            last = logits
        else:
            last[ends_here] = logits[ends_here]
    return np.concatenate(pieces, axis=1) if read_all else last  # type: ignore[return-value]


def _groups(lengths: Sequence[int]) -> list[range]:
    """Ranges of consecutive rows to run together: at most a chunk of tokens, at most a quarter padding."""
    groups: list[range] = []
    begin = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or not _fits(lengths[begin : end + 1]):
            groups.append(range(begin, end))
            begin = end
    return groups


def _fits(lengths: Sequence[int]) -> bool:
    area = max(lengths) * len(lengths)
    return area <= _CHUNK and sum(lengths) >= 0.75 * area
