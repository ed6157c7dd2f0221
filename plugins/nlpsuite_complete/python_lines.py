"""Python by logical lines, read leniently: brackets, strings and indentation, from anywhere in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["START", "Line", "State", "indentation", "lines_before", "logical_lines"]

_TRIPLE = ('"""', "'''")
_OUTSIDE = re.compile(r"\"\"\"|'''|[\"'#()\[\]{}\n]|\\.", re.DOTALL)
_INSIDE = {quote: re.compile(rf"\\.|{quote}|\n", re.DOTALL) for quote in (*_TRIPLE, '"', "'")}
_DEFINITION = re.compile(r"(?:(?:async\s+)?def\s|class\s|\)).*:")
_LINE_END = re.compile(r"\n")


@dataclass(frozen=True)
class State:
    """What is open at a place in a file.

    Attributes:
        quote: of the string that the place is in; empty outside of strings.
        depth: number of brackets.
    """

    quote: str = ""
    depth: int = 0


START = State()


@dataclass(frozen=True)
class Line:
    """A logical line: a physical one, and those after it as long as a bracket or a string is open.

    Attributes:
        start, end: in the text; without the line's end.
        closed: whether it ends in a line break, with nothing open.
        state: at ``end``; below the depth at the text's start if it closes more than was open.
        code: the line without comments and white space around it.
        lowest: the smallest depth in it.
    """

    start: int
    end: int
    closed: bool
    state: State
    code: str
    lowest: int

    @property
    def is_header(self) -> bool:
        """Whether a block must follow."""
        return self.code.endswith(":")


def logical_lines(
    text: str, state: State = START, base: State = START, *, fragment: bool = False
) -> Iterator[Line]:
    """The logical lines of a text, blank ones and the last, perhaps unfinished one included.

    Args:
        state: at the beginning of the text.
        base: what may be open where a line ends.
        fragment: the text may begin anywhere, so closing brackets that nothing opened mean nothing.
    """
    start = 0
    code: list[str] = []
    seen = 0  # up to here the text is in `code` or a comment
    lowest = state.depth
    for at, end, state in _marks(text, state, fragment):  # noqa: B020 - read once, before the first is assigned
        if text[at] == "#" and not state.quote:
            code.append(text[seen:at])
            seen = end
            continue
        lowest = min(lowest, state.depth)
        if text[at:end] == "\n" and state.quote == base.quote and state.depth <= base.depth:
            code.append(text[seen:at])
            yield Line(start, at, True, state, "".join(code).strip(), lowest)
            start = seen = end
            code, lowest = [], state.depth
    code.append(text[seen:])
    yield Line(start, len(text), False, state, "".join(code).strip(), lowest)


def _marks(text: str, state: State, fragment: bool) -> Iterator[tuple[int, int, State]]:
    """Start and end of what matters in a text, and the state behind it."""
    quote, depth, at = state.quote, state.depth, 0
    while match := (_INSIDE[quote] if quote else _OUTSIDE).search(text, at):
        mark, at = match[0], match.end()
        if quote:
            if mark == quote:
                quote = ""
            elif mark == "\n" and quote not in _TRIPLE:
                quote = ""  # a string of one line isn't closed: an apostrophe, or not Python
        elif mark in _INSIDE:
            quote = mark
        elif mark == "#":
            stop = _LINE_END.search(text, at)
            at = stop.start() if stop else len(text)
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1) if fragment else depth - 1
        yield match.start(), at, State(quote, depth)


def lines_before(text: str) -> list[Line]:
    """The logical lines of a text before a cursor, of which the beginning may be missing.

    If it begins in a string in triple quotes, what stands outside of strings seems to be inside and the other way
    round. Then the last such quotes seem to open a string though they look like the end of one.
    """
    lines = list(logical_lines(text, fragment=True))
    quote = lines[-1].state.quote
    if quote in _TRIPLE and _closes(*text.rpartition(quote)[::2]):
        return list(logical_lines(text, State(quote), fragment=True))
    return lines


def _closes(before: str, after: str) -> bool:
    """Whether triple quotes look like the end of a string: the line ends with them, and text stands before them or
    what a docstring can't follow."""
    if after[:1].strip():
        return after[0] in ")],."
    *above, line = before.split("\n")
    if line.strip():
        return not line.rstrip("rbfuRBFU ").endswith(("=", "(", "[", ",", "return", "+", ":"))
    previous = next((other.strip() for other in reversed(above) if other.strip()), None)
    return previous is not None and not _DEFINITION.fullmatch(previous)


def indentation(line: str) -> int:
    """The width of the white space that a line begins with; tabs go to multiples of eight, as in Python."""
    space = line[: len(line) - len(line.lstrip(" \t"))]
    return len(space.expandtabs(8))
