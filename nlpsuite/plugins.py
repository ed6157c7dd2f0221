"""Finding and loading plugins.

Listing reads package metadata only; running a task imports that task's plugin and no other,
so a broken or slow plugin costs nobody else anything.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.machinery
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import PluginError, UnknownTaskError

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["ENTRY_POINT_GROUP", "TaskPlugin", "find_task", "installed_tasks", "load_task"]

# The group's name carries the contract's version, which can thus be read without an import.
# It stands here and not in hookspecs, which imports pluggy: listing must be quick.
ENTRY_POINT_GROUP = "nlpsuite.tasks.v1"
_CORE = "nlpsuite"


@dataclass(frozen=True)
class TaskPlugin:
    """A task that an installed distribution offers, from its metadata alone.

    Attributes:
        name: of the task and its entry point.
        module: that would be imported.
        distribution, version: that it came with.
        rivals: other distributions that offer the same name.
    """

    name: str
    module: str
    distribution: str
    version: str
    rivals: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read from its source without importing it."""
        try:
            # find_spec of a top-level module imports nothing; a submodule's would import its parents.
            spec = importlib.machinery.PathFinder.find_spec(self.module.split(".")[0])
            if spec is None or spec.origin is None or "." in self.module:
                return ""
            with open(spec.origin, encoding="utf-8") as file:
                docstring = ast.get_docstring(ast.parse(file.read()))
        except (OSError, SyntaxError, ValueError):
            return ""
        return (docstring or "").strip().split("\n")[0]


def installed_tasks() -> dict[str, TaskPlugin]:
    """All tasks by name, in alphabetical order. Imports no plugin.

    Where two distributions offer one name, a bundled task goes first; the others are its
    ``rivals``.
    """
    found: dict[str, list[TaskPlugin]] = {}
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        distribution = entry.dist.metadata["Name"] if entry.dist else "unknown"
        version = entry.dist.version if entry.dist else "unknown"
        found.setdefault(entry.name, []).append(TaskPlugin(entry.name, entry.module, distribution, version))
    tasks = {}
    for name, plugins in sorted(found.items()):
        # An editable and an ordinary install may list the same entry point twice.
        unique = sorted({(p.distribution != _CORE, p.distribution): p for p in plugins}.items())
        first, *rest = [plugin for _, plugin in unique]
        rivals = tuple(p.distribution for p in rest)
        tasks[name] = TaskPlugin(first.name, first.module, first.distribution, first.version, rivals)
    return tasks


def find_task(name: str) -> TaskPlugin:
    """The plugin of a task.

    Raises:
        UnknownTaskError: none offers it; suggests the nearest names.
        PluginError: two third-party distributions offer it.
    """
    tasks = installed_tasks()
    if name not in tasks:
        close = difflib.get_close_matches(name, tasks, n=1, cutoff=0.5)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        raise UnknownTaskError(
            f"There is no task {name!r}.",
            hint=f"{meant}Tasks: {', '.join(tasks) or 'none'}. `nlpsuite list` says what they do.",
        )
    plugin = tasks[name]
    if plugin.rivals and plugin.distribution != _CORE:
        others = " and ".join((plugin.distribution, *plugin.rivals))
        raise PluginError(
            f"The task {name!r} is offered by {others}.",
            hint=f"Uninstall one: pip uninstall {plugin.rivals[0]}",
        )
    return plugin


def load_task(name: str) -> Task[Any]:
    """Import the one plugin that offers a task and ask it for the task.

    Raises:
        UnknownTaskError: no plugin offers it.
        PluginError: the plugin fails to import, raises, or breaks the contract.
    """
    import pluggy

    from nlpsuite import hookspecs
    from nlpsuite.tasks.base import Task

    plugin = find_task(name)
    manager = pluggy.PluginManager("nlpsuite")
    manager.add_hookspecs(hookspecs)
    try:
        # What a plugin prints must not mix with results.
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(plugin.module)
            manager.register(module, name=plugin.name)
            manager.check_pending()
            task = manager.hook.nlpsuite_task(name=name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit while it is imported
        raise _broken(plugin, f"{type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        raise _broken(plugin, f"its hook nlpsuite_task returned {type(task).__name__} instead of a Task")
    if task.name != name:
        raise _broken(plugin, f"its task calls itself {task.name!r}")
    return task


def _broken(plugin: TaskPlugin, problem: str) -> PluginError:
    return PluginError(
        f"The plugin of task {plugin.name!r} ({plugin.distribution} {plugin.version}, module "
        f"{plugin.module}) failed: {problem}",
        hint=f"Reinstall or upgrade it, or remove it: pip uninstall {plugin.distribution}",
    )
