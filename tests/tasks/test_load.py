"""Which precision a task runs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_checkpoint

from nlpsuite.models.spec import ModelSpec
from nlpsuite.plugins import load_task
from nlpsuite.runtime.device import Device
from nlpsuite.tasks import load


@pytest.mark.parametrize(
    "found,device,precision,expected",
    [
        ("cuda", "auto", None, "fp16"),
        ("cuda", "cuda", None, "fp16"),
        ("cuda", "cuda", "int8", "int8"),
        ("cuda", "cpu", None, "int8"),
        ("cpu", "auto", None, "int8"),
        ("cpu", "auto", "fp32", "fp32"),
    ],
)
def test_the_precision_suits_the_device(
    found: Any,
    device: Any,
    precision: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def get_bundle(model: Any, **settings: Any) -> Path:
        assert isinstance(model, ModelSpec)
        asked.append(settings["precision"])
        return tmp_path

    monkeypatch.setattr("nlpsuite.runtime.device.choose_device", lambda choice: Device(found))
    monkeypatch.setattr(load, "get_bundle", get_bundle)
    model = write_tiny_checkpoint(tmp_path / "model")
    load.resolve_bundle(load_task("complete"), model=model, precision=precision, device=device)
    assert asked == [expected]
