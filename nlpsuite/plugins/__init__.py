"""Finding, choosing and loading plugins.

Listing reads package metadata only; running a task imports that task's plugin and no other,
so a broken or slow plugin costs nobody else anything.

kinds       what a plugin can be: a task, metric, source, reader or command
registry    what the installed distributions register, from their metadata
policy      what may be used: --no-plugins, NLPSUITE_PLUGINS
state       what the user has decided: plugins.json
discovery   what comes of these three
loading     importing one plugin and asking it for what it offers
use         metrics and readers by name; what they give is checked
bases       what ``scheme:rest`` names
probe       the same in a process of its own
installer   pip and uv
"""

from __future__ import annotations

from nlpsuite.plugins.discovery import find_task, installed_tasks, known_plugins
from nlpsuite.plugins.loading import load_task
from nlpsuite.plugins.registry import API_VERSION, ENTRY_POINT_GROUP, Plugin

__all__ = [
    "API_VERSION",
    "ENTRY_POINT_GROUP",
    "Plugin",
    "find_task",
    "installed_tasks",
    "known_plugins",
    "load_task",
]
