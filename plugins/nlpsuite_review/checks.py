"""Findings, and the checks of single lines that no linter of one language makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["SEVERITIES", "Finding", "check_lines"]

SEVERITIES = ("info", "warning", "error")
"""From least to most severe."""


@dataclass(frozen=True)
class Finding:
    """A remark on a line.

    Attributes:
        line: its number in the file, or in the cell of a notebook, from 1; None for the whole file.
        severity: one of ``SEVERITIES``.
        message: one sentence without a full stop.
        rule: ruff's code (``B006``), or the name of one of our own checks.
        file: as the diff names it; None for a text without a name.
        cell: of a notebook, from 1.
    """

    line: int | None
    severity: str
    message: str
    rule: str
    file: str | None = None
    cell: int | None = None


# Keys whose format is public, so that a match is hardly ever an accident.
_KEYS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{60,})",
    "a GitLab token": r"\bglpat-[0-9A-Za-z_-]{20}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a Slack token": r"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{16,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
}
_KEY_PATTERNS = [(name, re.compile(pattern)) for name, pattern in _KEYS.items()]
_PASSWORD = re.compile(
    r"""(?:password|passwd|secret|api_?key|access_?key|auth_?token)["']?\s*[:=]\s*["']([^"'\s]{8,})["']""",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"example|change_?me|dummy|placeholder|your|xxx|\*\*\*|[<>{}$%]|test", re.IGNORECASE
)
_TODO = re.compile(r"(?:#|//|/\*|\*|--|;|<!--)\s*(TODO|FIXME|XXX|HACK)\b")
_DEBUGGER = re.compile(r"^\s*(?:debugger\s*;?\s*$|console\.log\(|binding\.pry\b|byebug\b|dbg!\()")


def check_lines(lines: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    """Findings in numbered lines of any language, each line judged by itself (but for conflict markers)."""
    conflict = False
    for number, text in lines:
        if re.match(r"(?:<{7}|>{7}|\|{7})(?: |$)", text) or (conflict and text.rstrip() == "======="):
            conflict = True
            yield Finding(number, "error", "unresolved merge conflict", "merge-marker")
            continue
        yield from _secrets(number, text)
        if todo := _TODO.search(text):
            yield Finding(number, "info", f"unfinished work: {todo[1]}", "todo")
        if _DEBUGGER.match(text):
            yield Finding(number, "info", "left over from debugging?", "debug-print")


def _secrets(number: int, text: str) -> Iterator[Finding]:
    """The message never repeats the secret: reviews are logged and sent around."""
    for name, pattern in _KEY_PATTERNS:
        if pattern.search(text):
            yield Finding(number, "error", f"looks like {name}; remove and revoke it", "secret")
            return
    password = _PASSWORD.search(text)
    if password and not _PLACEHOLDER.search(password[1]):
        yield Finding(number, "error", "looks like a hard-coded password or key", "secret")
