"""Prompt lookup: guess the next tokens from an earlier occurrence of the last ones.

Summaries quote their source, and programs repeat themselves. Guessed tokens are read in one run together with
the last one, and those the model would have drawn anyway are kept: the text is the same, in fewer runs.
Source: A. Saxena, "Prompt Lookup Decoding", 2023; verification as in Leviathan et al. 2023 (arXiv:2211.17192).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PromptLookup"]

_SIZES = (3, 2)  # tokens that must agree, longest first
_LONGEST = 8  # guesses in one run
# A run over several tokens takes longer than one over a single token, so guessing stops while it gains fewer
# tokens per attempt than this, and is tried again after a number of steps that doubles with every failure.
_WORTHWHILE = 0.7
_FIRST_PAUSE, _LONGEST_PAUSE = 4, 64


class PromptLookup:
    """Guesses for one row. Depends on the row's tokens only, so that results can be repeated.

    Args:
        ids: the prompt's tokens.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        """The prompt's tokens and those of the text."""
        self._after: dict[tuple[int, ...], int] = {}  # tokens to where the token after them is
        self._gained = 2.0  # moving average of tokens gained per attempt
        self._pause, self._waiting = _FIRST_PAUSE, 0
        for token in ids:
            self.push(token)

    def push(self, token: int) -> None:
        """Add a token of the prompt or the text."""
        end = len(self.ids)
        for size in _SIZES:
            if end >= size:
                self._after[tuple(self.ids[end - size :])] = end
        self.ids.append(token)

    def guess(self, most: int) -> list[int]:
        """The tokens that may come next, ``most`` at the most; empty where there is no guess or none pays."""
        if self._waiting:
            self._waiting -= 1
            return []
        length = min(most, _LONGEST, 2 + round(2 * self._gained))
        for size in _SIZES:
            at = self._after.get(tuple(self.ids[-size:]))
            if at is not None:
                return self.ids[at : at + length]
        return []

    def record(self, gained: int) -> None:
        """Record how many tokens of the last guess were right."""
        self._gained += 0.3 * (gained - self._gained)
        if self._gained >= _WORTHWHILE:
            self._pause = _FIRST_PAUSE
        else:
            self._waiting, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
            self._gained = _WORTHWHILE  # so that one success resumes guessing
