"""For authors of plugins: the conformance checks as one class, and a model that needs no weights.

from nlpsuite.testing import EchoModel, TaskConformance

class TestKeywords(TaskConformance):
    task = "keywords"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.lazy import import_name

if TYPE_CHECKING:
    from nlpsuite.data.examples import read_examples
    from nlpsuite.tasks.pipeline import Pipeline
    from nlpsuite.testing.conformance import TaskConformance, check_plugin, check_task
    from nlpsuite.testing.echo import EchoModel
    from nlpsuite.testing.findings import Finding

__all__ = [
    "EchoModel", "Finding", "Pipeline", "TaskConformance", "check_plugin", "check_task", "read_examples"
]  # fmt: skip

# Module to the public names that it has.
_LAZY = {
    "data.examples": "read_examples",
    "tasks.pipeline": "Pipeline",
    "testing.conformance": "TaskConformance check_plugin check_task",
    "testing.echo": "EchoModel",
    "testing.findings": "Finding",
}
_MODULES = {name: f"nlpsuite.{module}" for module, names in _LAZY.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    return import_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
