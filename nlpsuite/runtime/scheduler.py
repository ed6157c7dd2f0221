"""Continuous batching: requests join the running batch as slots become free, and leave it when they end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.prefill import prefill
from nlpsuite.runtime.prompt import Completion, FinishReason, Prompt
from nlpsuite.runtime.sampling import Sampler
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.text_stream import TextStream, ends_sentence
from nlpsuite.runtime.token_healing import HealingState
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["Scheduler"]


@dataclass
class _Row:
    """One request in a slot."""

    index: int
    prompt: Prompt
    ids: list[int]
    sampler: Sampler
    stream: TextStream
    position: int  # tokens in the slot's state
    healing: HealingState | None = None  # of a text that ends in white space
    token: int = 0  # drawn, not yet fed
    generated: int = 0
    first_token_at: float | None = None


class Scheduler:
    """Generates for many prompts at once.

    Args:
        max_slots: maximum number of rows in the batch.
        context_length: maximum number of tokens in a row, prompt and completion together.
    """

    def __init__(
        self,
        session: SlotSession,
        tokenizer: Tokenizer,
        end_token_ids: Iterable[int],
        context_length: int,
        max_slots: int = 16,
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._ends = frozenset(end_token_ids)
        self._context_length, self._max_slots = context_length, max_slots

    def run(self, prompts: Iterable[Prompt]) -> Iterator[tuple[int, str | Completion]]:
        """Yield ``(index, piece of text)`` as text is generated, and ``(index, completion)`` as each prompt ends.

        The pieces of a prompt join to its completion's text. Prompts are taken from the iterable only as
        slots become free.

        Raises:
            InputTooLongError: a prompt leaves no room for an answer.
        """
        self._started = time.perf_counter()
        waiting = enumerate(prompts)
        active: list[_Row] = []  # row i is in slot i
        exhausted = False
        while True:
            joining: list[_Row] = []
            while not exhausted and len(active) + len(joining) < self._max_slots:
                index, prompt = next(waiting, (-1, None))
                if prompt is None:
                    exhausted = True
                else:
                    joining.append(self._row(index, prompt))
            if joining:
                # Sorted, so that rows of similar length are read in one run.
                joining.sort(key=lambda row: len(row.ids))
                for row in joining:
                    if row.prompt.prefill:
                        yield row.index, row.prompt.prefill
                logits = prefill(self._session, [row.ids for row in joining], first=len(active))
                active += joining
                yield from self._advance(active, logits, len(active) - len(joining))
            elif active:
                yield from self._advance(active, self._step(active), 0)
            elif exhausted:
                return

    def _row(self, index: int, prompt: Prompt) -> _Row:
        bare, space = prompt, ""
        if prompt.text[-1:].isspace():
            bare, space = self._tokenizer.healer.split(prompt)
        ids = self._tokenizer.encode_prompt(bare)
        if not ids:  # nothing to continue: start as if after the end of another text
            ids = [min(self._ends)]
        if len(ids) >= self._context_length:
            raise InputTooLongError(
                f"The prompt has {len(ids):,} tokens; the model's context is {self._context_length:,}.",
                hint="Shorten the input.",
            )
        stream = TextStream(self._tokenizer.decode, prompt.stop, prompt.prefill, skip=len(space))
        healing = HealingState(self._tokenizer.healer, space) if space else None
        return _Row(index, prompt, ids, Sampler(prompt.sampling, ids), stream, len(ids), healing)

    def _step(self, active: list[_Row]) -> np.ndarray:
        """Feed each row its last drawn token; returns logits (B, V)."""
        positions = np.array([row.position for row in active])
        self._session.reserve(len(active), int(positions.max()) + 1)
        ids = np.array([[row.token] for row in active])
        logits = self._session.run(ids, positions, np.zeros_like(ids))[:, 0]
        for row in active:
            row.position += 1
        return logits

    def _advance(
        self, active: list[_Row], logits: np.ndarray, first: int
    ) -> Iterator[tuple[int, str | Completion]]:
        """Draw a token for the rows from ``first`` on; remove finished rows and fill their slots."""
        finished: list[tuple[int, FinishReason]] = []
        for slot, row in enumerate(active[first:], first):
            piece, reason = self._draw(row, logits[slot - first])
            if reason is not None:
                piece += row.stream.finish()
                finished.append((slot, reason))
            if piece:
                yield row.index, piece
        for slot, reason in reversed(finished):
            row = active[slot]
            yield row.index, self._completion(row, reason)
            last = active.pop()
            if slot < len(active):
                self._session.copy_slot(len(active), [slot], last.position)
                active[slot] = last

    def _draw(self, row: _Row, logits: np.ndarray) -> tuple[str, FinishReason | None]:
        if row.healing:
            row.healing.restrict(logits)
        token = row.sampler.draw(logits)
        if row.healing:
            row.healing.advance(token)
        if row.first_token_at is None:
            row.first_token_at = time.perf_counter()
        if token in self._ends:
            return "", "stop"
        if self._at_sentence_end(row, token):
            return "", "sentence"
        row.token = token
        row.generated += 1
        piece = row.stream.push(token)
        if row.stream.stopped:
            return piece, "stop"
        if row.generated >= row.prompt.max_tokens:
            return piece, "length"
        if row.position >= self._context_length - 1:
            return piece, "context"
        return piece, None

    def _at_sentence_end(self, row: _Row, following: int) -> bool:
        """Whether a sentence ended before ``following``, late enough to stop there.

        Decided by the next token: the point in "3.5" ends nothing.
        """
        after = row.prompt.sentence_end_after
        if after is None or row.generated < after or not ends_sentence(row.stream.text):
            return False
        return self._tokenizer.decode([following])[:1].isspace()

    def _completion(self, row: _Row, reason: FinishReason) -> Completion:
        assert row.first_token_at is not None
        return Completion(
            text=row.stream.text,
            finish_reason=reason,
            prompt_tokens=len(row.ids),
            completion_tokens=row.generated,
            first_token_seconds=row.first_token_at - self._started,
        )
