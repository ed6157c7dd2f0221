"""Streaming detokenization: whole UTF-8 characters only, and never part of a stop string."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Self

from nlpsuite.runtime.prompt import Boundary, FinishReason
from nlpsuite.runtime.thoughts import ThoughtFilter

__all__ = ["TextStream", "ends_sentence"]

_REPLACEMENT = "�"
_SENTENCE_ENDS = ".!?。！？…"
_CLOSING = "\"')]}»”’」』）】"


class TextStream:
    """Decodes one row's tokens as they come.

    Text that may still change is held back: the bytes of an incomplete character, anything that could be the
    beginning of a stop string, and what a boundary isn't certain of.

    Args:
        decode: token ids to text.
        stop: strings that end the text.
        prefill: text before the first token; it is part of ``text`` but not returned.
        skip: number of leading characters to drop.
        boundary: of the text, without the prefill and the characters dropped.
        thoughts: takes out what precedes the answer.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stop: Sequence[str] = (),
        prefill: str = "",
        skip: int = 0,
        boundary: Boundary | None = None,
        thoughts: ThoughtFilter | None = None,
    ) -> None:
        self._decode = decode
        self._stop, self._boundary, self._thoughts = tuple(stop), boundary, thoughts
        self._ids: list[int] = []
        # Tokens before `_context` are settled; those between it and `_read` are decoded again
        # with each new one, because a tokenizer's decoder may look at its neighbours. `_given`
        # characters of what the tokens from `_context` on decode to have been released.
        self._context = self._read = self._given = 0
        self._held = ""
        self._skip = skip
        self._prefilled = len(prefill)
        self.text = prefill
        self.stopped = False

    def fork(self) -> Self:
        """A stream of the same tokens, which goes on by itself."""
        twin = copy.copy(self)
        twin._ids, twin._thoughts = list(self._ids), copy.copy(self._thoughts)
        return twin

    def push(self, token: int) -> str:
        """Add a token; returns the text that is now final (often a word, possibly empty)."""
        self._ids.append(token)
        after = self._decode(self._ids[self._context :])
        unfinished = after.endswith(_REPLACEMENT)  # most likely a character cut in two
        if unfinished and len(self._ids) - self._read < 8:
            return ""
        # After eight such tokens these are bad bytes, or characters that straddle every border
        # of tokens: only the last one can still change, and it has at most three tokens so far.
        if unfinished:
            new = after.removesuffix(_REPLACEMENT)[self._given :]
            self._context = self._read = max(self._context, len(self._ids) - 4)
            self._given = len(self._decode(self._ids[self._context :]).removesuffix(_REPLACEMENT))
        else:
            new = after[self._given :]
            self._context, self._read = self._read, len(self._ids)
            self._given = len(self._decode(self._ids[self._context :]))
        return self._release(new)

    def finish(self, reason: FinishReason = "stop") -> str:
        """End the text; returns what was held back and belongs to it.

        Args:
            reason: why it ends.
        """
        if self.stopped:
            return ""
        tail = self._decode(self._ids[self._context :])[self._given :]
        self._context, self._given = len(self._ids), 0
        return self._release(tail, reason)

    def _release(self, new: str, reason: FinishReason | None = None) -> str:
        if self._thoughts is not None:
            new = self._thoughts.push(new, final=reason is not None)
        skipped = min(self._skip, len(new))
        self._skip -= skipped
        self._held += new[skipped:]
        ends = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        if ends:
            self._held, reason = self._held[: min(ends)], "stop"
            self.stopped = True
        cut = len(self._held)
        if reason is None:
            cut -= max((_overlap(self._held, s) for s in self._stop), default=0)
        if self._boundary is not None:
            done = len(self.text) - self._prefilled
            settled, ended = self._boundary(self.text[self._prefilled :] + self._held, reason)
            self.stopped = self.stopped or ended
            cut = max(0, settled - done) if ended or reason else max(0, min(cut, settled - done))
        piece, self._held = self._held[:cut], "" if reason or self.stopped else self._held[cut:]
        self.text += piece
        return piece


def _overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of ``text`` that is a proper prefix of ``stop``."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


def ends_sentence(text: str) -> bool:
    """Whether ``text`` ends with a sentence's last character, closing quotes and brackets aside."""
    bare = text.rstrip(_CLOSING)
    return bool(bare) and bare[-1] in _SENTENCE_ENDS
