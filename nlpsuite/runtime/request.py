"""One request: a prompt, and its text as it is drawn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.lookup import PromptLookup
from nlpsuite.runtime.number_limit import NumberLimit, numbers_of
from nlpsuite.runtime.prompt import Completion, FinishReason, Prompt, ScoredToken, TokenPiece
from nlpsuite.runtime.sampling import Sampler, log_normalizers
from nlpsuite.runtime.text_stream import TextStream, ends_sentence
from nlpsuite.runtime.token_healing import HealingState
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["Request"]


class Request:
    """A prompt on its way through a scheduler.

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
        self._tokenizer, self._ends, self._context_length = tokenizer, frozenset(ends), context_length
        self._prompt = prompt
        bare, space = (prompt, "") if prompt.score_prompt else tokenizer.split_space(prompt)
        # With nothing to continue, start as if after the end of another text.
        self.ids = tokenizer.encode_prompt(bare) or [tokenizer.first_token(self._ends)]
        if len(self.ids) >= context_length:
            raise InputTooLongError(
                f"The prompt has {len(self.ids):,} tokens; the model's context is {context_length:,}.",
                hint="Shorten the input.",
            )
        self._healing = HealingState(tokenizer.healer, space) if space else None
        self._numbers: NumberLimit | None = None
        if prompt.numbers_of is not None:
            self._numbers = NumberLimit(tokenizer.number_tokens, numbers_of(prompt.numbers_of))
        self._constraint = prompt.constraint() if prompt.constraint else None
        self._tokens: list[ScoredToken] = []
        self._given = 0  # of these with pieces of text
        self._ahead = -len(space.encode())  # bytes of these beyond the text that was released
        self._sampler = Sampler(prompt.sampling, self.ids)
        self._stream = TextStream(
            tokenizer.decode, prompt.stop, prompt.prefill, skip=len(space), boundary=prompt.boundary
        )
        self._lookup = PromptLookup(self.ids)
        self._first_token_at: float | None = None
        self._generated = 0
        self.position = self.token = 0
        self.finished = False
        self.events: deque[str | Completion | Exception] = deque([prompt.prefill] if prompt.prefill else [])

    @property
    def reading(self) -> bool:
        """Whether part of the prompt is still unread."""
        return self.position < len(self.ids)

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
        left = self._left - 1
        return self._lookup.guess(min(most, left)) if left > 0 else []

    @property
    def _left(self) -> int:
        """Tokens that may still be drawn."""
        return min(self._prompt.max_tokens - self._generated, self._context_length - 1 - self.position)

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
        recorded = self._prompt.logprobs is not None
        unchanged = logits.copy() if recorded else logits
        if self._constraint:
            self._constraint.mask(logits)
        if self._healing:
            self._healing.restrict(logits)
        if self._numbers:
            self._numbers.restrict(logits, self._left)
        token = self._sampler.draw(logits)
        if self._healing:
            self._healing.advance(token)
        if self._numbers:
            self._numbers.advance(token)
        if self._constraint:
            self._constraint.advance(token)
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()
        if token in self._ends:
            self._finish("", "stop")
        elif self._at_sentence_end(token):
            self._finish("", "sentence")
        else:
            if recorded:
                self._tokens.append(self._scored(token, unchanged, float(log_normalizers(unchanged))))
            self._take(token)

    def _scored(self, token: int, logits: npt.NDArray[np.float32], normalizer: float) -> ScoredToken:
        def scored(token: int) -> ScoredToken:
            return ScoredToken(token, self._tokenizer.bytes_of(token), float(logits[token] - normalizer))

        count = min(self._prompt.logprobs or 0, len(logits))
        likeliest = np.argpartition(logits, -count)[-count:] if count else np.empty(0, np.int64)
        likeliest = likeliest[np.lexsort((likeliest, -logits[likeliest]))]
        return replace(scored(token), alternatives=tuple(scored(int(i)) for i in likeliest))

    def _take(self, token: int) -> None:
        self.token = token
        self._lookup.push(token)
        self._generated += 1
        piece = self._stream.push(token)
        if self._stream.stopped:
            self._finish(piece, "stop")
        elif self._generated >= self._prompt.max_tokens:
            self._finish(piece, "length")
        elif self.position >= self._context_length - 1:
            self._finish(piece, "context")
        elif piece:
            self._give(piece)

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

    def _at_sentence_end(self, following: int) -> bool:
        """Whether a sentence ended before ``following``, late enough to stop there.

        Decided by the next token: the point in "3.5" ends nothing.
        """
        after = self._prompt.sentence_end_after
        if after is None or self._generated < after or not ends_sentence(self._stream.text):
            return False
        return self._tokenizer.decode([following])[:1].isspace()

    def _finish(self, piece: str, reason: FinishReason) -> None:
        piece += self._stream.finish(reason)
        self._give(piece)
        if self._stream.stopped:
            del self._tokens[self._given :]
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()
        self.events.append(
            Completion(
                text=self._stream.text,
                finish_reason=reason,
                prompt_tokens=len(self.ids),
                completion_tokens=self._generated,
                first_token_seconds=self._first_token_at - self._started,
                tokens=tuple(self._tokens),
            )
        )
        self.finished = True
