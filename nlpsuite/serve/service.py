"""What the endpoints share: settings, models, threads and counts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from nlpsuite.errors import OptionError
from nlpsuite.options import GenerationOptions
from nlpsuite.plugins import load_task
from nlpsuite.serve.metrics import Metrics
from nlpsuite.serve.models import ModelPool
from nlpsuite.serve.runner import Runner, Work
from nlpsuite.serve.settings import ServeSettings

__all__ = ["Service"]

_T = TypeVar("_T")


class _Asked(Protocol):
    @property
    def task(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


@dataclass
class Service:
    """One server's parts."""

    settings: ServeSettings
    models: ModelPool
    runner: Runner
    metrics: Metrics = field(default_factory=Metrics)
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def limited(self, asked: _Asked) -> Mapping[str, Any]:
        """The options of a request; raises OptionError for more tokens than the server generates."""
        most, given = self.settings.max_tokens, asked.options.get("max_tokens")
        generates = issubclass(load_task(asked.task).options, GenerationOptions)
        if generates and isinstance(given, int) and given > most:
            raise OptionError(f"max_tokens is {given:,}; this server generates at most {most:,}.")
        return asked.options

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
