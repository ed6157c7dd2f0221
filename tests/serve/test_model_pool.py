"""Models in memory: shared, unloaded when others need the room, never while in use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.errors import ServerBusyError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.serve import models
from nlpsuite.serve.models import ModelPool
from nlpsuite.serve.settings import ServeSettings


@pytest.fixture
def pool(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelPool, list[str]]:
    """A pool with room for two bundles of 1 MB, and what it has loaded; each task has a bundle of its own."""
    bundles = {name: tmp_path / name for name in ("chat", "sentiment", "complete")}
    for path in bundles.values():
        shutil.copytree(tiny_bundle, path)
        (path / "onnx" / "more").write_bytes(bytes(1_000_000))
    loaded: list[str] = []

    def open_model(path: Path) -> LanguageModel:
        loaded.append(path.name)
        return LanguageModel.load(tiny_bundle)

    def resolve(task: Any, **_: Any) -> tuple[Path, list[str]]:
        return bundles[task.name], []

    monkeypatch.setattr(models, "resolve_bundle", resolve)
    return ModelPool(ServeSettings(memory=3), open_model), loaded


def test_a_model_is_loaded_once(pool: tuple[ModelPool, list[str]]) -> None:
    models, loaded = pool
    for _ in range(3):
        with models.pipeline("sentiment", {}) as pipeline:
            assert pipeline("the").label
    assert loaded == ["sentiment"]


def test_the_one_used_least_recently_goes(pool: tuple[ModelPool, list[str]]) -> None:
    models, loaded = pool
    for name in ("chat", "sentiment", "chat", "complete", "chat"):
        with models.pipeline(name, {}):
            pass
    assert loaded == ["chat", "sentiment", "complete"]
    assert models.in_memory().keys() == {"chat", "complete"}


def test_models_in_use_stay(pool: tuple[ModelPool, list[str]]) -> None:
    models, _ = pool
    with models.pipeline("chat", {}), models.pipeline("sentiment", {}):
        with pytest.raises(ServerBusyError, match="no room"), models.pipeline("complete", {}):
            pass
        assert models.in_memory().keys() == {"chat", "sentiment"}
    with models.pipeline("complete", {}):
        assert "complete" in models.in_memory()
