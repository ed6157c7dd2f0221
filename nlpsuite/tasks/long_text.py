"""Long texts: cut them at paragraph and sentence ends, or keep their end. Nothing is lost silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nlpsuite.tasks.sentences import split_sentences

__all__ = ["Part", "keep_end", "split_text"]

_SPACE = re.compile(r"\s+")

# Where a text may be cut, best places first: at paragraphs, at lines and sentences, at words.
_PARAGRAPHS, _SENTENCES, _WORDS, _ANYWHERE = range(4)


@dataclass(frozen=True)
class Part:
    """A piece of a text and the text around it that is not worked on, usually white space."""

    text: str
    separator: str = ""
    before: str = ""


def split_text(text: str, limit: int, count: Callable[[str], int]) -> list[Part]:
    """Cut a text into parts of at most ``limit`` tokens; joined, they give the text back.

    Parts end at paragraphs where possible, else at sentences, at words, and at any character as a last
    resort. Neighbours are packed together as far as the limit allows. Takes linear time.

    Args:
        count: the number of tokens of a text; parts are counted without their separator.
    """
    lead = len(text) - len(text.lstrip())
    parts: list[Part] = []
    start, end = 0, lead  # of the part that is being packed
    separator = ""
    tokens = 0  # of it, or a little more
    for piece in _pieces(text[lead:], limit, count, _PARAGRAPHS):
        behind = end + len(separator) + len(piece.text)
        # Counts needn't add up exactly: one more for each border keeps the estimate safe.
        estimate = tokens + _count(separator + piece.text, limit, count) + 1
        if end > lead and estimate > limit:
            estimate = _count(text[start:behind], limit, count)
            if estimate > limit:
                parts.append(Part(text[start:end], separator))
                start, estimate = behind - len(piece.text), _count(piece.text, limit, count)
        end, separator, tokens = behind, piece.separator, estimate
    if end > lead:
        parts.append(Part(text[start:end], separator))
    return parts


def _count(text: str, limit: int, count: Callable[[str], int]) -> int:
    """Tokens of a text, or a number above ``limit`` where it is obviously longer."""
    return count(text) if len(text) <= limit * 32 else limit + 1


def _pieces(text: str, limit: int, count: Callable[[str], int], level: int) -> Iterator[Part]:
    # A token is at least a byte, so short texts need no counting.
    if len(text.encode()) <= limit or _count(text, limit, count) <= limit:
        if text:
            yield Part(text)
    elif level < _ANYWHERE:
        for piece in _cut(text, level):
            *inner, last = _pieces(piece.text, limit, count, level + 1)
            yield from inner
            yield Part(last.text, last.separator + piece.separator)
    elif len(text) == 1:  # more tokens than the limit, but it can't be cut
        yield Part(text)
    else:
        half = len(text) // 2
        yield from _pieces(text[:half], limit, count, level)
        yield from _pieces(text[half:], limit, count, level)


def _cut(text: str, level: int) -> Iterator[Part]:
    """Cut a text at all places of a level. Parts are never empty; the text begins with no white space."""
    at = 0
    for start, end in _boundaries(text, level):
        if start > at:
            yield Part(text[at:start], text[start:end])
            at = end
    if at < len(text):
        yield Part(text[at:])


def _boundaries(text: str, level: int) -> Iterator[tuple[int, int]]:
    """What separates paragraphs, sentences or words, usually white space: start and end."""
    if level == _SENTENCES:
        sentences = split_sentences(text)
        ends = [sentence.start for sentence in sentences[1:]] + [len(text)]
        yield from ((sentence.end, end) for sentence, end in zip(sentences, ends))
        return
    for match in _SPACE.finditer(text):
        if level == _WORDS or match.group().count("\n") > 1:
            yield match.span()


def keep_end(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The longest end of a text that has at most ``limit`` tokens, from the start of a line if possible."""
    tail = text[-limit * 16 :]
    low, high = 0, len(tail)  # tail[low:] is too long or untried, tail[high:] fits
    while low < high:
        middle = (low + high) // 2
        if count(tail[middle:]) <= limit:
            high = middle
        else:
            low = middle + 1
    fitting = tail[high:]
    line_start = fitting.find("\n") + 1
    return fitting[line_start:] if high > 0 and 0 < line_start < len(fitting) // 2 else fitting
