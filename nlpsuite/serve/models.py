"""The models in memory: loaded when asked for, shared by tasks, unloaded when others need the room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from nlpsuite.errors import ModelNotServedError, OptionError, ServerUnavailableError
from nlpsuite.models.resolve import resolve_model
from nlpsuite.models.spec import ModelSpec, Reporter
from nlpsuite.options import option_specs
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import DeviceChoice
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.tasks.adapters import NO_ADAPTER, with_own_adapter
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.load import resolve_bundle
from nlpsuite.tasks.pipeline import Pipeline, default_options

__all__ = ["DEFAULT_MODELS", "ModelPool"]

DEFAULT_MODELS = ("", "default")
"""What clients may call the first model besides its name."""
_MOST_SLOTS = 64

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class _Once(Generic[_K, _V]):
    """Values that are made once, by the thread that first asks; others wait. A failure is tried again."""

    def __init__(self) -> None:
        self._futures: dict[_K, Future[_V]] = {}
        self._lock = threading.Lock()

    def known(self, key: _K) -> _V | None:
        """The value, if it is there already."""
        future = self._futures.get(key)
        return future.result() if future and future.done() and not future.exception() else None

    def get(self, key: _K, make: Callable[[], _V]) -> _V:
        with self._lock:
            found = self._futures.get(key)
            future = self._futures.setdefault(key, found or Future())
        if found is None:
            _fulfil(future, make, lambda: self._futures.pop(key))
        return future.result()


def _fulfil(future: Future[_V], make: Callable[[], _V], on_failure: Callable[[], object]) -> None:
    try:
        future.set_result(make())
    except BaseException as error:
        on_failure()
        future.set_exception(error)


@dataclass
class _Loaded:
    """A model in memory, or on its way there.

    Attributes:
        weights: their bytes.
        users: requests that use it now.
        used: when it was last used, by ``time.monotonic``.
    """

    weights: int
    model: Future[LanguageModel] = field(default_factory=Future)
    users: int = 0
    used: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes of weights and states."""
        done = self.model.done() and self.model.exception() is None
        return self.weights + (self.model.result().state_bytes if done else 0)


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
        self._lock = threading.Lock()  # of what is loaded; never held while anything is
        self._bundles: _Once[tuple[str, str | None, str], tuple[Path, list[str]]] = _Once()
        self._unmerged: _Once[tuple[str, str | None, str], Bundle] = _Once()
        self._names: _Once[None, dict[str, str]] = _Once()

    def prepare(self, reporter: Reporter | None = None) -> None:
        """Fetch and build what will be loaded at the start. Raises NlpsuiteError if a model can't be used."""
        for model in self._by_name(reporter).values():
            self._bundle(None, NO_ADAPTER, model, reporter)
            for task in self._settings.tasks:
                self._bundle(load_task(task), None, model, reporter)

    def preload(self) -> None:
        """Load the default model, or those of the tasks that are named, as far as there is room."""
        with self.base():
            pass
        for task in self._settings.tasks:
            with self.pipeline(task, {}):
                pass

    @contextmanager
    def pipeline(
        self, task_name: str, options: Mapping[str, Any], adapter: str | None = None, model: str = ""
    ) -> Iterator[Pipeline]:
        """A task on its model, with its notices, while it is in use.

        Args:
            adapter: ``none`` for the model without the task's own adapter.
            model: a name that is served; empty for the default.

        Raises:
            UnknownTaskError, ModelNotServedError, OptionError, PluginError.
            ServerUnavailableError: the models in use leave no room for this one.
            NlpsuiteError: the model can't be loaded.
        """
        task = load_task(task_name)
        path, notices = self._bundle(task, adapter, self.meaning(model))
        with self._use(path) as loaded:
            pipeline = Pipeline(task, loaded, **options)
            pipeline.notices[:0] = notices
            yield pipeline

    @contextmanager
    def base(self, model: str = "") -> Iterator[LanguageModel]:
        """A model without any adapter, while it is in use. Raises as ``pipeline``."""
        path, _ = self._bundle(None, NO_ADAPTER, self.meaning(model))
        with self._use(path) as loaded:
            yield loaded

    def defaults(self, task_name: str, adapter: str | None = None, model: str = "") -> dict[str, Any]:
        """The options that replace a task's own defaults on its model, by their public names. Builds no model but the base.

        Raises as ``pipeline``.
        """
        task, meaning = load_task(task_name), self.meaning(model)
        if found := self._bundles.known((task_name, adapter, meaning)):
            bundle = Bundle.open(found[0])
        else:
            bundle = self._unmerged.get(
                (task_name, adapter, meaning), lambda: self._plan(task, adapter, meaning)
            )
        names = {spec.name: spec.public_name for spec in option_specs(task.options)}
        return {names[name]: value for name, value in default_options(task, bundle)[0].items()}

    def _plan(self, task: Task[Any], adapter: str | None, model: str) -> Bundle:
        """What a task's bundle will be, as far as its manifest says."""
        base = Bundle.open(self._bundle(None, NO_ADAPTER, model)[0])
        found = resolve_model(model or None, precision=self._settings.precision or None)
        return with_own_adapter(task, base) if adapter is None and isinstance(found, ModelSpec) else base

    def names(self) -> list[str]:
        """The names of the models, the default first; builds those that have none of their own."""
        return list(self._by_name())

    def in_memory(self) -> dict[str, int]:
        """Names of the bundles in memory, and their bytes."""
        return {path.name: loaded.size for path, loaded in list(self._loaded.items())}

    def meaning(self, name: str) -> str:
        """What ``--model`` says of the model of that name; empty for the suite's default model."""
        names = self._by_name()
        if name in DEFAULT_MODELS and name not in names:
            return next(iter(names.values()))
        if name not in names:
            raise ModelNotServedError(
                f"The model {name!r} is not served.", hint=f"Models: {', '.join(names)}."
            )
        return names[name]

    def _by_name(self, reporter: Reporter | None = None) -> dict[str, str]:
        def find() -> dict[str, str]:
            found: dict[str, str] = {}
            for given, model in self._settings.models:
                name = given or Bundle.open(self._bundle(None, NO_ADAPTER, model, reporter)[0]).name
                if name in found:
                    raise OptionError(
                        f"Two models are called {name}.", hint="Name them: --model A=MODEL,B=MODEL."
                    )
                found[name] = model
            return found

        return self._names.get(None, find)

    def _bundle(
        self, task: Task[Any] | None, adapter: str | None, model: str, reporter: Reporter | None = None
    ) -> tuple[Path, list[str]]:
        def resolve() -> tuple[Path, list[str]]:
            return resolve_bundle(
                task,
                model=model or None,
                adapter=adapter,
                precision=self._settings.precision or None,
                device=cast(DeviceChoice, self._settings.device),
                reporter=reporter,
            )

        return self._bundles.get((task.name if task else "", adapter, model), resolve)

    def _load(self, path: Path) -> LanguageModel:
        settings = self._settings
        return LanguageModel.load(
            path,
            device=cast(DeviceChoice, settings.device),
            threads=settings.threads,
            max_slots=min(settings.concurrency, _MOST_SLOTS),
            state_bytes=settings.memory * 1_000_000 // 2,
        )

    @contextmanager
    def _use(self, path: Path) -> Iterator[LanguageModel]:
        with self._lock:
            found = self._loaded.get(path)
            if found is None:
                weights = sum(file.stat().st_size for file in (path / "onnx").iterdir())
                self._make_room(weights)
            loaded = self._loaded.setdefault(path, found or _Loaded(weights))
            loaded.users += 1
        if found is None:
            _fulfil(loaded.model, lambda: self._open(path), lambda: self._loaded.pop(path))
        try:
            yield loaded.model.result()
        finally:
            with self._lock:
                loaded.users -= 1
                loaded.used = time.monotonic()

    def _make_room(self, weights: int) -> None:
        room = self._settings.memory * 1_000_000
        idle = sorted(
            (path for path, loaded in self._loaded.items() if not loaded.users),
            key=lambda path: self._loaded[path].used,
        )
        while self._loaded and sum(each.size for each in self._loaded.values()) + weights > room:
            if not idle:
                raise ServerUnavailableError(
                    f"The models in use leave no room for another of {weights / 1e6:,.0f} MB.",
                    hint="Try again later, or start the server with more --memory.",
                )
            del self._loaded[idle.pop(0)]
