"""The tasks: what there are, and running them on one text, on several, or piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError, RequestError
from nlpsuite.options import option_specs
from nlpsuite.plugins import load_task
from nlpsuite.plugins.scan import Plugin
from nlpsuite.runtime.prompt import Message
from nlpsuite.serve.responses import body_of, event_stream, unless_gone
from nlpsuite.serve.runner import Cancelled
from nlpsuite.serve.service import Service
from nlpsuite.tasks.adapters import NO_ADAPTER
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Result
from nlpsuite.tasks.schema import option_schema

__all__ = ["TaskRequest", "describe_task", "task_routes"]

_FIELDS = ("input", "options", "model", "adapter", "stream")


@dataclass(frozen=True)
class TaskRequest:
    """The body of a request to a task, checked.

    Attributes:
        records: one, or those of a batch.
        batch: whether a list was sent.
        model: a name that is served; empty for the default.
        adapter: ``none``, or None for the task's own.
    """

    task: str
    records: tuple[Record, ...]
    batch: bool
    options: Mapping[str, Any]
    model: str
    adapter: str | None
    stream: bool

    @classmethod
    def read(cls, task: str, body: Mapping[str, Any], most: int) -> TaskRequest:
        """Raises RequestError for anything else than what /openapi.json says."""
        if unknown := sorted(body.keys() - set(_FIELDS)):
            raise RequestError(f"Unknown field {unknown[0]!r}.", hint=f"Fields: {', '.join(_FIELDS)}.")
        given = body.get("input")
        batch = isinstance(given, list)
        items = given if isinstance(given, list) else [given]
        if not items:
            raise RequestError("input is an empty list.", param="input")
        if len(items) > most:
            raise RequestError(f"{len(items):,} texts are more than {most:,}.", param="input")
        options, adapter, stream = body.get("options"), body.get("adapter"), body.get("stream") or False
        model = body.get("model") or ""
        if not isinstance(options, dict | None):
            raise RequestError("options must be an object.", param="options")
        if adapter not in (None, NO_ADAPTER):
            raise RequestError(f"adapter can only be {NO_ADAPTER!r}.", param="adapter")
        if not isinstance(model, str):
            raise RequestError("model must be a text.", param="model")
        if not isinstance(stream, bool):
            raise RequestError("stream must be true or false.", param="stream")
        if stream and batch:
            raise RequestError("A list can't be streamed.", hint="Send one text.", param="stream")
        records = tuple(_record(item) for item in items)
        return cls(task, records, batch, options or {}, model, adapter, stream)

    @contextmanager
    def pipeline(self, service: Service) -> Iterator[Pipeline]:
        """The task on its model, while it is in use. Raises as ``ModelPool.pipeline``, and OptionError."""
        service.check(self.task, self.options)
        with service.models.pipeline(self.task, self.options, self.adapter, self.model) as pipeline:
            yield pipeline


def _record(item: Any) -> Record:
    if isinstance(item, str):
        return Record(item)
    if isinstance(item, dict) and item.keys() <= {"text", "messages"}:
        text, turns = item.get("text", ""), item.get("messages") or []
        if isinstance(text, str) and isinstance(turns, list) and all(map(_is_turn, turns)):
            return Record(text, history=tuple(Message(turn["role"], turn["content"]) for turn in turns))
    raise RequestError(
        "input must be a text, an object with text and messages, or a list of these.",
        hint='Messages are objects with "role" and "content".',
        param="input",
    )


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and turn.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in turn.values())
    )


def describe_task(name: str, plugin: Plugin, defaults: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """A task as ``/v1/tasks`` describes it; a plugin that can't be loaded says why.

    Args:
        defaults: the options that replace a task's own defaults on its model.
    """
    entry: dict[str, Any] = {"name": name, "description": plugin.summary}
    try:
        task = load_task(name)
    except NlpsuiteError as error:
        return {**entry, "error": error.message}
    schema = option_schema(task.options)
    for spec in option_specs(task.options):
        if spec.file:
            schema["properties"][spec.public_name]["format"] = "textarea"
    with suppress(NlpsuiteError):  # without a model; running the task says why
        for public_name, value in defaults(name).items():
            schema["properties"][public_name]["default"] = value
    return {
        **entry,
        "version": task.version,
        "streams": task.streams,
        "conversational": task.conversational,
        "labels": list(dict.fromkeys(task.labels.values())),
        "adapter": bool(task.adapter),
        "samples": [text for text, _ in task.samples],
        "sample_options": dict(task.sample_options),
        "options": schema,
    }


def task_routes(service: Service) -> list[Route]:
    """``/v1/tasks`` and ``/v1/tasks/{task}``."""

    # Starlette runs these two in threads: they import plugins.
    def index(request: Request) -> Response:
        defaults = service.models.defaults
        described = [describe_task(name, plugin, defaults) for name, plugin in service.tasks().items()]
        return JSONResponse({"object": "list", "data": described})

    def one(request: Request) -> Response:
        name = request.path_params["task"]
        service.task(name)  # an unknown one is an error with suggestions
        adapter, model = request.query_params.get("adapter"), request.query_params.get("model", "")
        if adapter not in (None, NO_ADAPTER):
            raise RequestError(f"adapter can only be {NO_ADAPTER!r}.", param="adapter")
        service.models.meaning(model)  # an unknown one too
        defaults = partial(service.models.defaults, adapter=adapter, model=model)
        return JSONResponse(describe_task(name, service.tasks()[name], defaults))

    async def run(request: Request) -> Response:
        body = await body_of(request)
        asked = TaskRequest.read(request.path_params["task"], body, service.settings.max_batch)
        request.state.log["task"] = asked.task
        if asked.stream:
            started = service.started(lambda cancelled: _pieces(service, asked, cancelled))
            events = await unless_gone(request, started)
            return event_stream(events, _event, lambda error: _event(("error", error)))
        results = await unless_gone(request, _results(service, asked))
        values = [result.to_json() for result in results]
        if asked.batch:
            return JSONResponse({"results": values})
        return JSONResponse(values[0])

    return [
        Route("/v1/tasks", index, methods=["GET"]),
        Route("/v1/tasks/{task}", one, methods=["GET"]),
        Route("/v1/tasks/{task}", run, methods=["POST"]),
    ]


def _event(event: tuple[str, Any]) -> str:
    kind, data = event
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _results(service: Service, asked: TaskRequest) -> list[Result]:
    def work(cancelled: Cancelled) -> Generator[list[Result], None, None]:
        with asked.pipeline(service) as pipeline:
            if asked.batch:
                results = [
                    result if isinstance(result, Result) else Result.failed(result)
                    for result in pipeline.run_each(asked.records, cancelled=cancelled)
                ]
            else:
                results = [pipeline.run(asked.records[0], cancelled=cancelled)]
            for result in results:
                result.notices[:0] = pipeline.notices
        yield results

    results = await service.runner.first(work)
    for result in results:
        service.metrics.tokens(result.prompt_tokens, result.completion_tokens)
    return results


def _pieces(
    service: Service, asked: TaskRequest, cancelled: Cancelled
) -> Generator[tuple[str, Any], None, None]:
    notices: list[str] = []
    with asked.pipeline(service) as pipeline:
        for notice in pipeline.notices:
            yield "notice", {"text": notice}
        stream = pipeline.stream(asked.records[0], on_notice=notices.append, cancelled=cancelled)
        try:
            while True:
                piece = next(stream)
                yield from (("notice", {"text": notices.pop(0)}) for _ in range(len(notices)))
                yield "piece", {"text": piece}
        except StopIteration as stop:
            result: Result = stop.value
        result.notices[:0] = pipeline.notices
    service.metrics.tokens(result.prompt_tokens, result.completion_tokens)
    yield "result", result.to_json()
