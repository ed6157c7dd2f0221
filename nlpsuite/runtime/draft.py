"""A text while it is written: which tokens may follow, and where it ends."""

from __future__ import annotations

import copy
from collections.abc import Set
from typing import Self

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.number_limit import NumberLimit, numbers_of
from nlpsuite.runtime.prompt import FinishReason, Prompt
from nlpsuite.runtime.sampling import Sampler
from nlpsuite.runtime.text_stream import TextStream, ends_sentence
from nlpsuite.runtime.token_healing import HealingState
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["Draft"]


class Draft:
    """The text after a prompt, up to here.

    Args:
        prompt: as the user gave it.
        ids: its tokens, the space to be healed left out.
        space: white space at the prompt's end that the first tokens repeat.
        ends: ids of tokens that end a text.
        context_length: maximum number of tokens, prompt and text together.

    Attributes:
        generated: number of the text's tokens.
        finish_reason: why it has ended; None while it goes on.
    """

    def __init__(
        self,
        prompt: Prompt,
        tokenizer: Tokenizer,
        ids: list[int],
        space: str,
        ends: Set[int],
        context_length: int,
    ) -> None:
        self._prompt, self._tokenizer, self._ends = prompt, tokenizer, ends
        self._room = min(prompt.max_tokens, context_length - len(ids))
        self._healing = HealingState(tokenizer.healer, space) if space else None
        self._numbers: NumberLimit | None = None
        if prompt.numbers_of is not None:
            self._numbers = NumberLimit(tokenizer.number_tokens, numbers_of(prompt.numbers_of))
        self._constraint = prompt.constraint() if prompt.constraint else None
        self._sampler = Sampler(prompt.sampling, ids)
        self._stream = TextStream(
            tokenizer.decode,
            prompt.stop,
            prompt.prefill,
            skip=len(space),
            boundary=prompt.boundary,
            thoughts=tokenizer.thought_filter(prompt),
        )
        self.generated = 0
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """The prefill and what has been generated, as far as it is final."""
        return self._stream.text

    @property
    def left(self) -> int:
        """Number of tokens that may still be generated."""
        return self._room - self.generated

    @property
    def cut(self) -> bool:
        """Whether a stop string or the boundary ended the text, within what was generated."""
        return self._stream.stopped

    def fork(self) -> Self:
        """A draft with the same beginning, which goes on by itself.

        Raises:
            TypeError: there is a constraint, which can't be copied.
        """
        if self._constraint is not None:
            raise TypeError("A draft under a constraint can't be forked.")
        twin = copy.copy(self)
        twin._healing, twin._numbers = copy.copy(self._healing), copy.copy(self._numbers)
        twin._sampler, twin._stream = self._sampler.fork(), self._stream.fork()
        return twin

    def restrict(self, logits: npt.NDArray[np.float32]) -> None:
        """Mask the logits (V,), in place, of tokens that may not follow, and apply penalties and biases."""
        if self._constraint:
            self._constraint.mask(logits)
        if self._healing:
            self._healing.restrict(logits)
        if self._numbers:
            self._numbers.restrict(logits, self.left)
        self._sampler.adjust(logits)

    def draw(self, logits: npt.NDArray[np.float32]) -> int:
        """The next token by the prompt's sampling settings; ``logits`` (V,) have been restricted."""
        return self._sampler.draw(logits)

    def push(self, token: int) -> str:
        """Add a token; returns the text that is now final. Sets ``finish_reason`` where the text ends.

        A token that ends the text without being part of it isn't counted.
        """
        for follower in (self._healing, self._numbers, self._constraint):
            if follower:
                follower.advance(token)
        self._sampler.record(token)
        if token in self._ends:
            return self._finish("stop")
        if self._at_sentence_end(token):
            return self._finish("sentence")
        self.generated += 1
        piece = self._stream.push(token)
        if self._stream.stopped:
            return piece + self._finish("stop")
        if self.left <= 0:
            return piece + self._finish("length" if self.generated >= self._prompt.max_tokens else "context")
        return piece

    def _finish(self, reason: FinishReason) -> str:
        self.finish_reason = reason
        return self._stream.finish(reason)

    def _at_sentence_end(self, following: int) -> bool:
        """Whether a sentence ended before ``following``, late enough to stop there.

        Decided by the next token: the point in "3.5" ends nothing.
        """
        after = self._prompt.sentence_end_after
        if after is None or self.generated < after or not ends_sentence(self._stream.text):
            return False
        return self._tokenizer.decode([following])[:1].isspace()
