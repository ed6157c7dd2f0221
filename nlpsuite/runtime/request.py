"""One request: a prompt, and its text as it is drawn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.draft import Draft
from nlpsuite.runtime.lookup import PromptLookup
from nlpsuite.runtime.prompt import Completion, FinishReason, Prompt, ScoredToken, TokenPiece
from nlpsuite.runtime.sampling import log_normalizers
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["Request", "Row"]


class Row(Protocol):
    """What occupies a slot: a request, or a part of one.

    Attributes:
        ids: the prompt's tokens.
        position: number of tokens in the slot's state.
        token: to be fed next.
        finished: the slot may be freed.
    """

    ids: list[int]
    position: int
    token: int
    finished: bool

    @property
    def reading(self) -> bool:
        """Whether part of the prompt is still unread."""

    @property
    def writing(self) -> bool:
        """Whether there is a token to feed."""

    @property
    def room(self) -> int:
        """Positions that it may need."""

    @property
    def seen(self) -> list[int]:
        """The tokens in the slot's state."""

    @property
    def scores_prompt(self) -> bool:
        """Whether the logits after every token of the prompt are wanted."""

    def score(self, start: int, logits: npt.NDArray[np.float32]) -> None:
        """Record the prompt's tokens that follow those read from ``start`` on; ``logits`` (S, V) are after these."""

    def guess(self, most: int) -> list[int]:
        """Tokens that may follow the one to be fed."""

    def accept(self, guess: list[int], logits: npt.NDArray[np.float32]) -> None:
        """Take the logits (1 + len(guess), V) after the token fed and a guess; they may be changed in place."""


class Request:
    """A prompt on its way through a scheduler, in a slot of its own.

    Args:
        ends: ids of tokens that end a text.
        context_length: maximum number of tokens, prompt and completion together.

    Attributes:
        ids: the prompt's tokens.
        position: number of tokens in the slot's state.
        token: drawn and not yet in the state.
        events: pieces of text and, last, the completion or an error, not yet taken.
        finished: the completion is among the events, or the request was cancelled.

    Raises:
        InputTooLongError: the prompt leaves no room in the context for an answer.
    """

    def __init__(
        self, prompt: Prompt, tokenizer: Tokenizer, ends: Iterable[int], context_length: int
    ) -> None:
        self._started = time.perf_counter()
        self._tokenizer, self._context_length = tokenizer, context_length
        self._prompt = prompt
        bare, space = (prompt, "") if prompt.score_prompt else tokenizer.split_space(prompt)
        ends = frozenset(ends)
        # With nothing to continue, start as if after the end of another text.
        self.ids = tokenizer.encode_prompt(bare) or [tokenizer.first_token(ends)]
        if len(self.ids) >= context_length:
            raise InputTooLongError(
                f"The prompt has {len(self.ids):,} tokens; the model's context is {context_length:,}.",
                hint="Shorten the input.",
            )
        self._draft = Draft(prompt, tokenizer, self.ids, space, ends, context_length)
        self._tokens: list[ScoredToken] = []
        self._given = 0  # of these with pieces of text
        self._ahead = -len(space.encode())  # bytes of these beyond the text that was released
        self._lookup = PromptLookup(self.ids)
        self._first_token_at: float | None = None
        self.position = self.token = 0
        self.finished = False
        self.events: deque[str | Completion | Exception] = deque([prompt.prefill] if prompt.prefill else [])

    @property
    def reading(self) -> bool:
        """Whether part of the prompt is still unread."""
        return self.position < len(self.ids)

    @property
    def writing(self) -> bool:
        """Whether there is a token to feed."""
        return not self.reading

    @property
    def rows(self) -> Sequence[Row]:
        """What takes a slot."""
        return [self]

    def cancel(self) -> None:
        """Stop."""
        self.finished = True

    @property
    def room(self) -> int:
        """Positions that the request may need."""
        return min(len(self.ids) + self._prompt.max_tokens, self._context_length)

    @property
    def seen(self) -> list[int]:
        """The tokens in the slot's state."""
        return self._lookup.ids[: self.position]

    def guess(self, most: int) -> list[int]:
        """Tokens that may follow the one drawn last, none beyond the request's end."""
        left = self._draft.left - 1
        return self._lookup.guess(min(most, left)) if left > 0 else []

    def accept(self, guess: list[int], logits: npt.NDArray[np.float32]) -> None:
        """Draw tokens after a run over the last one and a guess.

        Args:
            logits: (1 + len(guess), V), after each of these; may be changed in place.
        """
        for at, row in enumerate(logits):
            try:
                self._draw(row)
            except Exception as error:  # of a constraint or a boundary
                self._fail(error)
            if self.finished or at == len(guess):
                break
            if self.token != guess[at]:
                break
            self.position += 1  # the guessed token is in the state
        if guess:
            self._lookup.record(at)

    @property
    def scores_prompt(self) -> bool:
        """Whether the logits after every token of the prompt are wanted."""
        return self._prompt.score_prompt

    def score(self, start: int, logits: npt.NDArray[np.float32]) -> None:
        """Record the prompt's tokens that follow those read from ``start`` on; ``logits`` (S, V) are after these."""
        scored = []
        if start == 0 and self.ids[0] != self._tokenizer.add_bos:
            scored.append(ScoredToken(self.ids[0], self._tokenizer.bytes_of(self.ids[0]), None))
        following = self.ids[start + 1 : start + 1 + len(logits)]
        scored += map(self._scored, following, logits, log_normalizers(logits[: len(following)]))
        self._tokens += scored
        self._ahead -= sum(map(self._width, scored))
        if start + len(logits) == len(self.ids) and not self._prompt.max_tokens:
            self._finish("", "length")

    def _draw(self, logits: npt.NDArray[np.float32]) -> None:
        draft, recorded = self._draft, self._prompt.logprobs is not None
        unchanged = logits.copy() if recorded else logits
        draft.restrict(logits)
        token = draft.draw(logits)
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()
        before = draft.generated
        piece = draft.push(token)
        if draft.generated > before:  # not one that only ends the text
            if recorded:
                self._tokens.append(self._scored(token, unchanged, float(log_normalizers(unchanged))))
            self.token = token
            self._lookup.push(token)
        if draft.finish_reason:
            self._finish(piece, draft.finish_reason)
        elif piece:
            self._give(piece)

    def _scored(self, token: int, logits: npt.NDArray[np.float32], normalizer: float) -> ScoredToken:
        def scored(token: int) -> ScoredToken:
            return ScoredToken(token, self._tokenizer.bytes_of(token), float(logits[token] - normalizer))

        count = min(self._prompt.logprobs or 0, len(logits))
        likeliest = np.argpartition(logits, -count)[-count:] if count else np.empty(0, np.int64)
        likeliest = likeliest[np.lexsort((likeliest, -logits[likeliest]))]
        return replace(scored(token), alternatives=tuple(scored(int(i)) for i in likeliest))

    def _give(self, piece: str) -> None:
        """Release text, and with it the tokens that begin in it."""
        self._ahead -= len(piece.encode())
        first = self._given
        while self._ahead < 0 and self._given < len(self._tokens):
            self._ahead += self._width(self._tokens[self._given])
            self._given += 1
        if self._given > first:
            piece = TokenPiece(piece, tuple(self._tokens[first : self._given]))
        if piece:
            self.events.append(piece)

    def _width(self, token: ScoredToken) -> int:
        """Bytes of a token in the text."""
        return 0 if token.id in self._tokenizer.control_ids else len(token.bytes)

    def _fail(self, error: Exception) -> None:
        """End with an error, which is raised where the events are taken: the thread that draws may be another's."""
        self.events.append(error)
        self.finished = True

    def _finish(self, piece: str, reason: FinishReason) -> None:
        self._give(piece)
        if self._draft.cut:
            del self._tokens[self._given :]
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()
        self.events.append(
            Completion(
                text=self._draft.text,
                finish_reason=reason,
                prompt_tokens=len(self.ids),
                completion_tokens=self._draft.generated,
                first_token_seconds=self._first_token_at - self._started,
                tokens=tuple(self._tokens),
            )
        )
        self.finished = True
