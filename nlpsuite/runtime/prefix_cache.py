"""States of prompts' beginnings, so that instructions, examples and a dialogue's history are read once.

Prompts are read in chunks that end at fixed positions, and the state of each chunk is saved. A prompt that
begins with the same tokens gets copies of these states, which are what reading them again would give.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.session import SlotSession

__all__ = ["PrefixCache", "chunk_end", "chunks"]

# The first chunks are short, since most instructions are; longer chunks are faster.
_FIRST, _SECOND, _CHUNK = 32, 96, 128


def chunk_end(position: int) -> int:
    """Where a chunk that begins at or after ``position`` ends: 32, 96, then every 128 tokens."""
    if position < _FIRST:
        return _FIRST
    if position < _SECOND:
        return _SECOND
    return _SECOND + _CHUNK * (1 + (position - _SECOND) // _CHUNK)


def chunks(length: int) -> Iterator[tuple[int, int]]:
    """Start and end of the whole chunks in a text of ``length`` tokens."""
    start = 0
    while (end := chunk_end(start)) <= length:
        yield start, end
        start = end


class PrefixCache:
    """The states of the least recently used chunks, up to a number of bytes.

    Args:
        capacity: in bytes; 0 saves nothing.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._chunks: OrderedDict[bytes, list[npt.NDArray[Any]]] = OrderedDict()
        self.size = 0
        """Bytes in use."""

    def restore(self, session: SlotSession, slot: int, ids: Sequence[int]) -> int:
        """Copy the longest known beginning of ``ids`` into a slot; returns its length.

        At least one token is left to read.
        """
        keys: list[bytes] = []
        position = 0
        for start, end, key in _keyed(ids[:-1]):
            if key not in self._chunks:
                break
            keys.append(key)
            if not session.recurrent:
                session.write_state(slot, start, self._chunks[key])
            position = end
        if session.recurrent and keys:  # the last state holds all
            session.write_state(slot, 0, self._chunks[keys[-1]])
        self._touch(keys)
        return position

    def save(self, session: SlotSession, slot: int, ids: Sequence[int], start: int) -> None:
        """Save the state of a slot that has read ``ids``, the last of them from ``start`` on as a chunk."""
        if not self._capacity:
            return
        keys = [key for _, _, key in _keyed(ids)]
        if keys[-1] in self._chunks:
            return
        state = session.read_state(slot, start, len(ids))
        self._chunks[keys[-1]] = state
        self.size += sum(array.nbytes for array in state)
        self._touch(keys)
        while self.size > self._capacity:
            _, oldest = self._chunks.popitem(last=False)
            self.size -= sum(array.nbytes for array in oldest)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self.size = 0

    def _touch(self, keys: Sequence[bytes]) -> None:
        """Mark chunks as used, the first ones most recently: the later ones are of no use without them."""
        for key in reversed(keys):
            if key in self._chunks:
                self._chunks.move_to_end(key)


def _keyed(ids: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and key of each whole chunk; a key stands for all tokens up to the chunk's end."""
    tokens, key = np.asarray(ids, np.int32), b""
    for start, end in chunks(len(ids)):
        key = hashlib.blake2b(key + tokens[start:end].tobytes(), digest_size=16).digest()
        yield start, end, key
