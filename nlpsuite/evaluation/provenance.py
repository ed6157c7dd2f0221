"""What an evaluation was made of, so that somebody else gets the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.evaluation.rows import plain
from nlpsuite.files import sha256_file
from nlpsuite.plugins.discovery import find_plugin

if TYPE_CHECKING:
    from nlpsuite.data.tables import Table
    from nlpsuite.tasks.base import Task

__all__ = ["hash_of", "provenance"]


def hash_of(table: Table) -> dict[str, str]:
    """The sha256 of each file of a table, by file name. Raises OSError."""
    return {path.name: sha256_file(path) for path in table.files}


def provenance(
    task: Task[Any],
    table: Table | None,
    *,
    date: str,
    rows: int | None = None,
    predictions: Table | None = None,
    baseline: str = "",
    model: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A report's ``provenance``.

    Args:
        table: the data set.
        date: of the evaluation.
        rows: how many were asked for at most; None for all.
        predictions: the file that the answers come from, if they were made earlier.
        baseline: the trivial system that they come from.
        model: ``name`` and sha256 of its files, as far as they are known.
        options: of the task that were given.
    """
    plugin = find_plugin("task", task.name)
    return {
        "date": date,
        "nlpsuite": __version__,
        "task": {"name": task.name, "version": task.version},
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        "dataset": _table(table),
        "limit": rows,
        "predictions": _table(predictions),
        "baseline": baseline or None,
        "model": dict(model) if model else None,
        "options": {name: plain(value) for name, value in (options or {}).items()},
    }


def _table(table: Table | None) -> dict[str, Any] | None:
    return None if table is None else {"name": table.name, "sha256": hash_of(table)}
