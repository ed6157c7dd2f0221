"""Unified and combined diffs: which lines a change adds, and their numbers in the new file.

Unified is what ``diff -u`` and git write: headers ``---`` and ``+++``, then hunks
``@@ -old,count +new,count @@`` of context, removed and added lines. In the combined diff of a merge a hunk
has one column of marks and one more ``@`` for each parent.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from nlpsuite.errors import InputInvalidError

__all__ = ["ChangedFile", "Hunk", "Line", "looks_like_diff", "parse_diff", "plain_diff"]

# Line numbers have at most nine digits.
_HUNK = re.compile(r"(@@+)((?: -[0-9]{1,9}(?:,[0-9]{1,9})?)+) \+([0-9]{1,9})(?:,([0-9]{1,9}))? \1")
_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COLORED = re.compile(r"^(?:\x1b\[[0-9;]*m)+(?:diff |--- |\+\+\+ |@@|commit |[-+])", re.MULTILINE)
_MAIL = re.compile(r"(?:From [^\n]+\n)?(?:[A-Z][\w-]+: [^\n]*\n(?:[ \t][^\n]*\n)*)*Subject: ", re.ASCII)
# How the output of diff, git diff, show, log -p, format-patch and stash show, of hg and of svn begins.
_BEGINNING = re.compile(
    r"diff |--- |Index: |From [0-9a-f]{7,}|(?:commit )?[0-9a-f]{7,64}\b|tag \S|@@+ -|\* Unmerged path"
    r"|# HG changeset|=== |changeset: "
)
_OTHER_FORMS = {
    "a context diff": r"\*\*\* .+\n--- .+\n\*{15}",
    "a diff without context": r"[0-9]+(?:,[0-9]+)?[acd][0-9]+(?:,[0-9]+)?\n[<>] ",
    "a log with a graph": r"[*|][|\\/ ]*(?:commit )?[0-9a-f]{7,64}\b.*\n(?:[*|\\/ ].*\n)*?[*|][|\\/ ]*diff ",
    "a summary of a diff": r" \S.* \| +[0-9]+ [-+]+\n(?: .*\n)* [0-9]+ files? changed",
}


@dataclass(frozen=True)
class Line:
    """A line of the new file: its number there (from 1), its text, whether the change added it."""

    number: int
    text: str
    added: bool


@dataclass(frozen=True)
class Hunk:
    """A section of the new file, including context.

    Attributes:
        removed: how many lines of the old file are gone.
    """

    lines: tuple[Line, ...]
    removed: int = 0

    @property
    def added(self) -> frozenset[int]:
        """Numbers of the added lines."""
        return frozenset(line.number for line in self.lines if line.added)


@dataclass(frozen=True)
class ChangedFile:
    """The hunks of one file; none if only its name or mode changed, or if it is binary.

    Attributes:
        path: in the new state (of a deleted file, the old), without ``b/``; None if the diff names none.
        whole: the file is new, so that its one hunk is all of it.
    """

    path: str | None
    whole: bool
    hunks: tuple[Hunk, ...]


def plain_diff(text: str) -> str:
    """The diff without color codes, except those that are part of a plain diff's code."""
    if _COLORED.search(text) or not re.search("^@@", text, re.MULTILINE):
        return _COLOR.sub("", text)
    return text


def looks_like_diff(text: str) -> bool:
    """Whether ``text`` starts as a diff does and has a hunk, or a header of git's.

    Raises:
        InputInvalidError: it is a diff in a form that can't be read.
    """
    start = text.lstrip("\r\n\ufeff")
    body = re.sub(r"\A(?:diff .*\n|Index: .*\n=+\n)+", "", start.replace("\r\n", "\n"))
    for form, pattern in _OTHER_FORMS.items():
        if re.match(pattern, body):
            raise InputInvalidError(
                f"This is {form}.", hint="Give a unified diff: `git diff`, `git log -p` or `diff -u`."
            )
    if not _BEGINNING.match(start) and not _MAIL.match(start):
        return False
    return re.search(r"^diff --(?:git|cc|combined) ", text, re.M) is not None or any(
        _HUNK.match(line) for line in text.split("\n")
    )


def parse_diff(text: str) -> list[ChangedFile]:
    """The files that a diff leaves behind. Takes any text; what isn't part of a diff is skipped.

    A hunk ends where its header's counts say, so lines in it may look like headers.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    files: list[ChangedFile] = []
    old: str | None = None
    path: str | None = None
    headed = False  # by git: the file counts even if it has no hunk
    hunks: list[Hunk] = []

    def close() -> None:
        if hunks or headed:
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
            if hunks:
                close()
            old, path = _path(line[4:]), _path(lines[at + 1][4:])
            path = old if path == "/dev/null" else path
            at += 1
        elif line.startswith("diff "):
            close()
            old = path = None
            headed = line.startswith("diff --")
        at += 1
    close()
    return files


def _hunk(lines: list[str], at: int, header: re.Match[str]) -> tuple[Hunk, int]:
    """The hunk whose lines start at ``at``, and where the next thing starts."""
    left = [int(part.partition(",")[2] or 1) for part in header[2].split()]  # by parent
    new_left = int(header[4]) if header[4] is not None else 1
    number = int(header[3])
    found: list[Line] = []
    removed = 0
    while at < len(lines) and (new_left > 0 or any(count > 0 for count in left)):
        marks, text = lines[at][: len(left)], lines[at][len(left) :]
        if not marks.strip(" ") and at + 1 < len(lines):
            marks = marks.ljust(len(left))  # mail programs and editors strip the blanks of an empty line
        gone = "-" in marks
        after = [count - (mark == ("-" if gone else " ")) for count, mark in zip(left, marks)]
        if len(marks) < len(left) or min(after) < 0 or set(marks) - set(" -" if gone else " +"):
            if marks[:1] != "\\":  # "\ No newline at end of file" counts for neither side
                break
        elif gone:
            left, removed = after, removed + 1
        elif new_left > 0:
            # What a merge took over from one parent is that parent's change.
            found.append(Line(number, text, added=" " not in marks))
            left, new_left, number = after, new_left - 1, number + 1
        else:
            break
        at += 1
    return Hunk(tuple(found), removed), at


def _path(name: str) -> str | None:
    name = name.split("\t")[0].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':  # git writes odd names as C strings
        name = name[1:-1]
        with contextlib.suppress(UnicodeError):
            inner = name.encode("latin-1").decode("unicode_escape")
            name = inner.encode("latin-1").decode("utf-8", "replace")
    if name.startswith(("a/", "b/")):
        name = name[2:]
    return name or None
