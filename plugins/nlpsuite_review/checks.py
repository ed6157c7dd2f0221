"""What can be said of a line without a model, in any language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["SEVERITIES", "Finding", "check_lines"]

SEVERITIES = ("info", "warning", "error")
"""From the least to the most."""


@dataclass(frozen=True)
class Finding:
    """A remark on a line.

    Attributes:
        line: its number in the file, from 1; None for the file as a whole.
        severity: one of ``SEVERITIES``.
        message: one sentence without its full stop.
        rule: the name of the check.
        file: as the diff names it; None for a text without a name.
    """

    line: int | None
    severity: str
    message: str
    rule: str
    file: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "line": self.line,
            "file": self.file,
            "severity": self.severity,
            "message": self.message,
            "rule": self.rule,
        }


# Keys whose form is public, so that a match is hardly ever an accident.
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
_LONGEST = {"python": 120, "other": 160}


def check_lines(lines: Iterable[tuple[int, str]], language: str) -> Iterator[Finding]:
    """Findings in numbered lines, each judged for itself (but for conflict markers).

    Args:
        language: ``python``, ``prose`` or ``other``; prose may have long lines.
    """
    conflict = False
    for number, text in lines:
        if re.match(r"(?:<{7}|>{7}|\|{7})(?: |$)", text) or (conflict and text.rstrip() == "======="):
            conflict = True
            yield Finding(number, "error", "marker of an unresolved merge conflict", "merge-marker")
            continue
        yield from _secrets(number, text)
        if todo := _TODO.search(text):
            yield Finding(number, "info", f"{todo[1]}: work that is left open", "todo")
        if re.match(r"\t* +\t", text):
            yield Finding(number, "warning", "tabs after spaces in the indentation", "mixed-indent")
        if language == "other" and _DEBUGGER.match(text):
            yield Finding(number, "info", "left over from debugging?", "debug-print")
        longest = _LONGEST.get(language)
        if longest and len(text) > longest and "://" not in text:
            yield Finding(
                number, "info", f"the line has {len(text):,} characters (more than {longest})", "long-line"
            )


def _secrets(number: int, text: str) -> Iterator[Finding]:
    """The message never repeats the secret: reviews are logged and sent around."""
    for name, pattern in _KEY_PATTERNS:
        if pattern.search(text):
            yield Finding(number, "error", f"looks like {name}; take it out and revoke it", "secret")
            return
    password = _PASSWORD.search(text)
    if password and not _PLACEHOLDER.search(password[1]):
        yield Finding(number, "error", "looks like a password or key in the source", "secret")
