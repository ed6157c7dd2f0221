"""A text to review, analyzed: its kind, its findings, its functions, and what the model is shown."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from nlpsuite.errors import InputInvalidError
from nlpsuite_review.checks import SEVERITIES, Finding, check_lines
from nlpsuite_review.diff import ChangedFile, Hunk, looks_like_diff, parse_diff, plain_diff
from nlpsuite_review.linting import Source, lint
from nlpsuite_review.python_code import (
    Fragment,
    code_cells,
    docstrings,
    functions,
    is_python,
    parse,
    parse_fragment,
    shorten,
)

__all__ = ["Reading", "Unit", "read"]

_MAX_NAMES = 6


@dataclass(frozen=True)
class Unit:
    """The subject of one remark: a function, or a section of a diff that shows no function.

    Attributes:
        name: of the function; empty for a section.
    """

    name: str
    line: int
    text: str
    file: str | None = None
    cell: int | None = None


@dataclass(frozen=True)
class Reading:
    """Everything known of a text without a model.

    Attributes:
        facts: one line of figures.
        excerpt: what the model should summarize: selected prose, or the text as it is.
        units: the functions, for a diff those with added lines, in order.
    """

    facts: str
    findings: tuple[Finding, ...]
    excerpt: str
    units: tuple[Unit, ...]


def read(text: str, language: str = "auto", select: str = "") -> Reading:
    """Read a file, a notebook or a diff.

    Args:
        language: ``auto``, ``python`` or ``other``; for ``auto`` the files' names in a diff decide, else
            the look of the text.
        select: see ``lint``.

    Raises:
        InputInvalidError: a diff in a form that can't be read.
        MissingExtraError, OptionError: see ``lint``.
    """
    plain = plain_diff(text)
    if looks_like_diff(plain):
        return _read_diff(plain, language, select)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if language != "other" and (cells := code_cells(text)) is not None:
        return _read_notebook(text, cells, select)
    found = list(check_lines(enumerate(text.split("\n"), 1)))
    facts = _plural(len(text.splitlines()), "line")
    if language == "other" or (language == "auto" and not is_python(text)):
        return Reading(facts, tuple(found), text.strip(), ())
    linted = lint([Source(text)], select)
    if any(f.rule == "merge-marker" for f in found):
        linted = [f for f in linted if f.rule != "invalid-syntax"]  # the markers are what breaks the syntax
    return _reading(f"Python, {facts}", text, found + linted, _functions(text))


def _read_notebook(text: str, cells: list[tuple[int, str]], select: str) -> Reading:
    found = lint([Source(text, "code.ipynb")], select)
    units: list[Unit] = []
    code = []
    for number, source in cells:
        inside = check_lines(enumerate(source.split("\n"), 1))
        found += [dataclasses.replace(finding, cell=number) for finding in inside]
        code.append(re.sub(r"^\s*[%!?].*$", "", source, flags=re.MULTILINE))  # IPython's, not Python's
        units += [dataclasses.replace(unit, cell=number) for unit in _functions(code[-1])]
    facts = f"Python notebook, {_plural(len(cells), 'code cell')}"
    return _reading(facts, "\n\n".join(code), found, units)


def _reading(facts: str, code: str, found: list[Finding], units: list[Unit]) -> Reading:
    """The reading of Python code."""
    excerpt = ""
    if tree := parse(code):
        classes = sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
        facts += f", {_plural(len(units), 'function')}" if units else ""
        facts += f", {_plural(classes, 'class', 'classes')}" if classes else ""
        excerpt = docstrings(tree)
    found = sorted(found, key=lambda f: (f.cell or 0, f.line or 0, -SEVERITIES.index(f.severity)))
    return Reading(facts, tuple(found), excerpt or code.strip(), tuple(units))


def _functions(code: str) -> list[Unit]:
    tree, lines = parse(code), code.split("\n")
    return [Unit(name, a, "\n".join(lines[a - 1 : b])) for name, a, b in functions(tree)] if tree else []


def _read_diff(text: str, language: str, select: str) -> Reading:
    files = parse_diff(text)
    found: list[Finding] = []
    units: list[Unit] = []
    sources: list[Source] = []
    added = removed = 0
    for file in files:
        python = language == "python" or (language == "auto" and str(file.path).endswith((".py", ".pyi")))
        for hunk in file.hunks:
            added, removed = added + len(hunk.added), removed + hunk.removed
            if not hunk.added:
                continue
            checked = check_lines((line.number, line.text) for line in hunk.lines)
            found += [dataclasses.replace(f, file=file.path) for f in checked if f.line in hunk.added]
            fragment = _fragment(hunk) if python else None
            if python and (source := _source(file, hunk, fragment)):
                sources.append(source)
            units += _units(file, hunk, fragment)
    if any(file.hunks for file in files) and not added and not removed:
        raise InputInvalidError(
            "This diff has no added or removed lines that can be read.",
            hint="Give a complete unified diff: `git diff` without --word-diff.",
        )
    found += lint(sources, select)
    order = {file.path: number for number, file in reversed(list(enumerate(files)))}
    found.sort(key=lambda f: (order[f.file], f.line or 0, -SEVERITIES.index(f.severity)))
    facts = f"{_plural(len(files), 'file')} changed, {_plural(added, 'line')} added, {removed:,} removed"
    if names := list(dict.fromkeys(unit.name for unit in units if unit.name)):
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        facts += f", in {', '.join(names[:_MAX_NAMES])}{more}"
    return Reading(facts, tuple(found), _prose(text, files), tuple(units))


def _source(file: ChangedFile, hunk: Hunk, fragment: Fragment | None) -> Source | None:
    """A hunk's code for ruff; None if it can't be parsed and isn't the whole of a new file."""
    source = Source("", PurePosixPath(file.path or "code.py").name, file.path, lines=hunk.added)
    if file.whole and len(file.hunks) == 1:
        return dataclasses.replace(source, text="\n".join(line.text for line in hunk.lines))
    if fragment is None:
        return None
    return dataclasses.replace(source, text=fragment.text, offset=fragment.offset, whole=False)


def _fragment(hunk: Hunk) -> Fragment | None:
    """A hunk's code, without context that can't be parsed; its offset is from the file's lines."""
    marks = [line.added for line in hunk.lines]
    leading, trailing = marks.index(True), marks[::-1].index(True)
    found = parse_fragment([line.text for line in hunk.lines], min(leading, 8), min(trailing, 8))
    first = hunk.lines[0].number
    return dataclasses.replace(found, offset=found.offset - first + 1) if found else None


def _prose(text: str, files: list[ChangedFile]) -> str:
    """What a diff says in words: its commit's message, then added comments and docstrings.

    A small model makes nothing of the code itself; it is shown code only where there are no words.
    """
    before = re.split(r"^(?:diff |--- |Index: )", text, maxsplit=1, flags=re.MULTILINE)[0].split("\n")
    message = [line[4:] for line in before if line.startswith("    ")]
    message += [line.removeprefix("Subject: ") for line in before if line.startswith("Subject: ")]
    added = [line.text.strip() for file in files for hunk in file.hunks for line in hunk.lines if line.added]
    words = [line.strip('#/*" ') for line in added if re.match(r'(?:#|//|\*|/\*|""")\s*\w', line)]
    return "\n".join([*filter(str.strip, message), *shorten(words)]) or "\n".join(added)


def _units(file: ChangedFile, hunk: Hunk, fragment: Fragment | None) -> Iterator[Unit]:
    """The functions of a hunk that have added lines; the hunk itself if it shows none."""
    text = {line.number: line.text for line in hunk.lines}
    touched = False
    for name, first, last in functions(fragment.tree) if fragment else ():
        assert fragment is not None
        span = range(first - fragment.offset, last + 1 - fragment.offset)
        if not hunk.added.isdisjoint(span):
            touched = True
            yield Unit(name, span[0], "\n".join(text[n] for n in span if n in text), file.path)
    if not touched:
        yield Unit("", min(hunk.added), "\n".join(text.values()), file.path)


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
