"""The form of a text: what of each line is words to translate, and what stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["translatable"]

# What may stand before a line's words: quotes and headings of Markdown, list markers, check boxes.
_MARKER = re.compile(r"(?:[>#]+|[-*+•–—]|\d{1,4}[.)]|[A-Za-z][.)]|\[[ xX]\])(?:[ \t]+|$)")
# Subtitles (SRT, WebVTT): the line that times a cue.
_TIMES = re.compile(r"(?:\d+:)?\d+:\d+[.,]\d+[ \t]*-->")
_FENCE = re.compile(r"```|~~~")


def translatable(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch of words in a text: the words of a line, without its marker.

    Lines without letters, the time lines of subtitles and fenced code have none.
    """
    in_code = False
    at = 0
    for line in text.splitlines(keepends=True):
        start, at = at, at + len(line)
        words = line.rstrip()
        begin = len(line) - len(line.lstrip())
        if _FENCE.match(words, begin):
            in_code = not in_code
            continue
        if in_code or _TIMES.match(words, begin) or words.startswith("WEBVTT"):
            continue
        while marker := _MARKER.match(words, begin):
            begin = marker.end()
        if any(letter.isalpha() for letter in words[begin:]):
            yield start + begin, start + len(words)
