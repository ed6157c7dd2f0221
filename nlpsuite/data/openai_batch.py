"""The OpenAI Batch API's files: requests for chat completions in, responses out.

Formats: the request input and request output objects of the API's reference, Batch; the bodies are those of
``/v1/chat/completions``. What a request leaves out is as the task has it, not as OpenAI has it: the default
temperature, for one, is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nlpsuite.data.lines import shortened
from nlpsuite.data.record import Record, check_unicode
from nlpsuite.errors import InputInvalidError
from nlpsuite.runtime.prompt import Message

if TYPE_CHECKING:
    from nlpsuite.batch.job import JobRow

__all__ = ["URL", "read_request", "response_line"]

URL = "/v1/chat/completions"

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# The options of GenerationOptions that a body can set.
_OPTIONS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
}
# Names that say nothing about what the answer is.
_WITHOUT_EFFECT = frozenset(
    "custom_id method url messages model user metadata store service_tier safety_identifier prompt_cache_key "
    "prompt_cache_retention parallel_tool_calls stream_options".split()
)
# The one value that asks for nothing but a text.
_ONLY: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value == 1 and value is not True,
    "stream": lambda value: value is False,
    "logprobs": lambda value: value is False,
    "frequency_penalty": lambda value: value == 0,
    "presence_penalty": lambda value: value == 0,
    "logit_bias": lambda value: value == {},
    "tools": lambda value: value == [],
    "functions": lambda value: value == [],
    "tool_choice": lambda value: value in ("none", "auto"),
    "stop": lambda value: value == [],
    "modalities": lambda value: value == ["text"],
    "response_format": lambda value: value == {"type": "text"},
}


def read_request(values: Mapping[str, Any]) -> tuple[Record, dict[str, Any]]:
    """The record of a request and the options that it sets: the last message is the record's text, those
    before it are its history.

    Args:
        values: of the row that ``open_table`` makes of a request: its own, and those of its body.

    Raises:
        InputInvalidError: it is no request for a chat completion, or asks for what can't be served; names
            the value.
    """
    identity = values.get("custom_id")
    if not isinstance(identity, str) or not identity:
        raise _refused("custom_id", identity, "must be a text that is not empty")
    if values.get("method") != "POST":
        raise _refused("method", values.get("method"), 'must be "POST"')
    if values.get("url") != URL:
        raise _refused("url", values.get("url"), f'must be "{URL}"')
    if "body" in values:
        raise _refused("body", values["body"], "must be an object with messages")
    options: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or name in _WITHOUT_EFFECT:
            continue
        if name in _OPTIONS:
            option = _OPTIONS[name]
            if options.setdefault(option, value) != value:
                raise _refused(f"body.{name}", value, f"contradicts {option}")
        elif name not in _ONLY or not _ONLY[name](value):
            raise _refused(f"body.{name}", value, "can't be served")
    messages = _messages(values.get("messages"))
    if messages[-1].role != "user":
        raise _refused("body.messages", messages[-1].role, "must end with a message of the user's")
    if not messages[-1].content.strip():
        raise _refused("body.messages", messages[-1].content, "must end with a message that is not empty")
    return Record(messages[-1].content, tuple(messages[:-1])), options


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise _refused("body.messages", value, "must be a list of messages")
    messages = []
    for i, entry in enumerate(value):
        place = f"body.messages[{i}]"
        if not isinstance(entry, dict):
            raise _refused(place, entry, "must be an object with role and content")
        role = entry.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise _refused(f"{place}.role", role, f"must be one of {', '.join(_ROLES)}")
        for name, other in entry.items():
            if name not in ("role", "content") and other not in (None, []):
                raise _refused(f"{place}.{name}", other, "can't be served")
        content = _content(entry.get("content"), f"{place}.content")
        check_unicode(content, f"{place}.content")
        messages.append(Message(_ROLES[role], content))  # type: ignore[arg-type]
    return messages


def _content(value: Any, place: str) -> str:
    """A message's text, which may come in pieces."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise _refused(place, value, "must be a text")
    texts = []
    for i, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else part
        if kind != "text" or not isinstance(part.get("text"), str):
            raise _refused(f"{place}[{i}].type", kind, 'can\'t be served; only "text" can')
        texts.append(part["text"])
    return "".join(texts)


def _refused(name: str, value: Any, why: str) -> InputInvalidError:
    return InputInvalidError(
        f"{name} is {shortened(value)}; it {why}.",
        hint="Requests are lines of the OpenAI Batch API for chat completions, with texts in and a text out.",
    )


def response_line(row: JobRow, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a row in the API's output file: a chat completion, or why there is none.

    The same job gives the same line: ids are made of the job's fingerprint and the row's number, and
    ``created`` is 0.

    Args:
        manifest: of the job.
    """
    identity = f"{manifest['fingerprint'][:16]}-{row.index}"
    line: dict[str, Any] = {"id": f"batch_req_{identity}", "custom_id": row.values.get("custom_id")}
    result = row.result
    if result.error is not None:
        error = {"code": result.error["type"], "message": result.error_text}
        return {**line, "response": None, "error": error}
    usage = {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens}
    body = {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": 0,
        "model": manifest["model"],
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": result.output.answer,
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "length" if result.finish_reason in ("length", "context") else "stop",
            }
        ],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
    response = {"status_code": 200, "request_id": f"req_{identity}", "body": body}
    return {**line, "response": response, "error": None}
