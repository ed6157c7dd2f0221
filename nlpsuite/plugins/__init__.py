"""What a plugin is written with besides the names in ``nlpsuite``, and what finds and loads plugins.

from nlpsuite import Prompt, Record, Task, hookimpl
from nlpsuite.plugins import Columns, Part

Names are imported at first use, so a plugin pays only for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.lazy import import_name

if TYPE_CHECKING:
    from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Engine, OnBeat, RunChunk, Work, open_worker
    from nlpsuite.data.examples import good_rows
    from nlpsuite.data.labels import LABEL_SEPARATORS, join_labels, split_label_set
    from nlpsuite.data.lines import Reader, Values, read_lines
    from nlpsuite.data.overlap import OverlapIndex
    from nlpsuite.data.record import Columns
    from nlpsuite.data.sources import open_table
    from nlpsuite.data.tables import Writer
    from nlpsuite.evaluation.metrics.base import Metric, RowMetric, Statistics
    from nlpsuite.evaluation.metrics.lengths import check_lengths, check_references
    from nlpsuite.models.spec import ModelSource, ModelSpec
    from nlpsuite.plugins.kinds import API_VERSION, ENTRY_POINT_GROUP
    from nlpsuite.plugins.loading import load_metric, load_task, measure
    from nlpsuite.plugins.registry import find_plugin, find_task, installed_tasks, known_plugins
    from nlpsuite.plugins.scan import Plugin
    from nlpsuite.runtime.language_model import LanguageModel
    from nlpsuite.runtime.prompt import Boundary, FinishReason
    from nlpsuite.tasks.base import Divides, Piece
    from nlpsuite.tasks.guard import Flag, Guard, OutputGuard, Screening
    from nlpsuite.tasks.long_text import Part, split_text
    from nlpsuite.tasks.override import PromptOverride
    from nlpsuite.tasks.probabilities import mean_probabilities, softmax
    from nlpsuite.tasks.prose import guess_language
    from nlpsuite.tasks.sentences import Sentence, ends_as_sentence, split_sentences

__all__ = [
    "API_VERSION", "ATTEMPTS", "ENTRY_POINT_GROUP", "LABEL_SEPARATORS", "Beat", "Boundary", "Columns", "Divides", "Done", "Engine",
    "FinishReason", "Flag", "Guard", "LanguageModel", "Metric", "ModelSource", "ModelSpec", "OnBeat",
    "OutputGuard", "OverlapIndex", "Part", "Piece", "Plugin", "PromptOverride", "Reader", "RowMetric",
    "RunChunk", "Screening", "Sentence", "Statistics", "Values", "Work", "Writer", "check_lengths",
    "check_references", "ends_as_sentence", "find_plugin", "find_task", "good_rows", "guess_language",
    "installed_tasks", "join_labels", "known_plugins", "load_metric", "load_task", "mean_probabilities",
    "measure", "open_table", "open_worker", "read_lines", "softmax", "split_label_set", "split_sentences",
    "split_text",
]  # fmt: skip

# Module to the public names that it has.
_LAZY = {
    "batch.engine": "ATTEMPTS Beat Done Engine OnBeat RunChunk Work open_worker",
    "data.examples": "good_rows",
    "data.labels": "LABEL_SEPARATORS join_labels split_label_set",
    "data.lines": "Reader Values read_lines",
    "data.overlap": "OverlapIndex",
    "data.record": "Columns",
    "data.sources": "open_table",
    "data.tables": "Writer",
    "evaluation.metrics.base": "Metric RowMetric Statistics",
    "evaluation.metrics.lengths": "check_lengths check_references",
    "models.spec": "ModelSource ModelSpec",
    "plugins.registry": "find_plugin find_task installed_tasks known_plugins",
    "plugins.kinds": "API_VERSION ENTRY_POINT_GROUP",
    "plugins.loading": "load_metric load_task measure",
    "plugins.scan": "Plugin",
    "runtime.language_model": "LanguageModel",
    "runtime.prompt": "Boundary FinishReason",
    "tasks.base": "Divides Piece",
    "tasks.guard": "Flag Guard OutputGuard Screening",
    "tasks.long_text": "Part split_text",
    "tasks.override": "PromptOverride",
    "tasks.probabilities": "mean_probabilities softmax",
    "tasks.prose": "guess_language",
    "tasks.sentences": "Sentence ends_as_sentence split_sentences",
}
_MODULES = {name: f"nlpsuite.{module}" for module, names in _LAZY.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    return import_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
