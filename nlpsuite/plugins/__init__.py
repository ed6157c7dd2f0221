"""What a plugin is written with besides the names in ``nlpsuite``, and what finds and loads plugins.

from nlpsuite import Prompt, Record, Task, hookimpl
from nlpsuite.plugins import Columns, Part

Names are imported at first use, so a plugin pays only for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Engine, OnBeat, RunChunk, Work, open_worker
    from nlpsuite.data.lines import Reader, Values, read_lines
    from nlpsuite.data.record import Columns
    from nlpsuite.data.tables import Writer
    from nlpsuite.evaluation.metrics.base import Metric, RowMetric, Statistics
    from nlpsuite.evaluation.metrics.lengths import check_lengths, check_references
    from nlpsuite.models.spec import ModelSource, ModelSpec
    from nlpsuite.plugins.discovery import find_plugin, find_task, installed_tasks, known_plugins
    from nlpsuite.plugins.kinds import API_VERSION, ENTRY_POINT_GROUP
    from nlpsuite.plugins.loading import load_metric, load_task, measure
    from nlpsuite.plugins.registry import Plugin
    from nlpsuite.runtime.language_model import LanguageModel
    from nlpsuite.tasks.guard import Flag, Guard, Screening
    from nlpsuite.tasks.long_text import Part, split_text

__all__ = [
    "API_VERSION", "ATTEMPTS", "ENTRY_POINT_GROUP", "Beat", "Columns", "Done", "Engine", "Flag", "Guard",
    "LanguageModel", "Metric", "ModelSource", "ModelSpec", "OnBeat", "Part", "Plugin", "Reader",
    "RowMetric", "RunChunk", "Screening", "Statistics", "Values", "Work", "Writer", "check_lengths",
    "check_references", "find_plugin", "find_task", "installed_tasks", "known_plugins", "load_metric",
    "load_task", "measure", "open_worker", "read_lines", "split_text",
]  # fmt: skip

# Module to the public names that it has; ``name=attribute`` where it calls them differently.
_LAZY = {
    "batch.engine": "ATTEMPTS Beat Done Engine OnBeat RunChunk Work open_worker",
    "data.lines": "Reader Values read_lines",
    "data.record": "Columns",
    "data.tables": "Writer",
    "evaluation.metrics.base": "Metric RowMetric Statistics",
    "evaluation.metrics.lengths": "check_lengths check_references",
    "models.spec": "ModelSource ModelSpec",
    "plugins.discovery": "find_plugin find_task installed_tasks known_plugins",
    "plugins.kinds": "API_VERSION ENTRY_POINT_GROUP",
    "plugins.loading": "load_metric load_task measure",
    "plugins.registry": "Plugin",
    "runtime.language_model": "LanguageModel",
    "tasks.guard": "Flag Guard Screening",
    "tasks.long_text": "Part split_text",
}


def __getattr__(name: str) -> Any:
    import importlib

    for module, names in _LAZY.items():
        for public, _, attribute in (entry.partition("=") for entry in names.split()):
            if public == name:
                return getattr(importlib.import_module(f"nlpsuite.{module}"), attribute or public)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
