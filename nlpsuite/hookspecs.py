"""The plugin contract, version 1: everything that a plugin can implement.

A plugin is a module that an entry point of the group ``nlpsuite.tasks.v1`` names; the entry point's
name is the task's. A hook is an ordinary function marked with ``@hookimpl``. It may leave out
arguments that it does not need. docs/plugins.md shows each hook with an example.

A change that an existing plugin would notice gets a new version of the group, so that it shows
without importing the plugin.
"""

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
    """Return the task that the entry point ``name`` stands for.

    Called once, when the task is first needed. Importing the module and this call should be quick:
    what is slow to import belongs in the methods that use it.
    """
