"""Token healing: a prompt that ends in white space is continued by tokens that begin with that space.

A model has usually seen ``return`` after a docstring as three tokens: the quotes, a line break with three
spaces, and ``return`` with the fourth space. A prompt that ends in the bare line break ends in another token,
after which the model has hardly seen anything: of the first 40 problems of HumanEval the default model solves
none that way, and four if it writes the line break itself. So white space at the end of a plain text is cut
off, the first tokens are restricted to those that spell it, and it is removed from the completion.
Source: S. Lundberg, "The Art of Prompt Design", 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.prompt import Prompt

__all__ = ["HealingState", "TokenHealer"]

_LONGEST = 64  # characters; longer white space is content


class TokenHealer:
    """The tokens of a vocabulary that begin with white space.

    Args:
        texts: token id to its text.
    """

    def __init__(self, texts: Mapping[int, str]) -> None:
        self.texts = {i: text for i, text in texts.items() if text[:1].isspace()}
        self._allowed: dict[str, npt.NDArray[np.int64]] = {}

    def split(self, prompt: Prompt) -> tuple[Prompt, str]:
        """The prompt without its trailing white space, and that white space: empty if there is none, the prompt
        doesn't end in plain text, or no token spells it.
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
            found = [i for i, text in self.texts.items() if text.startswith(space) or space.startswith(text)]
            self._allowed[space] = np.array(sorted(found), np.int64)
        return self._allowed[space]


class HealingState:
    """The white space that a row has yet to generate."""

    def __init__(self, healer: TokenHealer, space: str) -> None:
        self._healer, self._left = healer, space

    def restrict(self, logits: npt.NDArray[np.float32]) -> None:
        """Mask logits (V,), in place, of tokens that don't continue the white space, until it is spelled out."""
        if not self._left:
            return
        allowed = self._healer.allowed(self._left)
        if not allowed.size:  # no token spells what is left
            self._left = ""
            return
        values = logits[allowed]
        logits.fill(-np.inf)
        logits[allowed] = values

    def advance(self, token: int) -> None:
        """Record that ``token`` was drawn."""
        if self._left:
            self._left = self._left[len(self._healer.texts[token]) :]
