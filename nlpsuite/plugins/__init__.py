"""Finding, choosing and loading plugins.

Listing reads package metadata only; running a task imports that task's plugin and no other,
so a broken or slow plugin costs nobody else anything.

registry    what the installed distributions register, from their metadata
policy      what may be used: --no-plugins, NLPSUITE_PLUGINS
state       what the user has decided: plugins.json
discovery   the tasks that come of these three
loading     importing one plugin and asking it for its task
probe       the same in a process of its own
installer   pip and uv
"""

from __future__ import annotations

from nlpsuite.plugins.discovery import find_task, installed_tasks, known_plugins
from nlpsuite.plugins.loading import load_task
from nlpsuite.plugins.registry import API_VERSION, ENTRY_POINT_GROUP, TaskPlugin

__all__ = [
    "API_VERSION",
    "ENTRY_POINT_GROUP",
    "TaskPlugin",
    "find_task",
    "installed_tasks",
    "known_plugins",
    "load_task",
]
