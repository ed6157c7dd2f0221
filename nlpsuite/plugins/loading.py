"""Importing one plugin and asking it for its task."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import PluginError
from nlpsuite.plugins.discovery import find_task
from nlpsuite.plugins.registry import TaskPlugin, registered

if TYPE_CHECKING:
    import pluggy

    from nlpsuite.tasks.base import Task

__all__ = ["SLOW_SECONDS", "TRACE", "culprit", "failure", "load_plugin", "load_task"]

TRACE = "NLPSUITE_TRACE_PLUGINS"
SLOW_SECONDS = 2.0
_LONGEST_REASON = 300


def load_task(name: str) -> Task[Any]:
    """Import the one plugin that offers a task and ask it for the task.

    Raises:
        UnknownTaskError: no plugin offers it, or it is disabled.
        PluginError: the plugin fails to import, raises, or breaks the contract.
        StorageError: the record of the user's decisions is damaged.
    """
    return load_plugin(find_task(name))


def load_plugin(plugin: TaskPlugin) -> Task[Any]:
    """Import a plugin, whatever its state, and ask it for its task.

    Each plugin has a plugin manager of its own: one that raises can't end the call of another's hook.
    What it prints goes to stderr, where a line also says so if it takes long to load.

    Raises:
        PluginError: the plugin fails to import, raises, or breaks the contract.
    """
    import pluggy

    from nlpsuite import hookspecs
    from nlpsuite.tasks.base import Task

    manager = pluggy.PluginManager("nlpsuite")
    manager.add_hookspecs(hookspecs)
    if os.environ.get(TRACE, "") not in ("", "0"):
        _trace_calls(manager, plugin)
    started = time.perf_counter()
    try:
        # What a plugin prints must not mix with results.
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(plugin.module)
            seconds = time.perf_counter() - started
            _trace(plugin, f"imported {plugin.module} in {seconds * 1e3:.1f} ms")
            manager.register(_holder(module, plugin.attribute), name=plugin.name)
            manager.check_pending()
            if not manager.hook.nlpsuite_task.get_hookimpls():
                raise failure(plugin, "it has no hook nlpsuite_task; is @hookimpl missing?")
            task = manager.hook.nlpsuite_task(name=plugin.name)
            named = getattr(task, "name", None)
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:  # a plugin may even call sys.exit while it is imported
        raise failure(plugin, error) from error
    if not isinstance(task, Task):
        raise failure(plugin, f"its hook nlpsuite_task returned {type(task).__name__} instead of a Task")
    if named != plugin.name:
        raise failure(plugin, f"its task calls itself {named!r}")
    if seconds > SLOW_SECONDS and not plugin.bundled:
        print(
            f"The plugin of task {plugin.name!r} ({plugin.distribution} {plugin.version}) took {seconds:.1f} s to "
            f"import; to do without it: nlpsuite plugins disable {plugin.name}",
            file=sys.stderr,
        )
    return task


def failure(plugin: TaskPlugin, problem: BaseException | str) -> PluginError:
    """The error of a plugin that can't be loaded: whose it is, what went wrong, how to do without."""
    if isinstance(problem, BaseException):
        text = " ".join(str(problem).split())  # on one line, however long it is
        problem = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    if len(problem) > _LONGEST_REASON:
        problem = problem[:_LONGEST_REASON] + "…"
    mend = (
        "Reinstall nlpsuite."
        if plugin.bundled
        else f"To do without it: nlpsuite plugins disable {plugin.name}. "
        f"To upgrade it: nlpsuite plugins install --upgrade {plugin.distribution}"
    )
    return PluginError(
        f"The plugin of task {plugin.name!r} ({plugin.distribution} {plugin.version}, module "
        f"{plugin.module}) failed: {problem}",
        hint=mend,
    )


def culprit(error: BaseException) -> TaskPlugin | None:
    """The third party's plugin whose code an exception passed through, if there is one."""
    modules = {p.module.split(".")[0]: p for p in registered() if p.module and not p.bundled}
    traceback = error.__traceback__
    found = None
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        found = modules.get(name.split(".")[0], found)
        traceback = traceback.tb_next
    return found


def _holder(module: ModuleType, attribute: str) -> Any:
    """What the entry point names: the module, or something in it."""
    found: Any = module
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part)
    return found


def _trace_calls(manager: pluggy.PluginManager, plugin: TaskPlugin) -> None:
    """Say on stderr which hooks are called, with what, and what comes of it."""
    started: list[float] = []

    def before(hook: str, implementations: Any, arguments: Any) -> None:
        called = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        _trace(plugin, f"calling {hook}({called})")
        started.append(time.perf_counter())

    def after(outcome: pluggy.Result[Any], hook: str, implementations: Any, arguments: Any) -> None:
        milliseconds = (time.perf_counter() - started.pop()) * 1e3
        came = f"raised {outcome.exception!r}" if outcome.exception else f"returned {outcome.get_result()!r}"
        _trace(plugin, f"{hook} {came} in {milliseconds:.1f} ms")

    manager.add_hookcall_monitoring(before, after)


def _trace(plugin: TaskPlugin, event: str) -> None:
    if os.environ.get(TRACE, "") not in ("", "0"):
        print(f"[plugins] {plugin.distribution} {plugin.version}: {event}", file=sys.stderr)
