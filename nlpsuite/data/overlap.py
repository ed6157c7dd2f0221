"""What two sets of texts share: runs of words, or whole lines. It shows whether training data hold evaluation data.

Runs of 13 words are what Brown et al. 2020 (arXiv:2005.14165, appendix C) take for an overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["NGRAM", "OverlapIndex"]

NGRAM = 13
"""Words in a run, unless said otherwise."""

_WORDS = re.compile(r"\w+")
_LEAST_DISTINCT = 5  # words but for numbers in a run: "[1, 2, 3, …]" is no evidence


class OverlapIndex:
    """Texts of an evaluation set, for looking up what others share with them.

    Case, white space and punctuation don't count.

    Args:
        ngram: number of words in a run; 0 compares whole lines.
        least_words: shorter lines are left out, since "Thank you!" is everybody's.
    """

    def __init__(self, ngram: int = NGRAM, least_words: int = 4) -> None:
        self._ngram, self._least_words = ngram, least_words
        self._rows: dict[int, set[int]] = {}

    def __len__(self) -> int:
        """Number of distinct runs or lines."""
        return len(self._rows)

    def add(self, row: int, text: str) -> None:
        """Add a text of the row with that number."""
        for key, _ in self._keys(text):
            self._rows.setdefault(key, set()).add(row)

    def found(self, text: str) -> Iterator[tuple[frozenset[int], str]]:
        """For each run or line of ``text`` that is in the index: the rows that have it, and the run itself."""
        for key, unit in self._keys(text):
            if key in self._rows:
                yield frozenset(self._rows[key]), unit

    def shares(self, text: str) -> bool:
        """Whether anything of ``text`` is in the index."""
        return next(self.found(text), None) is not None

    def _keys(self, text: str) -> Iterator[tuple[int, str]]:
        if not self._ngram:
            for line in text.splitlines():
                words = _WORDS.findall(line.casefold())
                if len(words) >= self._least_words:
                    yield hash(tuple(words)), line.strip()
            return
        words = _WORDS.findall(text.casefold())
        for at in range(len(words) - self._ngram + 1):
            run = words[at : at + self._ngram]
            if len({word for word in run if not word.isdigit()}) >= _LEAST_DISTINCT:
                yield hash(tuple(run)), " ".join(run)
