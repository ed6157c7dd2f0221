"""The plugin contract, version 1: everything a plugin can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["hookimpl", "nlpsuite_task"]

hookspec = pluggy.HookspecMarker("nlpsuite")
hookimpl = pluggy.HookimplMarker("nlpsuite")


@hookspec(firstresult=True)
def nlpsuite_task(name: str) -> Task[Any] | None:
    """Return the task that the entry point ``name`` stands for."""
