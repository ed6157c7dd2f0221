"""Unified diffs: which lines a change adds, and their numbers in the new file.

The format is that of POSIX ``diff -u`` and of git: headers ``---`` and ``+++``, then hunks
``@@ -old,count +new,count @@`` of context, removed and added lines.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

__all__ = ["ChangedFile", "Hunk", "Line", "looks_like_diff", "parse_diff"]

# Numbers of at most nine digits: a longer one is no line number.
_HUNK = re.compile(r"@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")
# How the output of diff, git diff, git show, git log -p, git format-patch and svn diff begins.
_BEGINNING = re.compile(r"(?:diff |--- |Index: |From [0-9a-f]{7,}|commit [0-9a-f]{7,}|@@ -)")


@dataclass(frozen=True)
class Line:
    """A line of the new file: its number there (from 1), its text, whether the change added it."""

    number: int
    text: str
    added: bool


@dataclass(frozen=True)
class Hunk:
    """A stretch of the new file, its context lines included.

    Attributes:
        removed: how many lines of the old file are gone.
    """

    lines: tuple[Line, ...]
    removed: int = 0


@dataclass(frozen=True)
class ChangedFile:
    """The hunks of one file.

    Attributes:
        path: in the new state (of a deleted file, the old), without ``b/``; None if the diff names none.
        whole: the file is new, so that its one hunk is all of it.
    """

    path: str | None
    whole: bool
    hunks: tuple[Hunk, ...]


def looks_like_diff(text: str) -> bool:
    """Whether ``text`` begins as a diff does and has at least one hunk."""
    if not _BEGINNING.match(text.lstrip()):
        return False
    return any(_HUNK.match(line) for line in text.split("\n"))


def parse_diff(text: str) -> list[ChangedFile]:
    """The files that a diff leaves behind. Takes any text without raising; what is no diff is skipped.

    A hunk ends where its header's counts say, so lines that look like headers are safe in it.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    files: list[ChangedFile] = []
    old: str | None = None
    path: str | None = None
    hunks: list[Hunk] = []

    def close() -> None:
        if hunks:
            files.append(ChangedFile(path, old == "/dev/null", tuple(hunks)))
            hunks.clear()

    at = 0
    while at < len(lines):
        line = lines[at]
        header = _HUNK.match(line)
        if header:
            hunk, at = _hunk(lines, at + 1, header)
            hunks.append(hunk)
            continue
        if line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            close()
            old, path = _path(line), _path(lines[at + 1])
            path = old if path == "/dev/null" else path
            at += 1
        elif line.startswith("diff "):
            close()
            old = path = None
        at += 1
    close()
    return files


def _hunk(lines: list[str], at: int, header: re.Match[str]) -> tuple[Hunk, int]:
    """The hunk whose lines begin at ``at``, and where the next thing begins."""
    old_left = int(header[1]) if header[1] is not None else 1
    new_left = int(header[3]) if header[3] is not None else 1
    number = int(header[2])
    found: list[Line] = []
    removed = 0
    while at < len(lines) and (old_left > 0 or new_left > 0):
        mark, text = lines[at][:1], lines[at][1:]
        # Mail programs and editors strip the blank of an empty context line.
        if mark in ("", " ") and old_left > 0 and new_left > 0 and not (mark == "" and at + 1 == len(lines)):
            found.append(Line(number, text, added=False))
            old_left, new_left, number = old_left - 1, new_left - 1, number + 1
        elif mark == "+" and new_left > 0:
            found.append(Line(number, text, added=True))
            new_left, number = new_left - 1, number + 1
        elif mark == "-" and old_left > 0:
            old_left, removed = old_left - 1, removed + 1
        elif mark != "\\":  # "\ No newline at end of file" counts for neither side
            break
        at += 1
    return Hunk(tuple(found), removed), at


def _path(header: str) -> str | None:
    name = header[4:].split("\t")[0].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':  # git writes odd names as C strings
        name = name[1:-1]
        with contextlib.suppress(UnicodeError):
            inner = name.encode("latin-1").decode("unicode_escape")
            name = inner.encode("latin-1").decode("utf-8", "replace")
    if name.startswith(("a/", "b/")):
        name = name[2:]
    return name or None
