"""What a model writes before its answer, between ``<think>`` and ``</think>``: hidden or shown."""

from __future__ import annotations

import re

__all__ = ["CLOSE", "OPEN", "ThoughtFilter", "without_thoughts"]

OPEN, CLOSE = "<think>", "</think>"
_THOUGHTS = re.compile(rf"\s*{OPEN}.*?({CLOSE}\s*|\Z)", re.DOTALL)


def without_thoughts(answer: str) -> str:
    """An answer without the thoughts that it begins with."""
    return _THOUGHTS.sub("", answer, count=1) if _THOUGHTS.match(answer) else answer


class ThoughtFilter:
    """Takes the thoughts out of a text that comes in pieces, with the white space around them.

    Args:
        opened: the prompt ends with ``<think>``, so the text begins within thoughts.
        show: leave them in; ``<think>`` is put in front if it was part of the prompt.
    """

    def __init__(self, *, opened: bool, show: bool) -> None:
        self._show, self._held = show, f"{OPEN}\n" if opened else ""
        self._done = False

    def push(self, new: str, *, final: bool) -> str:
        """Add a piece of text; returns what is certain to be shown.

        Args:
            final: nothing follows.
        """
        if self._done:
            return new
        self._held += new
        begin = self._held.lstrip()
        if self._show:
            self._done = True
            return self._held
        if begin.startswith(OPEN):
            if CLOSE not in begin:
                return ""
            answer = without_thoughts(begin)
            self._done = bool(answer)  # white space may follow, which is dropped
            return answer
        if OPEN.startswith(begin) and not final:
            return ""
        self._done = True
        return self._held
