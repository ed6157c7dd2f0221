"""What ruff finds in Python sources.

The rules are those that point at bugs and security holes; style is left to the project's own linter. They
are fixed and ruff's configuration files are ignored, so that a text has the same findings everywhere.
Naming the project's directory reverses that: its ruff settings then decide.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
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
        path: relative, with ``/``; its end says whether this is a module, a stub or a notebook.
        whole: the file is complete; of a fragment some rules can't be judged.
    """

    text: str
    path: str = "code.py"
    whole: bool = True


def lint(sources: Sequence[Source], select: str = "", project: str = "") -> list[list[Finding]]:
    """The findings of each source, in the order of lines; of syntax errors only the first.

    Args:
        select: ruff's codes, comma-separated, instead of our own rules or the project's.
        project: a directory; its ruff settings apply if there are any.

    Raises:
        MissingExtraError: ruff isn't installed.
        OptionError: ruff doesn't know a code of ``select``, or refuses the project's settings.
        InputInvalidError: ruff takes too long.
    """
    if not sources:
        return []
    command = [_executable(), "check", "--no-cache", "--output-format", "json", *_settings(select, project)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        paths = [_write(root, number, source) for number, source in enumerate(sources)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RUFF_")}
        try:
            done = subprocess.run(
                [*command, "--", *map(str, paths)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=root,
                env=environment,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise InputInvalidError(
                f"ruff didn't finish within {_SECONDS} seconds.", hint="Review fewer or smaller files."
            ) from None
    if done.returncode == 2:
        reason = done.stderr.decode(errors="replace").strip().split("Cause: ")[-1]
        raise OptionError(f"ruff refused its settings: {reason}", hint="Check --select and --project.")
    if done.returncode not in (
        0,
        1,
    ):  # deep nesting overflows ruff's stack, and takes the other sources along
        if len(sources) > 1:
            return [lint([source], select, project)[0] for source in sources]
        return [[Finding(None, "error", "ruff can't parse it: nested too deeply", "invalid-syntax")]]
    found: dict[str, list[Finding]] = {}
    for entry in json.loads(done.stdout):
        found.setdefault(entry["filename"], []).append(_finding(entry))
    return [_relevant(found.get(str(path), []), source) for path, source in zip(paths, sources)]


def _executable() -> str:
    for folder in (sysconfig.get_path("scripts"), None):  # this environment's before any other
        if found := shutil.which("ruff", path=folder):
            return found
    raise MissingExtraError(
        "Reviewing Python code needs ruff.", hint="Install it: pip install 'nlpsuite[review]'."
    )


def _settings(select: str, project: str) -> list[str]:
    chosen = ["--select", select] if select else []
    if project:
        if not Path(project).is_dir():
            raise OptionError(
                f"{project} isn't a directory.", hint="--project takes the project's directory."
            )
        for name in (".ruff.toml", "ruff.toml", "pyproject.toml"):
            config = Path(project, name).resolve()
            if config.is_file() and (name != "pyproject.toml" or _has_ruff_section(config)):
                return ["--config", str(config), "--no-force-exclude", *chosen]
    # Code of unknown origin may use the newest syntax.
    ours = ["--select", _RULES, "--ignore", _IGNORED, "--preview"]  # B909 is a preview rule
    explicit = ["--config", "lint.explicit-preview-rules=true"]
    return [
        "--isolated",
        "--target-version",
        "py313",
        *(chosen or [*ours, "--extend-select", "B909", *explicit]),
    ]


def _has_ruff_section(config: Path) -> bool:
    try:
        return "ruff" in tomllib.loads(config.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise OptionError(f"{config} can't be read: {error}", hint="Check --project.") from None


def _write(root: Path, number: int, source: Source) -> Path:
    """Write a source under its own path if possible, since a project's settings may depend on the path."""
    path = PurePosixPath(source.path)
    plain = (
        re.fullmatch(r"[\w .+/-]{1,200}", source.path) and not path.is_absolute() and ".." not in path.parts
    )
    text = source.text.encode(errors="replace")
    if plain and source.whole:
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with (root / path).open("xb") as file:
                file.write(text)
            return root / path
        except OSError:  # taken by another source
            pass
    numbered = root / f"{number}-source{path.suffix}"
    numbered.write_bytes(text)
    return numbered


def _finding(entry: dict[str, Any]) -> Finding:
    rule = entry["code"] or "invalid-syntax"
    severity = "error" if _ERROR.match(rule) else "warning" if _WARNING.match(rule) else "info"
    message = entry["message"].removeprefix("SyntaxError: ")  # as older versions begin
    return Finding(entry["location"]["row"], severity, message.rstrip("."), rule, cell=entry.get("cell"))


def _relevant(found: list[Finding], source: Source) -> list[Finding]:
    if not source.whole:
        found = [f for f in found if not _WHOLE_MODULE.match(f.rule)]
    # One syntax error makes ruff stumble over what follows it.
    broken = [f for f in found if f.rule == "invalid-syntax"]
    last = source.text.rstrip("\n").count("\n") + 1  # an unexpected end is reported on the line after it
    return [
        replace(f, line=min(f.line, last)) if f.line and not f.cell else f
        for f in dict.fromkeys(found)
        if f not in broken[1:]
    ]
