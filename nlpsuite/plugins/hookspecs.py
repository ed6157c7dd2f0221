"""The plugin contract, version 1: every hook that a plugin can implement.

A plugin is a module named by an entry point. Each hook has its own group of entry points:
``nlpsuite.tasks.v1`` for ``nlpsuite_task``, and so on. The entry point's name is that of the task,
metric, scheme, suffix or verb. The hook is called with it when it is needed; no other plugin has to be
imported for that. Slow imports belong in what the hook returns.

A hook is an ordinary function marked with ``@hookimpl``. It may omit its argument. docs/plugins.md
shows each hook with an example.

A change that breaks existing plugins gets a new version of the group, so that it shows without
importing them.
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
    """Return the task called ``name``."""


@hookspec(firstresult=True)
def nlpsuite_guard(name: str) -> Guard | None:
    """Return the guard called ``name``.

    Called only if ``--guard`` or ``guard=`` asks for one, with the name ``guard``. A guard screens the
    outputs of every task; see ``nlpsuite.plugins.Guard``.
    """


@hookspec(firstresult=True)
def nlpsuite_metric(name: str) -> Metric | None:
    """Return the metric called ``name``: a function of outputs and references."""


@hookspec(firstresult=True)
def nlpsuite_source(scheme: str) -> ModelSource | None:
    """Return the function that resolves a model named ``scheme:rest``."""


@hookspec(firstresult=True)
def nlpsuite_reader(suffix: str) -> Reader | None:
    """Return the function that reads the rows of a file whose name ends in ``.suffix``."""


@hookspec(firstresult=True)
def nlpsuite_writer(suffix: str) -> Writer | None:
    """Return the function that writes a job's results to a file whose name ends in ``.suffix``."""


@hookspec(firstresult=True)
def nlpsuite_engine(name: str) -> Engine | None:
    """Return the function that runs a job's chunks for ``--engine name``."""


@hookspec(firstresult=True)
def nlpsuite_command(name: str) -> click.Command | None:
    """Return the command ``nlpsuite name``. The suite's own verbs can't be replaced."""
