"""The models in memory: loaded when asked for, shared by tasks, unloaded when others need the room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from nlpsuite.errors import ServerBusyError
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import DeviceChoice
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.tasks.adapters import NO_ADAPTER
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.load import resolve_bundle
from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["ModelPool"]

_BASE_TASK = "chat"  # a task without an adapter of its own, for requests that name no task


@dataclass
class _Loaded:
    """A model in memory.

    Attributes:
        size: bytes of its weights.
        users: requests that use it now.
        used: when it was last used, by ``time.monotonic``.
    """

    model: LanguageModel
    size: int
    users: int = 0
    used: float = field(default_factory=time.monotonic)


class ModelPool:
    """Gives each request the model it needs. Thread-safe.

    Args:
        open_model: opens a bundle; by default ``LanguageModel.load``.
    """

    def __init__(
        self, settings: ServeSettings, open_model: Callable[[Path], LanguageModel] | None = None
    ) -> None:
        self._settings = settings
        self._open = open_model or self._load
        self._loaded: dict[Path, _Loaded] = {}
        self._bundles: dict[tuple[str, str | None], tuple[Path, list[str]]] = {}
        self._lock = (
            threading.Lock()
        )  # held while a model is loaded: two at a time would need the room of both

    @contextmanager
    def pipeline(
        self, task_name: str, options: Mapping[str, Any], adapter: str | None = None
    ) -> Iterator[Pipeline]:
        """A task on its model, with its notices, while it is in use.

        Args:
            adapter: ``none`` for the model without the task's own adapter.

        Raises:
            UnknownTaskError, OptionError, PluginError.
            ServerBusyError: the models in use leave no room for this one.
            NlpsuiteError: the model can't be loaded.
        """
        task = load_task(task_name)
        path, notices = self._bundle(task, adapter)
        with self._use(path) as model:
            pipeline = Pipeline(task, model, **options)
            pipeline.notices[:0] = notices
            yield pipeline

    @contextmanager
    def base(self) -> Iterator[LanguageModel]:
        """The model without any adapter, while it is in use. Raises as ``pipeline``."""
        path, _ = self._bundle(load_task(_BASE_TASK), NO_ADAPTER)
        with self._use(path) as model:
            yield model

    def names(self) -> list[str]:
        """The name under which the model is served, which builds it if necessary."""
        path, _ = self._bundle(load_task(_BASE_TASK), NO_ADAPTER)
        return [Bundle.open(path).name]

    def in_memory(self) -> dict[str, int]:
        """Names of the models in memory, and the bytes of their weights."""
        return {path.name: loaded.size for path, loaded in list(self._loaded.items())}

    def _bundle(self, task: Task[Any], adapter: str | None) -> tuple[Path, list[str]]:
        key = task.name, adapter
        if key not in self._bundles:
            self._bundles[key] = resolve_bundle(
                task,
                model=self._settings.model or None,
                adapter=adapter,
                precision=self._settings.precision or None,
                device=cast(DeviceChoice, self._settings.device),
            )
        return self._bundles[key]

    def _load(self, path: Path) -> LanguageModel:
        settings = self._settings
        return LanguageModel.load(
            path,
            device=cast(DeviceChoice, settings.device),
            threads=settings.threads,
            max_slots=min(settings.concurrency, 64),
        )

    @contextmanager
    def _use(self, path: Path) -> Iterator[LanguageModel]:
        with self._lock:
            loaded = self._loaded.get(path)
            if loaded is None:
                size = sum(file.stat().st_size for file in (path / "onnx").iterdir())
                self._make_room(size)
                loaded = self._loaded[path] = _Loaded(self._open(path), size)
            loaded.users += 1
        try:
            yield loaded.model
        finally:
            with self._lock:
                loaded.users -= 1
                loaded.used = time.monotonic()

    def _make_room(self, size: int) -> None:
        room = self._settings.memory * 1_000_000
        idle = sorted(
            (path for path, loaded in self._loaded.items() if not loaded.users),
            key=lambda path: self._loaded[path].used,
        )
        while self._loaded and sum(each.size for each in self._loaded.values()) + size > room:
            if not idle:
                raise ServerBusyError(
                    f"The models in use leave no room for another of {size / 1e6:,.0f} MB.",
                    hint="Try again later, or start the server with more --memory.",
                )
            del self._loaded[idle.pop(0)]
