"""The adapter that a task brings along: where its file is, and what the user is told if it is not used."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import NlpsuiteError, PluginError, UnknownTaskError
from nlpsuite.plugins.discovery import find_task
from nlpsuite.plugins.loading import failure

if TYPE_CHECKING:
    from nlpsuite.runtime.bundle import Bundle
    from nlpsuite.tasks.base import Task

__all__ = ["NO_ADAPTER", "adapter_fault", "own_adapter", "why_not_merged"]

NO_ADAPTER = "none"
"""What a user says who wants a task without the adapter that it names. A file of that name is ``./none``."""


def own_adapter(task: Task[Any]) -> Path | None:
    """The file of the adapter that a task names, in the package of the class that names it; None if it
    names none.

    Raises:
        PluginError: the name leads out of the package, or there is no such file.
    """
    if not task.adapter:
        return None
    # A task derived from another one of somebody else's takes the adapter from there.
    owner = next(cls for cls in type(task).__mro__ if "adapter" in vars(cls))
    place = Path(str(getattr(sys.modules.get(owner.__module__), "__file__", None) or "")).parent
    name = PurePosixPath(task.adapter)
    if name.is_absolute() or ".." in name.parts or name.suffix != ".safetensors":
        raise _fault(task, f"its adapter {task.adapter!r} is no .safetensors file of its package")
    path = place / name
    if not path.is_file():
        raise _fault(task, f"its adapter {path} is not there")
    return path


def adapter_fault(task: Task[Any], path: Path) -> PluginError | None:
    """What is wrong with the adapter that a task brings along; None if nothing is. Reads all of it."""
    from nlpsuite.models.adapter import Adapter

    try:
        info = Adapter.open(path).info
    except NlpsuiteError as error:
        return _fault(task, error.message)
    if info.task != task.name:
        return _fault(task, f"its adapter {path} was trained for the task {info.task!r}")
    return None


def why_not_merged(task: Task[Any], path: Path, bundle: Bundle, *, built: bool) -> str:
    """Why ``bundle`` does without the adapter of a task; empty if it has one.

    Args:
        path: of the adapter's file.
        built: the user named the bundle itself, no base.
    """
    if bundle.adapter is not None:
        return ""  # whose it is, the pipeline says
    if built:
        return (
            f"{bundle.name} is a bundle that is built already: the adapter of {task.name} is not merged into it. "
            "Name its base with --model, or use --adapter none."
        )
    from nlpsuite.export.store import base_fingerprint
    from nlpsuite.models.adapter import Adapter

    info = Adapter.open(path).info
    if base_fingerprint(bundle) == info.base_fingerprint:
        return (
            f"{bundle.name} could not be got to merge the adapter of {task.name} into it: running without it."
        )
    return (
        f"The adapter of {task.name} was trained on {info.base}, not on {bundle.name}: running without it. "
        "--adapter none says the same."
    )


def _fault(task: Task[Any], problem: str) -> PluginError:
    try:
        return failure(find_task(task.name), problem)
    except UnknownTaskError:  # a task that is used in Python without being installed
        return PluginError(f"The task {task.name!r} failed: {problem}", hint="Use adapter='none'.")
