"""What the endpoints share: settings, tasks, models, threads and counts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nlpsuite.errors import OptionError, UnknownTaskError
from nlpsuite.options import GenerationOptions
from nlpsuite.plugins import installed_tasks, load_task
from nlpsuite.plugins.scan import Plugin
from nlpsuite.serve.metrics import Metrics
from nlpsuite.serve.models import ModelPool
from nlpsuite.serve.runner import Runner, Work
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.tasks.base import Task

__all__ = ["Service"]

_T = TypeVar("_T")


@dataclass
class Service:
    """One server's parts."""

    settings: ServeSettings
    models: ModelPool
    runner: Runner
    metrics: Metrics = field(default_factory=Metrics)
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def tasks(self) -> dict[str, Plugin]:
        """The tasks that are served."""
        found = installed_tasks()
        chosen = self.settings.tasks
        return {name: plugin for name, plugin in found.items() if not chosen or name in chosen}

    def task(self, name: str) -> Task[Any]:
        """A task that is served.

        Raises:
            UnknownTaskError, PluginError: as ``load_task``.
        """
        if self.settings.tasks and name not in self.settings.tasks:
            raise UnknownTaskError(
                f"The task {name!r} is not served.", hint=f"Tasks: {', '.join(self.settings.tasks)}."
            )
        return load_task(name)

    def check(self, task: str, options: Mapping[str, Any]) -> None:
        """Raise UnknownTaskError for a task that isn't served, and OptionError for more tokens than the server
        generates."""
        most, given = self.settings.max_tokens, options.get("max_tokens")
        generates = issubclass(self.task(task).options, GenerationOptions)
        if generates and isinstance(given, int) and given > most:
            raise OptionError(f"max_tokens is {given:,}; this server generates at most {most:,}.")

    async def started(self, work: Work[_T]) -> AsyncGenerator[_T, None]:
        """The events of some work once the first is there: until then an error can still set the status."""
        events = self.runner.stream(work)
        try:
            first = await anext(events)
        except StopAsyncIteration:
            return events

        async def all_of_them() -> AsyncGenerator[_T, None]:
            try:
                yield first
                async for event in events:
                    yield event
            finally:
                await events.aclose()

        return all_of_them()
