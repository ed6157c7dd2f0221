"""Streamed text with notices in between."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Pieces"]


class Pieces:
    """Passes on the pieces of a text, and notices, each of which begins on a line of its own.

    Args:
        put: shows a piece of text.
        note: shows a notice.
    """

    def __init__(self, put: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._put, self._note = put, note
        self._started = self._ended = False

    def text(self, piece: str) -> None:
        """Show a piece of the text."""
        self._started, self._ended = True, False
        self._put(piece)

    def notice(self, text: str) -> None:
        """Show a notice, after ending the line of a text that was started."""
        if self._started:
            self.end()
        self._note(text)

    def end(self) -> None:
        """End the text's last line, unless it has been ended; an empty text has one too."""
        if not self._ended:
            self._put("\n")
        self._ended = True
