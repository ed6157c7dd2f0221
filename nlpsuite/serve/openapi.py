"""The OpenAPI document of the server. Source: the OpenAPI specification 3.1."""

from __future__ import annotations

from typing import Any

from nlpsuite import __version__
from nlpsuite.errors import NlpsuiteError
from nlpsuite.plugins import installed_tasks, load_task
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.tasks.schema import option_schema

__all__ = ["openapi_document"]

_ERROR = {"$ref": "#/components/schemas/Error"}
_RESULT = {"$ref": "#/components/schemas/Result"}
_STATUSES = {
    "400": "The request can't be understood, or the input can't be used.",
    "401": "The token is missing or wrong.",
    "403": "The host or the origin isn't allowed.",
    "404": "There is no such task, model or job.",
    "409": "The job isn't ready.",
    "413": "The body is too large.",
    "429": "The server has too much to do.",
    "503": "The model can't be used.",
    "504": "The request took too long.",
}


def openapi_document(settings: ServeSettings) -> dict[str, Any]:
    """The document: every endpoint, and every installed task with its options."""
    paths = {**_fixed_paths(), **_task_paths(settings)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "nlpsuite", "version": __version__},
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if settings.token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _task_paths(settings: ServeSettings) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, plugin in installed_tasks().items():
        try:
            options = option_schema(load_task(name).options)
        except NlpsuiteError:
            continue
        options.pop("$schema")
        one = {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/Input"}]}
        batch = {"type": "array", "items": one, "minItems": 1, "maxItems": settings.max_batch}
        fields = {
            "input": {"anyOf": [*one["oneOf"], batch]},
            "options": options,
            "adapter": {"enum": ["none", None], "description": "none: without the task's own adapter."},
            "stream": {"type": "boolean", "description": "Answer with server-sent events."},
        }
        body = {"type": "object", "required": ["input"], "properties": fields, "additionalProperties": False}
        several = {"type": "object", "properties": {"results": {"type": "array", "items": _RESULT}}}
        answer = _answer({"anyOf": [_RESULT, several]})
        answer["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        paths[f"/v1/tasks/{name}"] = {
            "get": _operation(f"Describe {name}.", _answer({"type": "object"})),
            "post": _operation(plugin.summary or f"Run {name}.", answer, body),
        }
        single = {**body, "properties": {**fields, "input": one}}
        paths[f"/v1/tasks/{name}/explain"] = {
            "post": _operation(f"Explain how {name} decides.", _answer({"type": "object"}), single)
        }
    return paths


def _fixed_paths() -> dict[str, Any]:
    message = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
    }
    shared: dict[str, Any] = {
        "model": {"type": "string"},
        "max_tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number", "minimum": 0, "maximum": 100},
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "n": {"type": "integer", "minimum": 1, "maximum": 128},
        "seed": {"type": "integer", "minimum": 0},
        "stop": {
            "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}]
        },
        "stream": {"type": "boolean"},
    }
    chat = {
        **shared,
        "messages": {"type": "array", "items": message, "minItems": 1},
        "logprobs": {"type": "boolean"},
        "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "response_format": {"type": "object"},
    }
    text = {
        **shared,
        "prompt": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
        },
        "echo": {"type": "boolean"},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
    }
    found = _answer({"type": "object"})
    job = {"name": "job", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/health": {"get": _operation("Whether the server is up.", found)},
        "/v1/models": {"get": _operation("The models.", found)},
        "/v1/chat/completions": {
            "post": _operation("Complete a conversation, as OpenAI does.", found, _object(chat, "messages"))
        },
        "/v1/completions": {
            "post": _operation("Complete a text, as OpenAI does.", found, _object(text, "prompt"))
        },
        "/v1/tasks": {"get": _operation("The installed tasks.", found)},
        "/v1/jobs": {"get": _operation("The background jobs.", found)},
        "/v1/jobs/{job}": {
            "parameters": [job],
            "get": _operation("The state of a job.", found),
            "delete": _operation("Cancel and delete a job.", {"204": {"description": "Deleted."}}),
        },
        "/v1/jobs/{job}/result": {"parameters": [job], "get": _operation("A job's result.", found)},
        "/v1/jobs/{job}/report": {"parameters": [job], "get": _operation("An evaluation's report.", found)},
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _operation(summary: str, answers: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    errors = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _STATUSES.items()
    }
    found: dict[str, Any] = {"summary": summary, "responses": {**answers, **errors}}
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}


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
