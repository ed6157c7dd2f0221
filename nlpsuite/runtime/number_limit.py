"""Generated numbers limited to those of a given text: small models like to invent figures.

A number is digits with single points or commas between them, such as ``7``, ``3.5`` or ``1,200,000``. Tokens that
would begin another number, or end one too early, are masked. What is masked depends on the row's own tokens only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["NumberLimit", "NumberTokens", "numbers_of"]

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_PART = re.compile(r"[0-9]|\A[.,]\Z")


def numbers_of(text: str) -> frozenset[str]:
    """The numbers in a text, as they are written."""
    return frozenset(_NUMBER.findall(text))


class NumberTokens:
    """The tokens of a vocabulary that numbers are made of.

    Args:
        pieces: token as the vocabulary spells it, to its id.
        text_of: the text of a token, white space included.
    """

    def __init__(self, pieces: Mapping[str, int], text_of: Callable[[int], str]) -> None:
        self._text_of = text_of
        near = [i for piece, i in pieces.items() if re.search("[0-9.,]", piece)]
        self.texts = {i: text for i in sorted(near) if _PART.search(text := text_of(i))}
        """Id to text of each token that has a digit, or is a point or comma."""
        self.ids = np.array(list(self.texts), np.int64)

    def text(self, token: int) -> str:
        """The text of any token."""
        return self.texts[token] if token in self.texts else self._text_of(token)


class NumberLimit:
    """The number that a row is in the middle of, and what may follow.

    Args:
        tokens: of the vocabulary.
        numbers: those allowed.
    """

    def __init__(self, tokens: NumberTokens, numbers: frozenset[str]) -> None:
        self._tokens, self._numbers = tokens, numbers
        self._begun = ""  # may end in a point or comma that turns out to be the sentence's
        self._beginnings = {number[:size] for number in numbers for size in range(1, len(number) + 1)}
        self._allowed: dict[str, dict[int, str]] = {}

    def restrict(self, logits: npt.NDArray[np.float32], left: int) -> None:
        """Mask logits (V,), in place, of tokens that would make a number that isn't allowed.

        Args:
            left: tokens that may be drawn, this one included; no number is begun that doesn't fit.
        """
        after = self._after_each()
        fitting = np.array([token for token, begun in after.items() if self._missing(begun) < left], np.int64)
        values = logits[fitting]
        if self._missing(self._begun) == 0:
            logits[self._tokens.ids] = -np.inf
        elif len(fitting):  # only a vocabulary without single digits has none
            logits.fill(-np.inf)
        else:
            return
        logits[fitting] = values

    def advance(self, token: int) -> None:
        """Record that ``token`` was drawn."""
        if self._begun or token in self._tokens.texts:
            self._begun = self._after(self._begun, self._tokens.text(token)) or ""

    def _after_each(self) -> dict[int, str]:
        """The allowed ones of the tokens that numbers are made of, each with what is begun after it."""
        if self._begun not in self._allowed:
            after = {i: self._after(self._begun, text) for i, text in self._tokens.texts.items()}
            self._allowed[self._begun] = {i: begun for i, begun in after.items() if begun is not None}
        return self._allowed[self._begun]

    def _missing(self, begun: str) -> int:
        """Characters, and so at most tokens, that complete the shortest number with this beginning."""
        if not begun or begun.rstrip(".,") in self._numbers:
            return 0
        return min(len(number) for number in self._numbers if number.startswith(begun)) - len(begun)

    def _after(self, begun: str, text: str) -> str | None:
        """What is begun after ``text``, empty outside a number; None if there is a number that isn't allowed."""
        for character in text:
            if character in "0123456789":
                begun += character
                if begun not in self._beginnings:
                    return None
            elif character in ".," and begun and begun[-1] not in ".,":
                if begun not in self._numbers and begun + character not in self._beginnings:
                    return None
                begun += character
            elif begun and begun.rstrip(".,") not in self._numbers:
                return None
            else:
                begun = ""
        return begun
