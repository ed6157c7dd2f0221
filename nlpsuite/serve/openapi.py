"""The OpenAPI document of the server. Source: the OpenAPI specification 3.1."""

from __future__ import annotations

import contextlib
from typing import Any

from nlpsuite import __version__
from nlpsuite.errors import NlpsuiteError
from nlpsuite.serve.grammar import FORMATS
from nlpsuite.serve.models import DEFAULT_MODELS
from nlpsuite.serve.openai_request import IGNORED
from nlpsuite.serve.service import Service
from nlpsuite.tasks.schema import option_schema

__all__ = ["openapi_document"]


_ERROR = {"$ref": "#/components/schemas/Error"}
_RESULT = {"$ref": "#/components/schemas/Result"}
_STATUSES = {
    "400": "The request can't be understood, or the input can't be used.",
    "401": "The token is missing or wrong.",
    "403": "The host or the origin isn't allowed.",
    "404": "There is no such task, model or job.",
    "405": "The path doesn't take this method.",
    "408": "The body didn't arrive in time.",
    "409": "The job isn't ready.",
    "413": "The body is too large.",
    "429": "The server has too much to do.",
    "500": "A plugin or the server failed.",
    "503": "The model can't be used, or the server is shutting down.",
    "504": "The request took too long.",
}


def openapi_document(service: Service) -> dict[str, Any]:
    """The document: every endpoint, and every task that is served with its options."""
    model: dict[str, Any] = {"type": "string", "description": "A name from /v1/models; the first without."}
    with contextlib.suppress(NlpsuiteError):  # a model that can't be built has no name
        model["enum"] = [*DEFAULT_MODELS, *service.models.names()]
    paths = {**_fixed_paths(service, model), **_task_paths(service, model)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "nlpsuite", "version": __version__},
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if service.settings.token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _task_paths(service: Service, model: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, plugin in service.tasks().items():
        try:
            options = option_schema(service.task(name).options)
        except NlpsuiteError:
            continue
        options.pop("$schema")
        if "max_tokens" in options["properties"]:
            options["properties"]["max_tokens"] |= {"minimum": 1, "maximum": service.settings.max_tokens}
        one = {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/Input"}]}
        batch = {"type": "array", "items": one, "minItems": 1, "maxItems": service.settings.max_batch}
        fields = {
            "input": {"anyOf": [*one["oneOf"], batch]},
            "options": options,
            "model": model,
            "adapter": {"enum": ["none", None], "description": "none: without the task's own adapter."},
            "stream": {"type": "boolean", "description": "Answer with server-sent events."},
        }
        body = _object(dict(fields), "input")
        several = {"type": "object", "properties": {"results": {"type": "array", "items": _RESULT}}}
        answer = _answer({"anyOf": [_RESULT, several]})
        answer["200"]["content"]["text/event-stream"] = _events("piece", "notice", "result", "error")
        paths[f"/v1/tasks/{name}"] = {
            "get": {
                **_operation(f"Describe {name}.", _answer({"type": "object"})),
                "parameters": [_query("model", model), _query("adapter", {"enum": ["none"]})],
            },
            "post": _operation(plugin.summary or f"Run {name}.", answer, body),
        }
        del fields["stream"]
        single = _object({**fields, "input": one}, "input")
        paths[f"/v1/tasks/{name}/explain"] = {
            "post": _operation(f"Explain how {name} decides.", _answer({"type": "object"}), single)
        }
    return paths


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _fixed_paths(service: Service, model: dict[str, Any]) -> dict[str, Any]:
    most = service.settings.max_tokens
    message = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
    }
    stop = {"type": "string", "minLength": 1}
    shared: dict[str, Any] = {
        "model": model,
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": most},
        "temperature": {"type": "number", "minimum": 0, "maximum": 100},
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": 0},
        "min_p": {"type": "number", "minimum": 0, "maximum": 1},
        "repetition_penalty": {"type": "number", "minimum": 0.1, "maximum": 10},
        "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
        "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
        "n": {"type": "integer", "minimum": 1, "maximum": 128},
        "seed": {"type": "integer"},
        "stop": {"anyOf": [stop, {"type": "array", "items": stop, "maxItems": 16}]},
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "user": {"type": "string"},
        **{name: {"description": "Without effect."} for name in sorted(IGNORED)},
    }
    chat = {
        **shared,
        "messages": {"type": "array", "items": message, "minItems": 1},
        "logprobs": {"type": "boolean"},
        "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "max_completion_tokens": shared["max_tokens"],
        "response_format": {
            "type": "object",
            "properties": {"type": {"enum": list(FORMATS)}},
            "required": ["type"],
        },
    }
    text = {
        **shared,
        "prompt": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
        },
        "echo": {"type": "boolean", "description": "With max_tokens 0 the prompt is scored."},
        "max_tokens": {**shared["max_tokens"], "minimum": 0},
        "suffix": {"type": "string"},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
    }
    found = _answer({"type": "object"})
    completion = _answer({"type": "object"})
    completion["200"]["content"]["text/event-stream"] = _events("message")
    form = {
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "task": {"type": "string"},
        "model": model,
        **{name: {"type": "string"} for name in ("options", "text_column", "reference_column")},
    }
    start = _operation("Score or evaluate a file in the background.", {"201": found["200"]})
    schema = {"schema": _object(form, "file", "task")}
    start["requestBody"] = {"required": True, "content": {"multipart/form-data": schema}}
    job, any_file = _path_parameter("job"), {"200": {"description": "The file.", "content": {"*/*": {}}}}
    return {
        "/health": {"get": _operation("Whether the server is up.", found)},
        "/metrics": {"get": _operation("Counts for Prometheus.", _answer({"type": "string"}, "text/plain"))},
        "/v1/models": {"get": _operation("The models.", found)},
        "/v1/models/{model}": {
            "parameters": [_path_parameter("model")],
            "get": _operation("Whether a model is served.", found),
        },
        "/v1/chat/completions": {
            "post": _operation(
                "Complete a conversation, as OpenAI does.", completion, _object(chat, "messages")
            )
        },
        "/v1/completions": {
            "post": _operation("Complete a text, as OpenAI does.", completion, _object(text, "prompt"))
        },
        "/v1/tasks": {"get": _operation("The installed tasks.", found)},
        "/v1/jobs": {"get": _operation("The background jobs.", found), "post": start},
        "/v1/jobs/{job}": {
            "parameters": [job],
            "get": _operation("The state of a job.", found),
            "delete": _operation("Cancel and delete a job.", {"204": {"description": "Deleted."}}),
        },
        "/v1/jobs/{job}/result": {"parameters": [job], "get": _operation("A job's result.", any_file)},
        "/v1/jobs/{job}/report": {
            "parameters": [job],
            "get": _operation("An evaluation's report.", any_file),
        },
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """A closed object: fields with other names are refused, not ignored."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _operation(summary: str, answers: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    errors = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _STATUSES.items()
    }
    found: dict[str, Any] = {"summary": summary, "responses": {**answers, **errors}}
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _answer(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {"200": {"description": "The answer.", "content": {media_type: {"schema": schema}}}}


def _events(*names: str) -> dict[str, Any]:
    """Server-sent events, of which each is described; their data are JSON."""
    return {"schema": _object({"event": {"enum": list(names)}, "data": {"type": "string"}}, "event", "data")}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _schemas() -> dict[str, Any]:
    turn = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
        "additionalProperties": False,
    }
    error = {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": "string"},
        "hint": {"type": "string"},
    }
    return {
        "Input": {
            "type": "object",
            "properties": {"text": {"type": "string"}, "messages": {"type": "array", "items": turn}},
            "additionalProperties": False,
        },
        "Result": {
            "type": "object",
            "required": ["status"],
            "properties": {
                "status": {"enum": ["ok", "error"]},
                "output": {"type": "object"},
                "finish_reason": {"type": "string"},
                "usage": {"type": "object"},
                "notices": {"type": "array", "items": {"type": "string"}},
                "error": {"type": "object"},
            },
        },
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "object", "required": ["message", "code"], "properties": error}},
        },
    }
