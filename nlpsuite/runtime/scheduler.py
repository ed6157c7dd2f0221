"""Continuous batching: requests join the running batch as slots become free, and leave it when they end.

Long prompts are read in chunks between the others' steps, so that a text being written never waits for more
than one chunk. Any number of threads may submit and take events: whichever waits for an event runs the next step.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np

from nlpsuite.errors import OptionError
from nlpsuite.runtime.beam import BeamRow, BeamSearch
from nlpsuite.runtime.prefix_cache import PrefixCache, chunk_end, chunks
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.runtime.request import Request, Row
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["MAX_POSITIONS", "Scheduler"]

# Positions in all slots together; of the default model 3 GB.
MAX_POSITIONS = 1 << 16

# Maximum number of prompt tokens read between two steps of the rows that generate.
_READ_TOGETHER = 256
# Rows that guess tokens (see ``lookup``): with more, a run is no longer bound by reading the weights, and every
# guess costs as much as a token.
_MOST_GUESSING = 2
_MOST_GUESSED = 8
# A longer state is released when nothing runs and less is needed, since every step of several rows reads all of it.
_SHORT = 256


Asked: TypeAlias = Request | BeamSearch


class _Waiter:
    """A thread that waits for the session, or for an event of its requests.

    Attributes:
        entered: whether it has the session.
    """

    def __init__(self, requests: Iterable[Asked]) -> None:
        self.requests = requests
        self.woken = threading.Lock()
        self.woken.acquire()
        self.entered = False


class Scheduler:
    """Generates for many prompts at once. Thread-safe.

    Args:
        max_slots: maximum number of rows in the batch.
        context_length: maximum number of tokens in a row, prompt and completion together.
        max_positions: maximum number of positions in all slots together; a request that needs more runs alone.
        prefixes: bytes for the states of prompts' beginnings.
        guess: whether to guess tokens by prompt lookup.
    """

    def __init__(
        self,
        session: SlotSession,
        tokenizer: Tokenizer,
        end_token_ids: Iterable[int],
        context_length: int,
        max_slots: int = 16,
        *,
        max_positions: int = MAX_POSITIONS,
        prefixes: int = 0,
        guess: bool = True,
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._ends = frozenset(end_token_ids)
        self._context_length, self._max_slots, self._max_positions = context_length, max_slots, max_positions
        self._prefixes = PrefixCache(prefixes if session.device.kind == "cpu" else 0)
        self._guess = guess and not session.recurrent
        self._rows: list[Row] = []  # row i is in slot i
        self._searches: list[BeamSearch] = []  # of these rows
        self._waiting: deque[Asked] = deque()
        self._lock = threading.Lock()  # of `_waiting` and of what follows
        self._queue: deque[_Waiter] = deque()
        self._busy = False

    def run(
        self, prompts: Iterable[Prompt], cancelled: Callable[[], bool] | None = None
    ) -> Generator[tuple[int, str | Completion], None, None]:
        """Yield ``(index, piece of text)`` as text is generated, and ``(index, completion)`` as each prompt ends.

        The pieces of a prompt join to its completion's text. Prompts are taken from the iterable only as
        slots may become free. Closing the generator cancels what hasn't ended.

        Args:
            cancelled: asked before each step; a reader of a long prompt can't close the generator before it yields.

        Raises:
            CancelledError: ``cancelled`` said yes.
            InputTooLongError: a prompt leaves no room for an answer.
            Exception: what a prompt's constraint or boundary raises.
        """
        source = enumerate(prompts)
        mine: dict[int, Asked] = {}
        try:
            while True:
                if cancelled and cancelled():
                    raise CancelledError
                while len(mine) < self._max_slots and (taken := next(source, None)):
                    mine[taken[0]] = self.submit(taken[1])
                if not mine:
                    return
                self._advance(mine.values())
                for index, request in list(mine.items()):
                    while request.events:
                        event = request.events.popleft()
                        if isinstance(event, Exception):
                            raise event
                        if isinstance(event, Completion):
                            del mine[index]
                        yield index, event
        finally:
            for request in mine.values():
                self.cancel(request)

    def submit(self, prompt: Prompt) -> Asked:
        """Queue a prompt.

        Raises:
            InputTooLongError: it leaves no room for an answer.
            OptionError: it asks for more beams than there are slots.
        """
        beams = prompt.sampling.beams
        if beams > self._max_slots:
            raise OptionError(f"{beams} beams need as many slots; there are {self._max_slots}.")
        kind = BeamSearch if beams > 1 else Request
        request = kind(prompt, self._tokenizer, self._ends, self._context_length)
        with self._lock:
            self._waiting.append(request)
        return request

    def cancel(self, request: Asked) -> None:
        """Stop a request and free its slots."""
        with self.turn():
            request.cancel()
            self._remove_finished()

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Have the session to oneself, between two steps; gives the first free slot."""
        self._enter()
        try:
            yield len(self._rows)
        finally:
            self._leave()

    def _advance(self, requests: Iterable[Asked]) -> None:
        """Return when one of the requests has an event, or after a step."""
        if any(request.events for request in requests) or not self._enter(requests):
            return
        try:
            if not any(request.events for request in requests):
                self._step()
        finally:
            self._leave()

    def _enter(self, requests: Iterable[Asked] = ()) -> bool:
        """Wait for the session, or for an event of the requests; returns whether it is the session.

        Threads get the session in the order in which they came. One that only waits for events gets them without
        it, while another thread runs the next step.
        """
        waiter = _Waiter(requests)
        with self._lock:
            if not self._busy:
                self._busy = True
                return True
            self._queue.append(waiter)
        try:
            waiter.woken.acquire()
        except BaseException:  # KeyboardInterrupt
            with self._lock:
                if waiter in self._queue:
                    self._queue.remove(waiter)
            if waiter.entered:
                self._leave()
            raise
        return waiter.entered

    def _leave(self) -> None:
        with self._lock:
            ready = [waiter for waiter in self._queue if any(request.events for request in waiter.requests)]
            for waiter in ready:
                self._queue.remove(waiter)
                waiter.woken.release()
            self._busy = bool(self._queue)
            if self._queue:
                following = self._queue.popleft()
                following.entered = True
                following.woken.release()

    @property
    def state_bytes(self) -> int:
        """Bytes in use for states."""
        return self._session.state_bytes + self._prefixes.size

    def release(self) -> None:
        """Forget all states, so that later results don't depend on earlier ones. Not while requests run."""
        with self.turn() as occupied:
            assert not occupied
            self._prefixes.clear()
            self._session.release()

    def _step(self) -> None:
        """Read a chunk of the prompts that are unread, and draw a token, or several, for the other rows."""
        self._admit()
        writing = [slot for slot, row in enumerate(self._rows) if row.writing]
        if group := self._next_to_read():
            self._read(group)
        if writing:
            self._write(writing)
        self._advance_searches()
        self._remove_finished()

    def _admit(self) -> None:
        idle = not self._rows
        with self._lock:
            self._waiting = deque(request for request in self._waiting if not request.finished)
            longest = max((row.room for row in self._rows), default=0)
            while self._waiting:
                longest = max(longest, self._waiting[0].room)
                rows = len(self._rows) + len(self._waiting[0].rows)
                if rows > self._max_slots or (self._rows and longest * rows > self._max_positions):
                    break
                request = self._waiting.popleft()
                self._rows += request.rows
                if isinstance(request, BeamSearch):
                    self._searches.append(request)
        if not self._rows:
            return
        if idle and self._session.length > max(_SHORT, 2 * longest):
            self._session.release()
        # At once: every growth copies what there is.
        self._session.reserve(len(self._rows), max(len(row.ids) for row in self._rows) + 1)

    def _next_to_read(self) -> range:
        """Neighbouring slots whose next chunks, of similar size, run together.

        The row of which the least has been read comes first, so that a short prompt doesn't wait for a long one.
        """
        unread = [slot for slot, row in enumerate(self._rows) if row.reading]
        if not unread:
            return range(0)
        first = min(unread, key=lambda slot: self._rows[slot].position)
        self._restore(first)
        sizes = [self._chunk(first)]
        for slot in range(first + 1, len(self._rows)):
            if not self._rows[slot].reading:
                break
            self._restore(slot)
            more = [*sizes, self._chunk(slot)]
            area = max(more) * len(more)
            if area > _READ_TOGETHER or sum(more) < 0.75 * area:
                break
            sizes = more
        return range(first, first + len(sizes))

    def _restore(self, slot: int) -> None:
        row = self._rows[slot]
        if row.position == 0 and not row.scores_prompt:
            row.position = self._prefixes.restore(self._session, slot, row.ids)

    def _chunk(self, slot: int) -> int:
        row = self._rows[slot]
        return min(chunk_end(row.position), len(row.ids)) - row.position

    def _read(self, group: range) -> None:
        """Read one chunk of each row of a group, and draw the first token of those that are read."""
        rows = [self._rows[slot] for slot in group]
        sizes = np.array([self._chunk(slot) for slot in group])
        ids = np.zeros((len(rows), int(sizes.max())), np.int64)
        for i, (row, size) in enumerate(zip(rows, sizes)):
            ids[i, :size] = row.ids[row.position : row.position + size]
        starts = np.array([row.position for row in rows])
        self._session.reserve(group.stop, int(starts.max()) + ids.shape[1])
        every = any(row.scores_prompt for row in rows)
        reads = np.broadcast_to(np.arange(ids.shape[1]), ids.shape) if every else sizes[:, None] - 1
        logits = self._session.run(ids, starts, reads, group.start, sizes)
        for slot, row, size, read in zip(group, rows, sizes, logits):
            start, row.position = row.position, row.position + int(size)
            if row.scores_prompt:
                row.score(start, read[:size])
            if row.position == chunk_end(start):
                self._prefixes.save(self._session, slot, row.ids[: row.position], start)
            if not row.reading and not row.finished:
                row.accept([], read[size - 1 : size] if every else read)

    def _write(self, writing: Sequence[int]) -> None:
        """Feed the last token of the rows in these slots, with guesses of the next ones, and draw what follows."""
        rows = self._rows[: writing[-1] + 1]
        may_guess = self._guess and len(writing) <= _MOST_GUESSING
        guesses = {slot: rows[slot].guess(_MOST_GUESSED) if may_guess else [] for slot in writing}
        # Other rows among them are fed a token that their next chunk overwrites, or that a length of 0 excludes.
        lengths = np.zeros(len(rows), np.int64)
        ids = np.zeros((len(rows), 1 + max(map(len, guesses.values()))), np.int64)
        for slot, guess in guesses.items():
            lengths[slot] = 1 + len(guess)
            ids[slot, : lengths[slot]] = [rows[slot].token, *guess]
        positions = np.array([row.position for row in rows])
        self._session.reserve(len(rows), int(positions.max()) + ids.shape[1])
        reads = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        logits = self._session.run(ids, positions, reads, 0, lengths)
        for slot, guess in guesses.items():
            rows[slot].position += 1
            rows[slot].accept(guess, logits[slot, : lengths[slot]])

    def _advance_searches(self) -> None:
        """Choose what goes on in each beam search."""
        for search in self._searches:
            for source, target in search.advance():
                self._session.copy_slot(self._slot_of(source), self._slot_of(target), source.position)
        self._searches = [search for search in self._searches if not search.finished]

    def _slot_of(self, wanted: BeamRow) -> int:
        return next(slot for slot, row in enumerate(self._rows) if row is wanted)

    def _remove_finished(self) -> None:
        """Free the slots of rows that have ended; the last row moves into the gap."""
        for slot in reversed(range(len(self._rows))):
            if self._rows[slot].finished:
                self._save_text(slot)
                last = self._rows.pop()
                if slot < len(self._rows):
                    if last.position:
                        self._session.copy_slot(len(self._rows), slot, last.position)
                    self._rows[slot] = last

    def _save_text(self, slot: int) -> None:
        """Save the state of a text that was written: the next turn of a dialogue begins with it."""
        row = self._rows[slot]
        if row.reading or self._session.recurrent:
            return
        seen = row.seen
        for start, end in chunks(len(seen)):
            if end > len(row.ids):
                self._prefixes.save(self._session, slot, seen[:end], start)
