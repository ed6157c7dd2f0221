"""Long texts: cut at paragraph and sentence ends, or keep the end. Nothing is lost silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Part", "keep_end", "split_text"]

# Where a text may be cut, from the best place to the worst. A match is the white space
# between two parts, or an empty string between two characters.
_BOUNDARIES = (
    re.compile(r"\s*\n\s*\n\s*"),  # paragraphs
    re.compile(r"\s*\n\s*|(?<=[.!?…])[\"')\]»”’]*\s+|(?<=[。！？])"),  # lines, sentences
    re.compile(r"\s+"),  # words
)


@dataclass(frozen=True)
class Part:
    """A piece of a text and the white space that followed it there."""

    text: str
    separator: str = ""


def split_text(text: str, limit: int, count: Callable[[str], int]) -> list[Part]:
    """Cut a text into parts of at most ``limit`` tokens; joining them gives the text back.

    Parts end at paragraphs where possible, else at sentences, words, and last at any
    character. Neighbours are packed together as far as the limit allows.

    Args:
        count: the number of tokens of a text; parts are counted without their separator.
    """
    lead = text[: len(text) - len(text.lstrip())]
    pieces = list(_pieces(text[len(lead) :], limit, count, level=0))
    parts: list[Part] = []
    for piece in pieces:
        if parts:
            # A sum of counts may be a token below the count of the whole, so leave some slack.
            joined = parts[-1].text + parts[-1].separator + piece.text
            if _fits(joined, limit, count):
                parts[-1] = Part(joined, piece.separator)
                continue
        parts.append(piece)
    if parts and lead:
        parts[0] = Part(lead + parts[0].text, parts[0].separator)
    return parts


def _fits(text: str, limit: int, count: Callable[[str], int]) -> bool:
    """Whether ``text`` has at most ``limit`` tokens; obvious cases are not counted."""
    if len(text.encode()) <= limit:  # a token is at least a byte
        return True
    return len(text) <= limit * 32 and count(text) <= limit


def _pieces(text: str, limit: int, count: Callable[[str], int], level: int) -> Iterator[Part]:
    if _fits(text, limit, count):
        if text:
            yield Part(text)
        return
    if level == len(_BOUNDARIES):
        half = len(text) // 2
        if half == 0:  # one character longer than the limit: it can't be cut
            yield Part(text)
            return
        yield from _pieces(text[:half], limit, count, level)
        yield from _pieces(text[half:], limit, count, level)
        return
    for piece in _cut(text, _BOUNDARIES[level]):
        inner = list(_pieces(piece.text, limit, count, level + 1))
        yield from inner[:-1]
        if inner:
            yield Part(inner[-1].text, inner[-1].separator + piece.separator)


def _cut(text: str, boundary: re.Pattern[str]) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for match in boundary.finditer(text):
        matched = match.group()
        # Closing quotes belong to the sentence, the white space after them does not.
        space = matched[len(matched.rstrip()) :] if matched.strip() else matched
        end = match.end() - len(space)
        if end > at:
            parts.append(Part(text[at:end], space))
        elif parts:  # white space right behind a boundary of no width
            parts[-1] = Part(parts[-1].text, parts[-1].separator + space)
        else:
            continue
        at = match.end()
    if at < len(text):
        parts.append(Part(text[at:]))
    return parts


def keep_end(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The longest end of a text that has at most ``limit`` tokens, from a line's start if possible."""
    tail = text[-limit * 16 :]
    low, high = 0, len(tail)  # tail[low:] is too long or untried, tail[high:] fits
    while low < high:
        middle = (low + high) // 2
        if count(tail[middle:]) <= limit:
            high = middle
        else:
            low = middle + 1
    kept = tail[high:]
    line_start = kept.find("\n") + 1
    return kept[line_start:] if high > 0 and 0 < line_start < len(kept) // 2 else kept
