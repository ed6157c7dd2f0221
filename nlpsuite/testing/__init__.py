"""For authors of plugins: the conformance checks as one class, and a model that needs no weights.

from nlpsuite.testing import EchoModel, TaskConformance

class TestKeywords(TaskConformance):
    task = "keywords"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpsuite.data.examples import read_examples
    from nlpsuite.tasks.pipeline import Pipeline
    from nlpsuite.testing.conformance import TaskConformance, check_plugin, check_task
    from nlpsuite.testing.echo import EchoModel
    from nlpsuite.testing.findings import Finding

__all__ = [
    "EchoModel",
    "Finding",
    "Pipeline",
    "TaskConformance",
    "check_plugin",
    "check_task",
    "read_examples",
]

_LAZY = {
    "EchoModel": "nlpsuite.testing.echo",
    "Finding": "nlpsuite.testing.findings",
    "Pipeline": "nlpsuite.tasks.pipeline",
    "TaskConformance": "nlpsuite.testing.conformance",
    "check_plugin": "nlpsuite.testing.conformance",
    "check_task": "nlpsuite.testing.conformance",
    "read_examples": "nlpsuite.data.examples",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
