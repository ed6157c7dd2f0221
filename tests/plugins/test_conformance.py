"""The bundled tasks keep the contract that third parties' tasks are checked for."""

from __future__ import annotations

import pytest

from nlpsuite.plugins import installed_tasks
from nlpsuite.testing import TaskConformance

BUNDLED = [plugin.name for plugin in installed_tasks().values() if plugin.distribution == "nlpsuite"]

for _name in BUNDLED:
    globals()[f"Test{_name.title().replace('-', '')}"] = type(
        f"Test{_name.title()}", (TaskConformance,), {"task": _name, "__module__": __name__}
    )


@pytest.mark.parametrize("name", ["chat", "classify", "complete", "sentiment", "summarize", "translate"])
def test_every_bundled_task_is_checked(name: str) -> None:
    assert name in BUNDLED and f"Test{name.title()}" in globals()
