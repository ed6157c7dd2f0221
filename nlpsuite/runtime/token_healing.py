"""Continuing after white space: the tokens that begin with it take its place.

A model has seen the end of a docstring and ``return`` behind it as three tokens: the quotes, a line break with three
spaces, ``return`` with the fourth. After a prompt that ends in the line break alone, which is another token, it has
hardly ever seen anything, and what it says is poor: of the first 40 problems of
HumanEval the default model solves none that way, and four if the line break is its own to write. So white space at the
end of a plain text is taken off, the first tokens drawn are among those that spell it again, and it is taken off the
answer. Known as token healing (S. Lundberg, "The Art of Prompt Design", 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.prompt import Prompt

__all__ = ["HealingState", "TokenHealer"]

_LONGEST = 64  # characters; more white space than that is the text itself, not how it ends


class TokenHealer:
    """What white space the tokens of a vocabulary begin with.

    Args:
        texts: token id to what it spells, without tokens that spell nothing.
    """

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._texts = {i: text for i, text in texts.items() if text[:1].isspace()}
        self._allowed: dict[str, npt.NDArray[np.int64]] = {}

    def split(self, prompt: Prompt) -> tuple[Prompt, str]:
        """The prompt without the white space at its end, and that white space; empty where there is none,
        where the prompt isn't plain text, or where no token spells it.
        """
        bare = prompt.text.rstrip()
        space = prompt.text[len(bare) :]
        usable = bare and not (prompt.messages or prompt.prefill or prompt.choices) and len(space) <= _LONGEST
        if not (space and usable and self.allowed(space).size):
            return prompt, ""
        return replace(prompt, text=bare), space

    def allowed(self, space: str) -> npt.NDArray[np.int64]:
        """Ids of the tokens that begin with ``space`` or spell a beginning of it, in order."""
        if space not in self._allowed:
            found = [i for i, text in self._texts.items() if text.startswith(space) or space.startswith(text)]
            self._allowed[space] = np.array(sorted(found), np.int64)
        return self._allowed[space]

    def spelled(self, token: int) -> int:
        """Characters of a token."""
        return len(self._texts[token])


class HealingState:
    """The white space that one row has yet to spell."""

    def __init__(self, healer: TokenHealer, space: str) -> None:
        self._healer, self._left = healer, space

    def restrict(self, logits: npt.NDArray[np.float32]) -> None:
        """Allow only tokens that continue the white space; all, once it is spelled. (V,), in place."""
        if not self._left:
            return
        allowed = self._healer.allowed(self._left)
        if not allowed.size:  # no token spells what is left
            self._left = ""
            return
        values = logits[allowed]
        logits.fill(-np.inf)
        logits[allowed] = values

    def took(self, token: int) -> None:
        """``token`` was drawn."""
        if self._left:
            self._left = self._left[self._healer.spelled(token) :]


def spellings(decode_batch: Callable[[list[list[int]]], Sequence[str]], size: int) -> dict[int, str]:
    """Token id to text, of those ids below ``size`` that have one."""
    texts = decode_batch([[i] for i in range(size)])
    return {i: text for i, text in enumerate(texts) if text}
