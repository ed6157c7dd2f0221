"""Where a completion ends: with its line, with its block, or where the text behind the gap begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nlpsuite.plugins import Boundary, FinishReason
from nlpsuite_complete.python_lines import START, State, indentation, lines_before, logical_lines

__all__ = ["BlockEnd", "Following", "LineEnd", "Place", "Unit", "find_boundary"]

Unit = Literal["line", "block"]
# What may follow the block of a compound statement, at that statement's indentation.
_CLAUSES = ("elif", "else", "except", "finally")
_WORD = re.compile(r"\w*")


def find_boundary(prefix: str, suffix: str, unit: Unit | None) -> Boundary | None:
    """What ends a completion between ``prefix`` and ``suffix``; None if nothing but the model does.

    Args:
        suffix: empty if nothing is known of it.
        unit: to complete; None for as much as the model writes.
    """
    place, following = Place.of(prefix), Following.of(prefix, suffix)
    # Before the rest of a line only a part of that line can be missing.
    if unit == "line" or following.rest:
        return LineEnd(place, following)
    if unit == "block":
        return BlockEnd(place, following)
    return following if following.line else None


@dataclass(frozen=True)
class Place:
    """A cursor in a program.

    Attributes:
        state: what is open there.
        head: the cursor's line up to the cursor.
        statement: the same of the logical line.
        stack: indentations of the blocks around it, the outermost first.
        after_header: whether the last statement before it demands a block.
    """

    state: State
    head: str
    statement: str
    stack: tuple[int, ...]
    after_header: bool

    @classmethod
    def of(cls, prefix: str) -> Place:
        stack, header = [0], False
        for line in lines_before(prefix):
            if line.code and line.closed:
                stack, header = _entered(stack, indentation(prefix[line.start :])), line.is_header
        head = prefix.rpartition("\n")[2]
        return cls(line.state, head, prefix[line.start :], tuple(stack), header)

    @property
    def at_line_start(self) -> bool:
        """Whether a statement begins here."""
        return not self.statement.strip()


@dataclass(frozen=True)
class Following:
    """How the text behind the gap begins; a ``Boundary`` that keeps a completion from repeating it.

    Attributes:
        head: the cursor's line up to the cursor.
        rest: of that line behind the cursor, without white space at its end.
        line: the next line that isn't blank; empty if there is none.
        whole: whether that line begins right at the cursor, so that the completion must end in a line break.
    """

    head: str = ""
    rest: str = ""
    line: str = ""
    whole: bool = False

    @classmethod
    def of(cls, prefix: str, suffix: str) -> Following:
        head = prefix.rpartition("\n")[2]
        first, _, others = suffix.partition("\n")
        whole = not head and bool(first.strip())
        lines = (suffix if whole else others).split("\n")
        line = next((line.rstrip() for line in lines if line.strip()), "")
        return cls(head, "" if whole else first.rstrip(), line, whole)

    def __call__(self, text: str, finish: FinishReason | None) -> tuple[int, bool]:
        if not self.line:
            return len(text), False
        at = kept = 0
        *complete, last = (self.head + text).split("\n")
        for line in complete if finish != "stop" else [*complete, last]:
            if line.rstrip() == self.line:
                return self.with_break(text, kept), True
            at += len(line)
            if line.strip():
                kept = max(0, at - len(self.head))
            at += 1
        # What may become that line, or stand before it, isn't certain.
        return (kept if not finish and self.line.startswith(last.rstrip()) else len(text)), False

    def with_break(self, text: str, end: int) -> int:
        """``end``, or the place behind the line break that the text must end in."""
        return end + (self.whole and text[end : end + 1] == "\n")


@dataclass(frozen=True)
class LineEnd:
    """Ends a completion with its line, or with the one in which the brackets and strings opened in it are closed.

    White space before the line, where the cursor is in none, belongs to the completion.
    """

    place: Place
    following: Following

    def __call__(self, text: str, finish: FinishReason | None) -> tuple[int, bool]:
        kept, ended = self.following(text, finish)
        if ended:
            return kept, True
        if self.following.rest:
            return self._before(self.following.rest, text, finish)
        for line in logical_lines(text, self.place.state, self.place.state):
            blank = not text[line.start : line.end].strip()
            if line.closed and not (blank and not self.following.head.strip()):
                return self.following.with_break(text, line.end), True
        return (len(text) if finish else kept), False

    def _before(self, rest: str, text: str, finish: FinishReason | None) -> tuple[int, bool]:
        """Where a text ends that the rest of its line follows, which it may repeat."""
        line, end, _ = text.partition("\n")
        if not (end or finish):
            return 0, False
        bare = line.rstrip()
        repeated = next((part for part in (rest, rest.lstrip()) if bare.endswith(part)), "")
        return (len(bare) - len(repeated) if repeated else len(line)), bool(end)


@dataclass(frozen=True)
class BlockEnd:
    """Ends a completion with the block that the cursor is in: before the first line with less indentation.

    At the beginning of a compound statement, at the left edge or in the middle of its first line, the block is
    that statement's; with a bracket or a string open it goes to the line that closes it; other statements at the left
    edge end with an empty line. Only whole statements are certain, and headers only with their first one, so what
    is kept of a text that is cut off can be parsed.
    """

    place: Place
    following: Following

    def __call__(self, text: str, finish: FinishReason | None) -> tuple[int, bool]:
        kept, repeats = self.following(text, finish)
        if repeats:
            text, finish = text[:kept], "stop"
        end, ended = self._end(text, finish)
        if ended or repeats:
            return self.following.with_break(text, end), True
        if not finish:
            return min(end, kept), False
        # Where nothing is whole, all there is may be better than nothing.
        return (self.following.with_break(text, end) if end else len(text)), False

    def _end(self, text: str, finish: FinishReason | None) -> tuple[int, bool]:
        place = self.place
        block = _Block(place)
        end = 0
        for i, line in enumerate(logical_lines(text, place.state)):
            raw = text[line.start : line.end]
            continues = i == 0 and not place.at_line_start
            if not (raw.strip() or continues):
                block.blank = True
                continue
            if continues:
                width, code = indentation(place.statement), place.statement.strip() + line.code
            else:
                width, code = indentation(place.head + raw if i == 0 else raw), line.code
            if line.lowest < 0 or not (continues or block.admits(width, code, line.closed)):
                return end, True
            if not line.closed:
                if finish == "stop" and line.state == START and not code.endswith((":", "\\")):
                    end = line.end
                break
            if not code:  # a comment: part of the block if more of it follows
                continue
            block.enter(width, code, continues)
            if not code.endswith(":") and not code.startswith("@"):
                end = line.end
                if continues and place.state != START:
                    return end, True
        return end, False


class _Block:
    """The block that is being completed, line by line.

    Attributes:
        first: indentation of its first line; None before that.
        single: it is one compound statement.
        blank: whether an empty line came last.
    """

    def __init__(self, place: Place) -> None:
        self._stack: Sequence[int] = place.stack
        self._after_header = place.after_header
        self.first: int | None = None
        self.single = self.blank = False

    def admits(self, width: int, code: str, closed: bool) -> bool:
        """Whether a line can come next. Comments are admitted in the block and behind it."""
        if not code:
            return self.first is None or width >= self.first
        if self._after_header:
            return width > self._stack[-1]
        if width not in self._stack or (self.first is not None and width < self.first):
            return False
        if self.first is None or width > self.first:
            return True
        if not self.single:
            return width > 0 or not self.blank
        [word] = _WORD.findall(code)[:1]
        return word in _CLAUSES or (not closed and any(clause.startswith(code) for clause in _CLAUSES))

    def enter(self, width: int, code: str, continues: bool) -> None:
        """Go on to a line of code."""
        self._stack, self._after_header = _entered(self._stack, width), code.endswith(":")
        self.blank = False
        if self.first is None and not code.startswith("@"):
            self.first = width
            self.single = self._after_header and (continues or width == 0)


def _entered(stack: Sequence[int], width: int) -> list[int]:
    """The indentations of the blocks around a line, given those around the line before."""
    outer = [level for level in stack if level < width]
    return [*outer, width]
