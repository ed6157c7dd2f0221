"""The adapters that ship with a task: where their files are, and the notice when its own isn't used."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import ModelNotFoundError, NlpsuiteError, PluginError, UnknownTaskError
from nlpsuite.plugins.loading import failure
from nlpsuite.plugins.registry import find_task

if TYPE_CHECKING:
    from nlpsuite.runtime.bundle import Bundle
    from nlpsuite.tasks.base import Task

__all__ = [
    "NO_ADAPTER",
    "adapter_fault",
    "given_adapter",
    "own_adapter",
    "shipped_adapters",
    "why_not_merged",
    "with_own_adapter",
]

NO_ADAPTER = "none"
"""Runs a task without its own adapter. A file of that name is ``./none``."""


def own_adapter(task: Task[Any]) -> Path | None:
    """The file of the task's adapter, in the package of the class that declares it; None if it has none.

    Raises:
        PluginError: the path leaves the package, or the file doesn't exist.
    """
    return _shipped(task, "adapter", task.adapter) if task.adapter else None


def shipped_adapters(task: Task[Any]) -> list[Path]:
    """The files of all adapters in the task's package, its own first.

    Raises:
        PluginError: as ``own_adapter``.
    """
    own = own_adapter(task)
    named = [_shipped(task, "named_adapters", file) for file in task.named_adapters]
    return [own, *named] if own else named


def given_adapter(
    task: Task[Any] | None, adapter: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    """What ``adapter`` names: the file that the task ships under that name, otherwise what is given; None for ``none``.

    Raises:
        PluginError: the task's file doesn't exist.
        ModelNotFoundError: neither the task nor the file system has an adapter of that name.
    """
    if adapter is None or adapter == NO_ADAPTER:
        return None
    if task is None or not task.named_adapters:
        return adapter
    named = {PurePosixPath(file).stem: file for file in task.named_adapters}
    if isinstance(adapter, str) and adapter in named:
        return _shipped(task, "named_adapters", named[adapter])
    if not Path(adapter).exists():
        raise ModelNotFoundError(
            f"There is no adapter {adapter}.",
            hint=f"{task.name} ships {', '.join(named)}; `nlpsuite train adapter` makes one.",
        )
    return adapter


def _shipped(task: Task[Any], attribute: str, file: str) -> Path:
    """The path of a file that a task's attribute names, in the package of the class that sets the attribute."""
    # A task may inherit its adapters from a class in another package.
    owner = next(cls for cls in type(task).__mro__ if attribute in vars(cls))
    place = Path(str(getattr(sys.modules.get(owner.__module__), "__file__", None) or "")).parent
    name = PurePosixPath(file)
    if name.is_absolute() or ".." in name.parts or name.suffix != ".safetensors":
        raise _fault(task, f"its adapter {file!r} is not a .safetensors file in its package")
    path = place / name
    if not path.is_file():
        raise _fault(task, f"its adapter {path} does not exist")
    return path


def adapter_fault(task: Task[Any], path: Path) -> PluginError | None:
    """What is wrong with a task's own adapter, if anything. Reads the whole file."""
    from nlpsuite.models.adapter import Adapter

    try:
        info = Adapter.open(path).info
    except NlpsuiteError as error:
        return _fault(task, error.message)
    if info.task != task.name:
        return _fault(task, f"its adapter {path} was trained for the task {info.task!r}")
    return None


def why_not_merged(task: Task[Any], path: Path, bundle: Bundle, *, is_bundle: bool) -> str:
    """Why ``bundle`` lacks the task's own adapter; empty if it has an adapter.

    Args:
        path: the adapter's file.
        is_bundle: the user named a bundle rather than a base model.
    """
    if bundle.adapter is not None:
        return ""  # the pipeline says which one
    if is_bundle:
        return (
            f"{bundle.name} is an exported bundle: the adapter of {task.name} can't be merged into it. "
            "Name its base model with --model, or use --adapter none."
        )
    from nlpsuite.export.cache import base_fingerprint
    from nlpsuite.models.adapter import Adapter

    info = Adapter.open(path).info
    if base_fingerprint(bundle) == info.base_fingerprint:
        return f"The weights of {bundle.name} are unavailable: running without the adapter of {task.name}."
    return (
        f"The adapter of {task.name} was trained on {info.base}, not on {bundle.name}: running without it. "
        "--adapter none silences this notice."
    )


def with_own_adapter(task: Task[Any], base: Bundle) -> Bundle:
    """A base's bundle whose manifest says what that of the bundle with the task's own adapter will say, before that one is
    built; unchanged if the adapter doesn't fit.

    Raises:
        PluginError: the adapter is missing.
        NlpsuiteError: it can't be read.
    """
    from nlpsuite.export.cache import base_fingerprint
    from nlpsuite.models.adapter import Adapter

    path = own_adapter(task)
    if path is None or base.adapter is not None:
        return base
    adapter = Adapter.open(path)
    if base_fingerprint(base) != adapter.info.base_fingerprint:
        return base
    return dataclasses.replace(base, adapter=adapter.manifest())


def _fault(task: Task[Any], problem: str) -> PluginError:
    try:
        return failure(find_task(task.name), problem)
    except UnknownTaskError:  # used in Python without being installed
        return PluginError(f"The task {task.name!r} failed: {problem}", hint="Use adapter='none'.")
