"""Models in memory: shared, unloaded when others need the room, never while in use; several by name."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.errors import ModelNotFoundError, ModelNotServedError, OptionError, ServerUnavailableError
from nlpsuite.export import cache
from nlpsuite.models.adapter import Adapter
from nlpsuite.models.spec import ModelSpec
from nlpsuite.plugins import load_task
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.serve import models
from nlpsuite.serve.models import ModelPool
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.tasks.adapters import own_adapter

Open = Callable[[Path], LanguageModel]


class Place:
    """Bundles that look like 1 MB each, one for each task and one for the model itself, and what was loaded."""

    def __init__(self, tiny_bundle: Path, directory: Path) -> None:
        self.tiny_bundle, self.loaded = tiny_bundle, list[str]()
        self.bundles = {name: directory / name for name in ("chat", "sentiment", "complete", "base")}
        for path in self.bundles.values():
            shutil.copytree(tiny_bundle, path)
            (path / "onnx" / "more").write_bytes(bytes(1_000_000))

    def resolve(self, task: Any, **_: Any) -> tuple[Path, list[str]]:
        return self.bundles["base" if task is None else task.name], []

    def open(self, path: Path) -> LanguageModel:
        self.loaded.append(path.name)
        return LanguageModel.load(self.tiny_bundle)

    def pool(self, open_model: Open | None = None, **settings: Any) -> ModelPool:
        return ModelPool(ServeSettings(memory=3, **settings), open_model or self.open)


@pytest.fixture
def place(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tiny_bundle, tmp_path)
    monkeypatch.setattr(models, "resolve_bundle", place.resolve)
    return place


def test_a_model_is_loaded_once(place: Place) -> None:
    pool = place.pool()
    for _ in range(3):
        with pool.pipeline("sentiment", {}) as pipeline:
            assert pipeline("the").label
    assert place.loaded == ["sentiment"]


def test_the_one_used_least_recently_goes(place: Place) -> None:
    pool = place.pool()
    for name in ("chat", "sentiment", "chat", "complete", "chat"):
        with pool.pipeline(name, {}):
            pass
    assert place.loaded == ["chat", "sentiment", "complete"]
    assert pool.in_memory().keys() == {"chat", "complete"}


def test_models_in_use_stay(place: Place) -> None:
    pool = place.pool()
    with pool.pipeline("chat", {}), pool.pipeline("sentiment", {}):
        with pytest.raises(ServerUnavailableError, match="no room"), pool.pipeline("complete", {}):
            pass
        assert pool.in_memory().keys() == {"chat", "sentiment"}


def test_what_a_model_works_on_counts(place: Place) -> None:
    pool = place.pool()
    with pool.pipeline("complete", {"max_tokens": 4}) as pipeline:
        empty = pool.in_memory()["complete"]
        pipeline("the singing of birds")
    assert pool.in_memory()["complete"] > empty


def test_a_model_that_is_being_loaded_holds_up_no_other(place: Place) -> None:
    go = threading.Event()

    def slowly(path: Path) -> LanguageModel:
        if path.name == "sentiment":
            assert go.wait(30)
        return place.open(path)

    def run(name: str) -> str:
        with pool.pipeline(name, {"max_tokens": 2} if name == "complete" else {}) as pipeline:
            return pipeline("the").text

    pool = place.pool(slowly)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(run, "sentiment") for _ in range(2)]
        assert threads.submit(run, "complete").result(30) is not None
        assert not any(each.done() for each in waiting)
        go.set()
        assert waiting[0].result(30) == waiting[1].result(30)
    assert sorted(place.loaded) == ["complete", "sentiment"]


def test_a_failure_to_load_is_tried_again(place: Place) -> None:
    failures = [ModelNotFoundError("gone")]

    def sometimes(path: Path) -> LanguageModel:
        if failures:
            raise failures.pop()
        return place.open(path)

    pool = place.pool(sometimes)
    with pytest.raises(ModelNotFoundError), pool.base():
        pass
    assert not pool.in_memory()
    with pool.base() as model:
        assert model.context_length


def test_several_models_by_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def resolve(task: Any, *, model: str | None, **_: Any) -> tuple[Path, list[str]]:
        asked.append(model)
        return place.bundles[model or "base"], []

    monkeypatch.setattr(models, "resolve_bundle", resolve)
    pool = place.pool(model="small=chat, large=complete")
    assert pool.names() == ["small", "large"] and asked == []
    for name in ("", "default", "small"):
        with pool.base(name):
            pass
    with pool.pipeline("sentiment", {}, model="large"):
        pass
    assert place.loaded == ["chat", "complete"]
    with pytest.raises(ModelNotServedError, match="medium"), pool.base("medium"):
        pass
    with pytest.raises(OptionError, match="called"):
        place.pool(model="chat,complete").names()  # copies of one bundle have one name


def test_what_is_served_is_prepared_and_loaded_at_the_start(place: Place) -> None:
    pool = place.pool(task="sentiment")
    pool.prepare()
    assert place.loaded == []
    pool.preload()
    assert place.loaded == ["base", "sentiment"]


def test_defaults_of_an_adapter_that_is_not_merged_yet(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("sentiment")
    path = own_adapter(task)
    assert path is not None
    info = Adapter.open(path).info
    pool, spec = place.pool(), ModelSpec("base", "key", {}, lambda *_: place.tiny_bundle)
    monkeypatch.setattr(models, "resolve_model", lambda *_, **__: spec)
    monkeypatch.setattr(cache, "base_fingerprint", lambda _: info.base_fingerprint)
    assert pool.defaults("sentiment") == dict(info.options)
    assert pool.defaults("sentiment", adapter="none") == {}  # and nothing was built
    assert place.loaded == []
