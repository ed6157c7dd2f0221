"""Importing one plugin and asking it for what its entry point stands for."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import PluginError
from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.plugins.kinds import KINDS, TASK, Kind
from nlpsuite.plugins.registry import Plugin, registered

if TYPE_CHECKING:
    import pluggy

    from nlpsuite.tasks.base import Task

__all__ = ["SLOW_SECONDS", "TRACE", "blame", "failure", "load", "load_plugin", "load_task"]

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
    task: Task[Any] = load(TASK, name)
    return task


def load(kind: str, name: str) -> Any:
    """The same for any kind: what the hook of that kind returns for ``name``."""
    return load_plugin(find_plugin(kind, name))


def load_plugin(plugin: Plugin) -> Any:
    """Import a plugin, whatever its state, and ask it for its task, metric or what else it offers.

    Each plugin has a plugin manager of its own: one that raises can't end the call of another's hook.
    What it prints goes to stderr, where a line also says so if it takes long to load.

    Raises:
        PluginError: the plugin fails to import, raises, or breaks the contract.
    """
    if plugin.builtin:
        return _resolve(f"{plugin.module}:{plugin.attribute}")
    import pluggy

    from nlpsuite.plugins import hookspecs

    kind = KINDS[plugin.kind]
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
            hook = getattr(manager.hook, kind.hook)
            if not hook.get_hookimpls():
                raise failure(plugin, f"it has no hook {kind.hook}; is @hookimpl missing?")
            given = hook(**{kind.argument: plugin.name})
            problem = _problem(kind, plugin.name, given)
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:  # a plugin may even call sys.exit while it is imported
        raise failure(plugin, error) from error
    if problem:
        raise failure(plugin, problem)
    if seconds > SLOW_SECONDS and not plugin.bundled:
        print(
            f"The plugin of {plugin.kind} {plugin.name!r} ({plugin.distribution} {plugin.version}) took {seconds:.1f} s to "
            f"import; to do without it: nlpsuite plugins disable {plugin.key}",
            file=sys.stderr,
        )
    return given


def _problem(kind: Kind, name: str, given: Any) -> str:
    """What is wrong with what a hook returned; empty where nothing is."""
    fits = isinstance(given, _resolve(kind.type)) if kind.type else callable(given)
    if not fits:
        return f"its hook {kind.hook} returned {type(given).__name__} instead of {kind.gives}"
    if kind.name in (TASK, "guard") and given.name != name:
        return f"its {kind.name} calls itself {given.name!r}"
    return ""


def failure(plugin: Plugin, problem: BaseException | str) -> PluginError:
    """The error of a plugin that can't be loaded: whose it is, what went wrong, how to do without."""
    if isinstance(problem, BaseException):
        text = " ".join(str(problem).split())  # on one line, however long it is
        problem = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    if len(problem) > _LONGEST_REASON:
        problem = problem[:_LONGEST_REASON] + "…"
    mend = (
        "Reinstall nlpsuite."
        if plugin.bundled
        else f"To do without it: nlpsuite plugins disable {plugin.key}. "
        f"To upgrade it: nlpsuite plugins install --upgrade {plugin.distribution}"
    )
    return PluginError(
        f"The plugin of {plugin.kind} {plugin.name!r} ({plugin.distribution} {plugin.version}, module "
        f"{plugin.module}) failed: {problem}",
        hint=mend,
    )


def blame(error: BaseException) -> Plugin | None:
    """The third party's plugin whose code an exception passed through, if there is one."""
    modules: dict[str, Plugin] = {}
    for plugin in registered():  # tasks first
        if plugin.module and not plugin.bundled:
            modules.setdefault(plugin.module.split(".")[0], plugin)
    traceback = error.__traceback__
    found = None
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        found = modules.get(name.split(".")[0], found)
        traceback = traceback.tb_next
    return found


def _resolve(reference: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _holder(module: ModuleType, attribute: str) -> Any:
    """What the entry point names: the module, or something in it."""
    found: Any = module
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part)
    return found


def _trace_calls(manager: pluggy.PluginManager, plugin: Plugin) -> None:
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


def _trace(plugin: Plugin, event: str) -> None:
    if os.environ.get(TRACE, "") not in ("", "0"):
        print(f"[plugins] {plugin.distribution} {plugin.version}: {event}", file=sys.stderr)
