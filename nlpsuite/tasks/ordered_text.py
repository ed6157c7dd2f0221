"""The answers to several prompts, shown as one text while they are generated."""

from __future__ import annotations

from collections.abc import Sequence

from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.long_text import Part

__all__ = ["OrderedText"]


class OrderedText:
    """Puts the answers to several prompts in order as their pieces come, interleaved.

    Where the task strips its outputs, white space is held back until a word follows, so that what was shown
    equals the stripped text.

    Args:
        parts: what stands around each answer.
        strip: the task strips its outputs.
    """

    def __init__(self, parts: Sequence[Part], strip: bool) -> None:
        self._parts, self._strip = parts, strip
        self._waiting = [""] * len(parts)  # text that came before its turn
        self._done = [False] * len(parts)
        self._turn = 0
        self._started = False  # the answer whose turn it is has shown something
        self._held = parts[0].before  # text to show before the next word

    def take(self, index: int, event: str | Completion) -> str:
        """Take a piece or the end of an answer; return the text that can be shown now."""
        if isinstance(event, Completion):
            self._done[index] = True
        else:
            self._waiting[index] += event
        shown = ""
        while self._turn < len(self._parts):
            text, self._waiting[self._turn] = self._waiting[self._turn], ""
            shown += self._show(text if self._started or not self._strip else text.lstrip())
            if not self._done[self._turn]:
                break
            self._end_answer()
        return shown

    def _end_answer(self) -> None:
        if self._strip and self._started:
            self._held = ""  # white space at the end of the answer
        self._held += self._parts[self._turn].separator
        self._started = False
        self._turn += 1
        if self._turn < len(self._parts):
            self._held += self._parts[self._turn].before

    def _show(self, text: str) -> str:
        bare = text.rstrip() if self._strip else text
        if not bare:
            self._held += text
            return ""
        self._started = True
        shown, self._held = self._held + bare, text[len(bare) :]
        return shown

    def finish(self) -> str:
        """What stands behind the last answer."""
        return self._held.rstrip()
