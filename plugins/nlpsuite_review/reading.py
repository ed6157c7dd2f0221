"""A text to review, taken apart: its kind, its findings, its functions, and what the model is shown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from nlpsuite_review.checks import SEVERITIES, Finding, check_lines
from nlpsuite_review.diff import ChangedFile, Line, looks_like_diff, parse_diff
from nlpsuite_review.python_checks import check_fragment, check_python, functions, parse_fragment

__all__ = ["Reading", "Unit", "read"]

_SHOWN_NAMES = 6
_MOST_CHARACTERS = 2_000
_PROSE = (".md", ".rst", ".txt", ".json", ".jsonl", ".csv", ".tsv", ".html", ".svg", ".lock", ".xml")
_PYTHON_LINE = re.compile(
    r"^(?:\s*(?:async\s+)?def \w+\(.*|\s*class \w+.*:|from [\w.]+ import .*[^;]|#!.*python.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Unit:
    """A function, or where functions can't be told a stretch of a diff: what one remark is about."""

    name: str
    line: int
    text: str
    file: str | None = None
    named: bool = True


@dataclass(frozen=True)
class Reading:
    """All that is known of a text without a model.

    Attributes:
        facts: one line of figures.
        excerpt: what the model should summarize: a choice of words, or the text as it is.
        units: the functions, for a diff those with added lines, in order.
    """

    facts: str
    findings: tuple[Finding, ...]
    excerpt: str
    units: tuple[Unit, ...]


@lru_cache(maxsize=4)  # a task asks for the prompt's part, then for the findings
def read(text: str, language: str = "auto") -> Reading:
    """Read a file or a unified diff. Takes any text without raising.

    Args:
        language: ``auto``, ``python`` or ``other``; for ``auto`` the files' names in a diff decide, else
            the look of the text.
    """
    if looks_like_diff(text):
        return _read_diff(text, language)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if language == "auto":
        language = "python" if _is_python(text) else "other"
    found = list(check_lines(enumerate(lines, 1), language)) + list(_mixed(lines))
    units: tuple[Unit, ...] = ()
    facts = f"{_plural(len(text.splitlines()), 'line')}"
    excerpt = text.strip()
    if language == "python":
        found += check_python(text)
        tree, _ = parse_fragment(lines)
        if tree is not None:
            spans = functions(tree)
            units = tuple(Unit(name, a, "\n".join(lines[a - 1 : b])) for name, a, b in spans)
            classes = sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
            facts += f", {_plural(len(spans), 'function')}" if spans else ""
            facts += f", {_plural(classes, 'class', 'classes')}" if classes else ""
            excerpt = _outline(tree) or excerpt
        facts = f"Python, {facts}"
    kept = _merged(found, {number: line for number, line in enumerate(lines, 1)}, None)
    return Reading(facts, tuple(kept), excerpt, units)


def _read_diff(text: str, language: str) -> Reading:
    files = parse_diff(text)
    found: list[Finding] = []
    units: list[Unit] = []
    added = removed = 0
    for file in files:
        kind = language if language != "auto" else _kind(file.path)
        for hunk in file.hunks:
            lines = [line.text for line in hunk.lines]
            mine = {line.number: line.text for line in hunk.lines if line.added}
            added, removed = added + len(mine), removed + hunk.removed
            if not mine:
                continue
            inside = list(check_lines(((line.number, line.text) for line in hunk.lines), kind))
            if kind == "python":
                whole = file.whole and len(file.hunks) == 1
                python = check_python("\n".join(lines)) if whole else check_fragment(lines)
                inside += [_moved(finding, hunk.lines[0].number - 1) for finding in python]
            found += _merged([f for f in inside if f.line in mine], mine, file.path)
            units += _units(hunk.lines, lines, mine, file.path, kind == "python")
    facts = f"{_plural(len(files), 'file')} changed, {_plural(added, 'line')} added, {removed:,} removed"
    names = list(dict.fromkeys(unit.name for unit in units if unit.named))
    if names:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        facts += f", in {', '.join(names[:_SHOWN_NAMES])}{more}"
    return Reading(facts, tuple(found), _told(text, files), tuple(units))


def _told(text: str, files: list[ChangedFile]) -> str:
    """What a diff says in words: the message of its commit, then added comments and docstrings.

    A small model makes nothing of the code itself; it gets it only where there are no words.
    """
    before = re.split(r"^(?:diff |--- |Index: )", text, maxsplit=1, flags=re.MULTILINE)[0].split("\n")
    message = [line[4:] for line in before if line.startswith("    ")]
    message += [line.removeprefix("Subject: ") for line in before if line.startswith("Subject: ")]
    added = [line.text.strip() for file in files for hunk in file.hunks for line in hunk.lines if line.added]
    words = [line.strip('#/*" ') for line in added if re.match(r'(?:#|//|\*|/\*|""")\s*\w', line)]
    return "\n".join([*filter(str.strip, message), *_first(words)]) or "\n".join(added)


def _units(
    numbered: tuple[Line, ...], lines: list[str], mine: dict[int, str], path: str | None, python: bool
) -> Iterator[Unit]:
    """The functions of a hunk that have added lines; the hunk itself if it shows none."""
    first = numbered[0].number
    tree, offset = parse_fragment(lines) if python else (None, 0)
    spans = [(name, a - offset, b - offset) for name, a, b in functions(tree)] if tree else []
    touched = [s for s in spans if any(number in mine for number in range(first + s[1] - 1, first + s[2]))]
    for name, a, b in touched:
        yield Unit(name, first + a - 1, "\n".join(lines[max(0, a - 1) : b]), path)
    if not touched:
        yield Unit("this change", min(mine), "\n".join(lines), path, named=False)


def _merged(found: list[Finding], lines: dict[int, str], path: str | None) -> list[Finding]:
    """In the order of lines, the gravest first; without repetitions and what a ``noqa`` excuses."""
    unique = {(f.line, f.rule, f.message): f for f in found}
    kept = [
        Finding(f.line, f.severity, f.message, f.rule, path)
        for f in unique.values()
        if f.severity == "error" or "# noqa" not in lines.get(f.line or 0, "")
    ]
    return sorted(kept, key=lambda f: (f.line or 0, -SEVERITIES.index(f.severity), f.rule, f.message))


def _moved(finding: Finding, by: int) -> Finding:
    line = None if finding.line is None else finding.line + by
    return Finding(line, finding.severity, finding.message, finding.rule)


def _mixed(lines: list[str]) -> Iterator[Finding]:
    """A file should be indented by tabs or by spaces; the first line of the rarer kind is named."""
    tabs = [number for number, line in enumerate(lines, 1) if line.startswith("\t")]
    spaces = [number for number, line in enumerate(lines, 1) if line.startswith("  ")]
    if tabs and spaces:
        rarer, kind = (tabs, "tabs") if len(tabs) <= len(spaces) else (spaces, "spaces")
        message = f"indented by {kind}, {_plural(max(len(tabs), len(spaces)), 'other line')} otherwise"
        yield Finding(rarer[0], "warning", message, "mixed-indent")


def _kind(path: str | None) -> str:
    if path and path.endswith((".py", ".pyi")):
        return "python"
    return "prose" if path and path.lower().endswith(_PROSE) else "other"


def _is_python(text: str) -> bool:
    """By the look of its lines: Python with a syntax error is Python still."""
    if _PYTHON_LINE.search(text):
        ends = sum(line.rstrip().endswith((";", "{")) for line in text.split("\n"))
        return ends * 5 < text.count("\n") + 1
    tree, _ = parse_fragment(text.split("\n"))
    return tree is not None and any(
        not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in tree.body
    )


def _outline(tree: ast.Module) -> str:
    """What the code says of itself: its docstrings, the module's first; names where it has none."""
    parts = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    about = []
    for part in parts:
        if text := (ast.get_docstring(part) or "").split("\n\n")[0]:
            about.append(f"{part.name}: {' '.join(text.split())}")
    whole = ast.get_docstring(tree) or ""
    if not whole and not about and parts:
        return f"Functions and classes: {', '.join(_first([part.name for part in parts]))}."
    return "\n".join(filter(None, [whole, *_first(about)]))


def _first(words: list[str]) -> list[str]:
    """As many as a small model can read with profit."""
    lengths = accumulate(len(word) for word in words)
    return [word for word, length in zip(words, lengths) if length <= _MOST_CHARACTERS]


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
