"""For authors of plugins: the conformance checks as one class, and a model that needs no weights.

from nlpsuite.testing import EchoModel, TaskConformance

class TestKeywords(TaskConformance):
    task = "keywords"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpsuite.testing.conformance import TaskConformance as TaskConformance
    from nlpsuite.testing.conformance import check_task as check_task
    from nlpsuite.testing.echo import EchoModel as EchoModel
    from nlpsuite.testing.findings import Finding as Finding

_LAZY = {
    "EchoModel": "nlpsuite.testing.echo",
    "Finding": "nlpsuite.testing.findings",
    "TaskConformance": "nlpsuite.testing.conformance",
    "check_task": "nlpsuite.testing.conformance",
}

__all__ = [*_LAZY]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
