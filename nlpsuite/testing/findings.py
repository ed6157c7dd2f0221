"""What a check reports: passed, or what was found and where to look."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from nlpsuite.plugins.scan import Plugin
from nlpsuite.tasks.base import Task

__all__ = ["CheckFailed", "Finding", "expect", "frame_in", "place_in_file", "place_of"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name.
        ok: whether the plugin passed.
        message: what was found and what is expected; for a check that passed, what it examined.
        where: file and line to look at, ``path:line``; empty if unknown.
    """

    check: str
    ok: bool
    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.message}{f' ({self.where})' if self.where else ''}"


class CheckFailed(Exception):
    """A check's expectation was not met; becomes a ``Finding``.

    Args:
        where: ``path:line``; empty for the place that belongs to the check.
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.message, self.where = message, where


def expect(condition: object, message: str, where: str = "") -> None:
    """Raises CheckFailed with ``message`` unless ``condition`` holds."""
    if not condition:
        raise CheckFailed(message, where)


def place_of(offered: Any, attribute: str = "") -> str:
    """Where a function or the class of any other value is written: ``path:line``; empty if unknown.

    Args:
        attribute: of a task, to locate that method or value; if the class inherits it from the suite,
            the class itself.
    """
    cls = type(offered)
    if not isinstance(offered, Task):
        return _place(offered if inspect.isroutine(offered) else cls)
    owner = next((c for c in cls.__mro__ if attribute in vars(c)), cls)
    if owner is Task or not attribute:
        return _place(cls)
    value = vars(owner)[attribute]
    return _place(value) if inspect.isfunction(value) else _assignment(owner, attribute)


def _assignment(owner: type, attribute: str) -> str:
    """The line of a class body that assigns a value; failing that, the line of the class."""
    try:
        lines, first = inspect.getsourcelines(owner)
        path = inspect.getsourcefile(owner) or ""
    except (OSError, TypeError):
        return ""
    starts = (f"{attribute} ", f"{attribute}:", f"{attribute}=")
    numbers = (number for number, line in enumerate(lines, first) if line.strip().startswith(starts))
    return place_in_file(path, next(numbers, first))


def _place(value: Any) -> str:
    try:
        return place_in_file(inspect.getsourcefile(value) or "", inspect.getsourcelines(value)[1])
    except (OSError, TypeError):
        return ""


def frame_in(plugin: Plugin, trace: TracebackType | None) -> str:
    """The innermost line of a traceback that lies in a plugin's code: ``path:line``; empty if none does."""
    home = plugin.home
    for frame in reversed(traceback.extract_tb(trace)):
        if frame.filename.startswith(home):
            return place_in_file(frame.filename, frame.lineno or 1)
    return ""


def place_in_file(path: str, line: int) -> str:
    """``path:line``, relative to the working directory if the file lies below it."""
    if not path:
        return ""
    here, full = Path.cwd(), Path(path)
    return f"{full.relative_to(here) if full.is_relative_to(here) else full}:{line}"
