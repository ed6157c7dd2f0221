"""The plugin contract, version 1: everything that a plugin can implement.

A plugin is a module that an entry point names. There is a group of entry points for each hook:
``nlpsuite.tasks.v1`` for ``nlpsuite_task``, and so on. The entry point's name is that of the task,
metric, scheme, suffix or verb; the hook is called with it, once, when it is first needed, and by then
nothing but this one plugin has been imported. What is slow to import belongs in what the hook returns.

A hook is an ordinary function marked with ``@hookimpl``. It may leave out its argument. docs/plugins.md
shows each hook with an example.

A change that an existing plugin would notice gets a new version of the group, so that it shows
without importing the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from nlpsuite.batch.engine import Engine
    from nlpsuite.data.lines import Reader
    from nlpsuite.data.tables import Writer
    from nlpsuite.evaluation.metrics.base import Metric
    from nlpsuite.models.spec import ModelSource
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.guard import Guard

__all__ = [
    "hookimpl",
    "nlpsuite_command",
    "nlpsuite_engine",
    "nlpsuite_guard",
    "nlpsuite_metric",
    "nlpsuite_reader",
    "nlpsuite_source",
    "nlpsuite_task",
    "nlpsuite_writer",
]

hookspec = pluggy.HookspecMarker("nlpsuite")
hookimpl = pluggy.HookimplMarker("nlpsuite")


@hookspec(firstresult=True)
def nlpsuite_task(name: str) -> Task[Any] | None:
    """Return the task that the entry point ``name`` stands for."""


@hookspec(firstresult=True)
def nlpsuite_guard(name: str) -> Guard | None:
    """Return the guard that the entry point ``name`` stands for.

    Called only where ``--guard`` or ``guard=`` asks for one, with the name ``guard``. A guard screens
    what every task says; see ``nlpsuite.tasks.guard.Guard``.
    """


@hookspec(firstresult=True)
def nlpsuite_metric(name: str) -> Metric | None:
    """Return the metric that a task's ``metrics`` calls ``name``: a function of outputs and references."""


@hookspec(firstresult=True)
def nlpsuite_source(scheme: str) -> ModelSource | None:
    """Return what makes a base of ``rest``, where the user names a model ``scheme:rest``."""


@hookspec(firstresult=True)
def nlpsuite_reader(suffix: str) -> Reader | None:
    """Return what reads the rows of a file whose name ends in ``.suffix``."""


@hookspec(firstresult=True)
def nlpsuite_writer(suffix: str) -> Writer | None:
    """Return what writes the results of a job into a file whose name ends in ``.suffix``."""


@hookspec(firstresult=True)
def nlpsuite_engine(name: str) -> Engine | None:
    """Return what runs the chunks of a job where ``--engine name`` asks for it."""


@hookspec(firstresult=True)
def nlpsuite_command(name: str) -> click.Command | None:
    """Return the command ``nlpsuite name``. The suite's own verbs can't be replaced."""
