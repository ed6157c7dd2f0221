"""Beam search: several beginnings of a text are written side by side, each in a slot of its own.

After every token the likeliest continuations of all of them go on. A text's score is its log-probability divided by
its number of tokens; without that, short texts win. Source: A. Graves, "Sequence Transduction with Recurrent Neural
Networks", 2012 (arXiv:1211.3711); the division as in Wu et al. 2016 (arXiv:1609.08144), with an exponent of 1.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.draft import Draft
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.runtime.sampling import log_normalizers
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["BeamRow", "BeamSearch"]


class BeamRow:
    """A beginning of the text, in a slot. The first row reads the prompt; the others wait for copies of its state.

    Attributes:
        draft: the beginning; None while the row waits.
        logprob: natural log-probability of the beginning.
    """

    scores_prompt = False

    def __init__(self, ids: list[int], room: int, *, first: bool) -> None:
        self.ids, self.room = ids, room
        self._first = first
        self.position = self.token = 0
        self.finished = False
        self.draft: Draft | None = None
        self.logprob = 0.0
        self.logits: npt.NDArray[np.float32] | None = None
        """What follows (V,), not yet used."""

    @property
    def reading(self) -> bool:
        """Whether part of the prompt is still unread."""
        return self._first and self.position < len(self.ids)

    @property
    def writing(self) -> bool:
        """Whether there is a token to feed."""
        return self.draft is not None and not self.reading

    @property
    def seen(self) -> list[int]:
        """The tokens in the slot's state that another prompt may begin with: the prompt's."""
        return self.ids[: self.position]

    def score(self, start: int, logits: npt.NDArray[np.float32]) -> None:
        """Prompts aren't scored."""

    def guess(self, most: int) -> list[int]:
        """Nothing: a guess is of use to one beginning alone."""
        return []

    def accept(self, guess: list[int], logits: npt.NDArray[np.float32]) -> None:
        """Take the logits (1, V) of what follows."""
        self.logits = logits[0]


class _Candidate(NamedTuple):
    """A beginning with one more token."""

    logprob: float
    row: BeamRow
    token: int


class _Ended(NamedTuple):
    """A text with its score."""

    score: float
    draft: Draft


class BeamSearch:
    """A prompt whose text is searched for; in a scheduler's eyes, a request with several rows.

    Args:
        ends: ids of tokens that end a text.
        context_length: maximum number of tokens, prompt and completion together.

    Attributes:
        rows: one for each beam.
        events: the completion's text and, last, the completion, not yet taken.
        finished: the completion is among the events, or the search was cancelled.

    Raises:
        InputTooLongError: the prompt leaves no room in the context for an answer.
    """

    def __init__(
        self, prompt: Prompt, tokenizer: Tokenizer, ends: Iterable[int], context_length: int
    ) -> None:
        self._started, self._first_token_at = time.perf_counter(), 0.0
        bare, space = tokenizer.split_space(prompt)
        ends = frozenset(ends)
        self._ids = tokenizer.encode_prompt(bare) or [tokenizer.first_token(ends)]
        if len(self._ids) >= context_length:
            raise InputTooLongError(
                f"The prompt has {len(self._ids):,} tokens; the model's context is {context_length:,}.",
                hint="Shorten the input.",
            )
        room = min(len(self._ids) + prompt.max_tokens, context_length)
        self.rows = [BeamRow(self._ids, room, first=i == 0) for i in range(prompt.sampling.beams)]
        self.rows[0].draft = Draft(prompt, tokenizer, self._ids, space, ends, context_length)
        self._ended: list[_Ended] = []
        self.finished = False
        self.events: deque[str | Completion | Exception] = deque()

    @property
    def room(self) -> int:
        """Positions that each row may need."""
        return self.rows[0].room

    def cancel(self) -> None:
        """Stop."""
        self.finished = True
        for row in self.rows:
            row.finished = True

    def advance(self) -> list[tuple[BeamRow, BeamRow]]:
        """Go on by one token where the rows have been fed.

        Returns:
            which row's state to copy to which, in this order, before the next run.
        """
        live = [row for row in self.rows if row.logits is not None]
        if not live or self.finished:
            return []
        self._first_token_at = self._first_token_at or time.perf_counter()
        try:
            return self._choose(live)
        except Exception as error:  # of a boundary: raised where the events are taken
            self.events.append(error)
            self.cancel()
            return []

    def _choose(self, live: Sequence[BeamRow]) -> list[tuple[BeamRow, BeamRow]]:
        chosen: list[tuple[_Candidate, Draft]] = []
        for rank, candidate in enumerate(self._candidates(live)):
            assert candidate.row.draft is not None
            draft = candidate.row.draft.fork()
            draft.push(candidate.token)
            if draft.finish_reason is None:
                chosen.append((candidate, draft))
            elif rank < len(self.rows):  # an end that others surpass isn't one
                # The token that ends a text counts, as its probability does.
                tokens = draft.generated + (draft.generated == candidate.row.draft.generated)
                self._ended.append(_Ended(candidate.logprob / tokens, draft))
            if len(chosen) == len(self.rows):
                break
        for row in live:
            row.logits = None
        if not chosen or self._settled(chosen[0][0].logprob / chosen[0][1].generated):
            self._finish()
            return []
        return self._place(chosen)

    def _candidates(self, live: Sequence[BeamRow]) -> list[_Candidate]:
        """The likeliest continuations of all beginnings, enough of them even if half are ends."""
        found = []
        most = 2 * len(self.rows)
        for row in live:
            assert row.draft is not None and row.logits is not None
            row.draft.restrict(row.logits)
            normalizer = float(log_normalizers(row.logits))
            for token in (
                np.argpartition(row.logits, -most)[-most:]
                if most < len(row.logits)
                else range(len(row.logits))
            ):
                logprob = row.logprob + float(row.logits[token]) - normalizer
                if math.isfinite(logprob):
                    found.append(_Candidate(logprob, row, int(token)))
        # Equal ones by token, so that the order never depends on how they were found.
        found.sort(key=lambda c: (-c.logprob, self.rows.index(c.row), c.token))
        return found[:most]

    def _settled(self, best: float) -> bool:
        """Whether there are enough texts, the worst of them no worse than ``best``, the score of what goes on."""
        self._ended.sort(key=lambda ended: -ended.score)
        del self._ended[len(self.rows) :]
        return len(self._ended) == len(self.rows) and self._ended[-1].score >= best

    def _place(self, chosen: Sequence[tuple[_Candidate, Draft]]) -> list[tuple[BeamRow, BeamRow]]:
        """Give each beginning a row: its parent's if that is still free, else another's."""
        position = chosen[0][0].row.position
        parents = {id(candidate.row) for candidate, _ in chosen}
        free = [row for row in self.rows if id(row) not in parents]
        taken: set[int] = set()
        copies = []
        placed = []
        for candidate, draft in chosen:
            row = candidate.row
            if id(row) in taken:
                row = free.pop(0)
                copies.append((candidate.row, row))
            taken.add(id(row))
            placed.append((row, candidate, draft))
        for row in free:  # fewer beginnings than beams
            row.draft = None
        for row, candidate, draft in placed:
            row.position, row.token, row.logprob, row.draft = (
                position,
                candidate.token,
                candidate.logprob,
                draft,
            )
        return copies

    def _finish(self) -> None:
        self._ended.sort(key=lambda ended: -ended.score)
        draft = self._ended[0].draft
        assert draft.finish_reason is not None
        if draft.text:
            self.events.append(draft.text)
        self.events.append(
            Completion(
                text=draft.text,
                finish_reason=draft.finish_reason,
                prompt_tokens=len(self._ids),
                completion_tokens=draft.generated,
                first_token_seconds=self._first_token_at - self._started,
            )
        )
        self.cancel()
