"""The OpenAI Batch API's files: requests for chat completions in, responses out.

Formats: the request input and request output objects of the API's reference, Batch; the bodies are those of
``/v1/chat/completions``. What a request leaves out is as the task has it, not as OpenAI has it: the default
temperature, for one, is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nlpsuite.data.conversation import open_question, read_messages, refused
from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError

if TYPE_CHECKING:
    from nlpsuite.batch.job import JobRow
    from nlpsuite.data.tables import Rows

__all__ = ["URL", "flat_requests", "read_request", "response_line"]

URL = "/v1/chat/completions"

_HINT = "Requests are lines of the OpenAI Batch API for chat completions, with texts in and a text out."
_refused = partial(refused, hint=_HINT)
# The options of GenerationOptions that a body can set.
_OPTIONS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
}
# Names that have no bearing on the answer.
_WITHOUT_EFFECT = frozenset(
    "custom_id method url messages model user metadata store service_tier safety_identifier prompt_cache_key "
    "prompt_cache_retention parallel_tool_calls stream_options".split()
)
# The one value of each that asks for nothing but a text.
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
        InputInvalidError: it isn't a request for a chat completion, or asks for what can't be served; names
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
    value = values.get("messages")
    try:
        messages = read_messages(value, "body.messages")
        record = open_question(messages, "body.messages")
    except InputInvalidError as error:
        raise InputInvalidError(error.message, hint=_HINT) from None
    for i, entry in enumerate(value or ()):
        for name, other in entry.items():
            if name not in ("role", "content") and other not in (None, []):
                raise _refused(f"body.messages[{i}].{name}", other, "can't be served")
    if messages[-1].role != "user":
        raise _refused("body.messages", messages[-1].role, "must end with a message of the user's")
    return record, options


def flat_requests(rows: Rows) -> Rows:
    """Requests with their body's values as columns of their own, which is what ``read_request`` takes."""
    for line, values in rows:
        body = None if isinstance(values, InputInvalidError) else values.get("body")
        if isinstance(values, InputInvalidError) or not isinstance(body, dict) or values.keys() & body.keys():
            yield line, values  # what is wrong is reported when the request is read
        else:
            yield line, {**{name: value for name, value in values.items() if name != "body"}, **body}


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
