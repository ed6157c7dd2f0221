"""What ruff finds in Python sources.

The rules are those that point at bugs and security holes; style is left to the project's own linter. They
are fixed and ruff's configuration files are ignored, so that a text has the same findings everywhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, MissingExtraError, OptionError
from nlpsuite_review.checks import Finding

__all__ = ["Source", "lint"]

_RULES = (
    "F,E101,E711,E722,E9,W605,"  # names, imports, comparisons, syntax
    "B,A001,A002,ASYNC2,T10,"  # likely bugs, hidden builtins, blocking calls in coroutines, debuggers
    "PLE,PLW0127,PLW0128,PLW0129,PLW0133,PLW0711,PLW1501,PLW2101,RUF006,RUF008,RUF009,RUF016,"
    "S102,S110,S301,S302,S306,S307,S501,S506,S602,S605,S608"  # code, shell or SQL from data; TLS unchecked
)
_IGNORED = "F403,F405,B007,B009,B010,B028,B904,B905"  # matters of style
# What can't be decided without the rest of the module.
_WHOLE_MODULE = re.compile(r"invalid-syntax|E9|F(?:401|404|70\d|8\d\d)|A001|PLE01|PLE1142|B018|I001|D1")
_ERROR = re.compile(r"invalid-syntax|E9|F(?:50|52|63|7|82|9)|PLE")
_WARNING = re.compile(r"(?:F(?!541)|B|S|ASYNC|T1|PLW|RUF|BLE|LOG)\d|E7[12]|E101|W605")
_SECONDS = 120


@dataclass(frozen=True)
class Source:
    """Python code to lint.

    Attributes:
        name: ruff takes a module, a stub or a notebook by the suffix, and knows ``__init__.py``.
        file: as findings name it.
        offset: line ``n`` of the text is line ``n - offset`` of the file.
        lines: those of the file to judge; None for all.
        whole: the text is a complete file; some rules can't be judged on a fragment.
    """

    text: str
    name: str = "code.py"
    file: str | None = None
    offset: int = 0
    lines: Collection[int] | None = None
    whole: bool = True


def lint(sources: Sequence[Source], select: str = "") -> list[Finding]:
    """What ruff finds; of a source's syntax errors only the first.

    Args:
        select: ruff's codes, comma-separated, in place of the default rules.

    Raises:
        MissingExtraError: ruff isn't installed.
        OptionError: ruff doesn't know a code of ``select``.
        InputInvalidError: ruff takes too long.
    """
    if not sources:
        return []
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for number, source in enumerate(sources):
            name = source.name if re.fullmatch(r"\w[\w+-]*\.\w+", source.name) else "code.py"
            path = Path(folder).resolve() / str(number) / name
            path.parent.mkdir()
            path.write_bytes(source.text.encode(errors="replace"))
            paths[str(path)] = source
        try:
            done = subprocess.run(
                [_executable(), "check", "--no-cache", "--output-format", "json", *_rules(select), *paths],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=folder,
                env={key: value for key, value in os.environ.items() if not key.startswith("RUFF_")},
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise InputInvalidError(
                f"ruff didn't finish within {_SECONDS} seconds.", hint="Review fewer or smaller files."
            ) from None
    if done.returncode == 2:
        reason = done.stderr.decode(errors="replace").strip().split("Cause: ")[-1]
        raise OptionError(f"ruff refused its settings: {reason}", hint="Check --select.")
    if done.returncode not in (0, 1):  # deeply nested code overflows ruff's stack
        if len(sources) > 1:
            return [finding for source in sources for finding in lint([source], select)]
        message = "ruff can't parse it: nested too deeply"
        return [Finding(None, "error", message, "invalid-syntax", sources[0].file)]
    found: dict[str, list[Finding]] = {}
    for entry in json.loads(done.stdout):
        found.setdefault(entry["filename"], []).append(_finding(entry, paths[entry["filename"]]))
    return [finding for path, some in found.items() for finding in _relevant(some, paths[path])]


def _executable() -> str:
    for folder in (sysconfig.get_path("scripts"), None):  # this environment's before any other
        if found := shutil.which("ruff", path=folder):
            return found
    raise MissingExtraError(
        "Reviewing Python code needs ruff.", hint="Install it: pip install 'nlpsuite[review]'."
    )


def _rules(select: str) -> list[str]:
    # Code of unknown origin may use the newest syntax.
    common = ["--isolated", "--target-version", "py313"]
    if select:
        return [*common, "--select", select]
    preview = ["--preview", "--config", "lint.explicit-preview-rules=true", "--extend-select", "B909"]
    return [*common, "--select", _RULES, "--ignore", _IGNORED, *preview]


def _finding(entry: dict[str, Any], source: Source) -> Finding:
    rule = entry["code"] or "invalid-syntax"
    severity = "error" if _ERROR.match(rule) else "warning" if _WARNING.match(rule) else "info"
    message = entry["message"].removeprefix("SyntaxError: ").rstrip(".")  # older versions have the prefix
    line, cell = entry["location"]["row"], entry.get("cell")
    if not cell:
        # An unexpected end of file is reported on the line after the last.
        line = min(line, source.text.rstrip("\n").count("\n") + 1) - source.offset
    return Finding(line, severity, message, rule, source.file, cell)


def _relevant(found: list[Finding], source: Source) -> list[Finding]:
    # A syntax error makes ruff stumble over what follows it.
    broken = [finding for finding in found if finding.rule == "invalid-syntax"]
    return [
        finding
        for finding in dict.fromkeys(found)
        if finding not in broken[1:]
        and (source.whole or not _WHOLE_MODULE.match(finding.rule))
        and (source.lines is None or finding.line in source.lines)
    ]
