"""Importing one plugin and asking it for what its entry point stands for."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import operator
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import PluginError
from nlpsuite.plugins.kinds import KINDS, TASK, Kind
from nlpsuite.plugins.registry import find_plugin
from nlpsuite.plugins.scan import Plugin, registered

if TYPE_CHECKING:
    import pluggy

    from nlpsuite.evaluation.metrics.base import Metric
    from nlpsuite.tasks.base import Task

__all__ = [
    "SLOW_SECONDS",
    "TRACE",
    "blame",
    "failure",
    "load",
    "load_metric",
    "load_plugin",
    "load_task",
    "measure",
    "resolve",
]

TRACE = "NLPSUITE_TRACE_PLUGINS"
SLOW_SECONDS = 2.0
_LONGEST_REASON = 300
_loading = threading.RLock()


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


def load_metric(name: str) -> Metric:
    """The metric of that name, bundled or a third party's; raises what ``load`` raises."""
    metric: Metric = load("metric", name)
    return metric


def measure(name: str, outputs: Sequence[str], references: Sequence[str]) -> float:
    """The result of the metric ``name``.

    Raises:
        UnknownTaskError, PluginError: as ``load``; PluginError as well if the result isn't a number.
        InputInvalidError: no rows, or not as many references as outputs.
    """
    value = load_metric(name)(outputs, references)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise failure(find_plugin("metric", name), f"its metric returned {value!r} instead of a number")
    return float(value)


def load_plugin(plugin: Plugin) -> Any:
    """Import a plugin, whatever its state, and ask it for its task, metric or other contribution.

    Its output goes to stderr, as does a warning if importing it is slow.

    Raises:
        PluginError: the plugin fails to import, raises, or breaks the contract.
    """
    if plugin.builtin:
        return resolve(f"{plugin.module}:{plugin.attribute}")
    kind = KINDS[plugin.kind]
    started = time.perf_counter()
    try:
        # What a plugin prints must not mix with results.
        with contextlib.redirect_stdout(sys.stderr):
            holder = resolve(f"{plugin.module}:{plugin.attribute}")
            seconds = time.perf_counter() - started
            _trace(plugin, f"imported {plugin.module} in {seconds * 1e3:.1f} ms")
            with _hook_of(holder, kind) as hook:
                _trace(plugin, f"calling {kind.hook}({kind.argument}={plugin.name!r})")
                offered = hook(**{kind.argument: plugin.name})
            milliseconds = (time.perf_counter() - started - seconds) * 1e3
            _trace(plugin, f"{kind.hook} returned {offered!r} in {milliseconds:.1f} ms")
            _check(kind, plugin.name, offered)
    except (KeyboardInterrupt, PluginError):
        raise
    except _ContractError as error:
        raise failure(plugin, str(error)) from None
    except BaseException as error:  # a plugin may even call sys.exit while it is imported
        _trace(plugin, f"{kind.hook} raised {error!r}")
        raise failure(plugin, error) from error
    if seconds > SLOW_SECONDS and not plugin.bundled:
        print(
            f"The plugin of {plugin.kind} {plugin.name!r} ({plugin.distribution} {plugin.version}) took "
            f"{seconds:.1f} s to import; to do without it: nlpsuite plugins disable {plugin.key}",
            file=sys.stderr,
        )
    return offered


class _ContractError(Exception):
    """A plugin's hook is missing or returned the wrong thing."""


@functools.cache
def _manager() -> pluggy.PluginManager:
    import pluggy

    from nlpsuite.plugins import hookspecs

    manager = pluggy.PluginManager("nlpsuite")
    manager.add_hookspecs(hookspecs)
    return manager


@contextlib.contextmanager
def _hook_of(holder: Any, kind: Kind) -> Iterator[pluggy.HookCaller]:
    """The hook of the one plugin that ``holder`` holds; the manager forgets it afterwards, so that it
    can't interfere with the next."""
    manager = _manager()
    with _loading:
        others = manager.get_plugins()  # those whose hooks are being called and load this one
        try:
            if holder not in others:
                manager.register(holder)
                manager.check_pending()
            hook = manager.subset_hook_caller(kind.hook, others - {holder})
            if not hook.get_hookimpls():
                raise _ContractError(f"it has no hook {kind.hook}; is @hookimpl missing?")
            yield hook
        finally:
            if holder not in others and manager.is_registered(holder):
                manager.unregister(holder)


def _check(kind: Kind, name: str, offered: Any) -> None:
    """Raises _ContractError if a hook may not return ``offered``."""
    fits = isinstance(offered, resolve(kind.type)) if kind.type else callable(offered)
    if not fits:
        returned = type(offered).__name__
        raise _ContractError(f"its hook {kind.hook} returned {returned} instead of {kind.returns}")
    if kind.name in (TASK, "guard") and offered.name != name:
        raise _ContractError(f"its {kind.name} calls itself {offered.name!r}")


def failure(plugin: Plugin, problem: BaseException | str) -> PluginError:
    """The error of a plugin that can't be loaded: whose it is, what went wrong, how to do without it."""
    if isinstance(problem, BaseException):
        text = " ".join(str(problem).split())  # on one line, however long it is
        problem = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    if len(problem) > _LONGEST_REASON:
        problem = problem[:_LONGEST_REASON] + "…"
    hint = f"To do without it: nlpsuite plugins disable {plugin.key}. "
    hint += f"To upgrade it: nlpsuite plugins install --upgrade {plugin.distribution}"
    if plugin.bundled:
        hint = "Reinstall nlpsuite."
    return PluginError(
        f"The plugin of {plugin.kind} {plugin.name!r} ({plugin.distribution} {plugin.version}, module "
        f"{plugin.module}) failed: {problem}",
        hint=hint,
    )


def blame(error: BaseException) -> Plugin | None:
    """The third party's plugin whose code an exception passed through, if any."""
    modules: dict[str, Plugin] = {}
    for plugin in registered():  # tasks first
        if plugin.module and not plugin.bundled:
            modules.setdefault(plugin.module.split(".")[0], plugin)
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = modules.get(str(frame.f_globals.get("__name__", "")).split(".")[0], found)
    return found


def resolve(reference: str) -> Any:
    """What ``module:attribute`` names, or ``module:`` alone."""
    module, _, attributes = reference.partition(":")
    found: Any = importlib.import_module(module)
    return operator.attrgetter(attributes)(found) if attributes else found


def _trace(plugin: Plugin, event: str) -> None:
    if os.environ.get(TRACE, "") not in ("", "0"):
        print(f"[plugins] {plugin.distribution} {plugin.version}: {event}", file=sys.stderr)
