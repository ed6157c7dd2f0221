"""What a check says: passed, or what was seen and where to look."""

from __future__ import annotations

import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from nlpsuite.tasks.base import Task

__all__ = ["CheckFailed", "Finding", "frame_in", "place_in_file", "place_of", "place_of_value"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name.
        ok: whether the task passed.
        message: what was seen and what is expected; for a check that passed, what it looked at.
        where: file and line to look at, ``path:line``; empty where it can't be known.
    """

    check: str
    ok: bool
    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.message}{f' ({self.where})' if self.where else ''}"


class CheckFailed(Exception):
    """A check's expectation was not met; turned into a ``Finding``."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.message, self.where = message, where


def place_of(task: Task[Any], attribute: str = "") -> str:
    """Where a task's class, or a method of it, is written: ``path:line``. A method or value that the
    class inherits from the suite is a matter of the class itself.
    """
    cls = type(task)
    owner = next((c for c in cls.__mro__ if attribute in vars(c)), cls)
    if owner is Task or not attribute:
        return _place(cls)
    value = vars(owner)[attribute]
    if inspect.isfunction(value):
        return _place(value)
    return _assignment(owner, attribute)


def place_of_value(value: Any) -> str:
    """Where a function, or the class of anything else, is written: ``path:line``; empty where that is unknown."""
    return _place(value if inspect.isroutine(value) else type(value))


def _assignment(owner: type, attribute: str) -> str:
    """The line of a class body on which a value is assigned, else that of the class."""
    try:
        lines, first = inspect.getsourcelines(owner)
        path = inspect.getsourcefile(owner) or ""
    except (OSError, TypeError):
        return ""
    for number, line in enumerate(lines, start=first):
        if line.strip().startswith((f"{attribute} ", f"{attribute}:", f"{attribute}=")):
            return place_in_file(path, number)
    return place_in_file(path, first)


def _place(value: Any) -> str:
    try:
        return place_in_file(inspect.getsourcefile(value) or "", inspect.getsourcelines(value)[1])
    except (OSError, TypeError):
        return ""


def frame_in(module: str, trace: TracebackType | None) -> str:
    """The innermost line of a traceback that lies in the plugin ``module``: ``path:line``."""
    loaded = sys.modules.get(module.split(".")[0])
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        return ""
    package = Path(origin).name == "__init__.py"
    for frame in reversed(traceback.extract_tb(trace)):
        if frame.filename == origin or (package and Path(origin).parent in Path(frame.filename).parents):
            return place_in_file(frame.filename, frame.lineno or 1)
    return ""


def place_in_file(path: str, line: int) -> str:
    """Relative to the working directory where the file lies below it."""
    if not path:
        return ""
    here = Path.cwd()
    full = Path(path)
    return f"{full.relative_to(here) if full.is_relative_to(here) else full}:{line}"
