"""Files of the OpenAI Batch API, in and out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.batch.job import JobRow, canonical
from nlpsuite.data.openai_batch import read_request, response_line
from nlpsuite.data.sources import open_table
from nlpsuite.errors import InputInvalidError
from nlpsuite.runtime.prompt import Message
from nlpsuite.tasks.result import Output, Result

MANIFEST = {"fingerprint": "0123456789abcdef" * 4, "model": "smollm2-135m"}


def request(**changed: Any) -> dict[str, Any]:
    """A request; ``body_x`` changes the body's x."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is 2+2?"}]}
    line = {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    for name, value in changed.items():
        target = body if name.startswith("body_") else line
        target[name.removeprefix("body_")] = value
    return line


def rows(tmp_path: Path, *lines: Any) -> list[Any]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = open_table(str(path), format="openai-batch")
    assert (table.id, table.text) == ("custom_id", ("messages",))
    assert table.reader == {"format": "openai-batch", "encoding": "utf-8"}
    return [values for _, values in table.read()]


def test_a_request_as_the_reference_shows_it(tmp_path: Path) -> None:
    messages = [
        {"role": "developer", "content": "You are helpful."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "refusal": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2+2?"}]},
    ]
    [values] = rows(tmp_path, request(body_messages=messages, body_max_completion_tokens=9, body_seed=7))
    record, options = read_request(values)
    assert record.text == "What is 2+2?"
    assert record.history == (
        Message("system", "You are helpful."),
        Message("user", "a"),
        Message("assistant", "b"),
    )
    assert options == {"max_tokens": 9, "seed": 7}


def test_what_asks_for_nothing_more_is_taken(tmp_path: Path) -> None:
    body = {
        "n": 1,
        "stream": False,
        "tools": [],
        "stop": None,
        "frequency_penalty": 0,
        "user": "u",
        "top_p": 0.5,
    }
    body |= {
        "response_format": {"type": "text"},
        "max_tokens": 5,
        "max_completion_tokens": 5,
        "temperature": 0,
    }
    [values] = rows(tmp_path, request(**{f"body_{name}": value for name, value in body.items()}))
    assert read_request(values)[1] == {"max_tokens": 5, "top_p": 0.5, "temperature": 0}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"custom_id": ""}, 'custom_id is ""'),
        ({"custom_id": 7}, "custom_id is 7"),
        ({"method": "GET"}, 'method is "GET"'),
        ({"url": "/v1/embeddings"}, 'url is "/v1/embeddings"'),
        ({"body": "text"}, 'body is "text"'),
        ({"body": None}, "body is null"),
        ({"body_custom_id": "x"}, "body is {"),
        ({"body_n": 2}, r"body\.n is 2"),
        ({"body_n": True}, r"body\.n is true"),
        ({"body_stream": True}, r"body\.stream is true"),
        ({"body_tools": [{"type": "function"}]}, r"body\.tools is \["),
        ({"body_logprobs": True}, r"body\.logprobs is true"),
        ({"body_stop": "\n"}, r"body\.stop is"),
        ({"body_frequency_penalty": 0.5}, r"body\.frequency_penalty is 0\.5"),
        ({"body_response_format": {"type": "json_object"}}, r"body\.response_format is"),
        ({"body_unheard_of": 1}, r"body\.unheard_of is 1"),
        ({"body_max_tokens": 5, "body_max_completion_tokens": 6}, r"body\.max_completion_tokens is 6"),
        ({"body_messages": None}, r"body\.messages is null"),
        ({"body_messages": []}, r"body\.messages is \[\]"),
        ({"body_messages": ["x"]}, r'body\.messages\[0\] is "x"'),
        ({"body_messages": [{"role": "tool", "content": "x"}]}, r'body\.messages\[0\]\.role is "tool"'),
        ({"body_messages": [{"role": [], "content": "x"}]}, r"body\.messages\[0\]\.role is \[\]"),
        ({"body_messages": [{"role": "user", "content": None}]}, r"body\.messages\[0\]\.content is null"),
        ({"body_messages": [{"role": "user", "content": " "}]}, r'body\.messages is " "'),
        ({"body_messages": [{"role": "assistant", "content": "x"}]}, r'body\.messages is "assistant"'),
        ({"body_messages": [{"role": "user", "name": "A", "content": "x"}]}, r"body\.messages\[0\]\.name"),
        (
            {"body_messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            r'body\.messages\[0\]\.content\[0\]\.type is "image_url"',
        ),
        (
            {"body_messages": [{"role": "user", "content": ["x"]}]},
            r'body\.messages\[0\]\.content\[0\]\.type is "x"',
        ),
    ],
)
def test_what_can_not_be_served_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    [values] = rows(tmp_path, request(**changed))
    with pytest.raises(InputInvalidError, match=f"^{message}"):
        read_request(values)


def test_a_damaged_line_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(request()).encode() + b'\n{"custom_id": \n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    table = open_table("-", format="openai-batch", directory_for_stdin=tmp_path)
    (_, good), (line, damaged) = table.read()
    assert not isinstance(good, InputInvalidError) and good["custom_id"] == "request-1"
    assert line == 2 and isinstance(damaged, InputInvalidError)


def test_a_response_is_a_chat_completion() -> None:
    values = {"custom_id": "request-1", "messages": [], "max_tokens": 8}
    row = JobRow(3, "request-1", values, Result(Output("4"), prompt_tokens=24, completion_tokens=7))
    line = response_line(row, MANIFEST)
    assert line == json.loads(canonical(line))  # plain JSON, and the same bytes each time
    assert line == {
        "id": "batch_req_0123456789abcdef-3",
        "custom_id": "request-1",
        "response": {
            "status_code": 200,
            "request_id": "req_0123456789abcdef-3",
            "body": {
                "id": "chatcmpl-0123456789abcdef-3",
                "object": "chat.completion",
                "created": 0,
                "model": "smollm2-135m",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "4", "refusal": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 24, "completion_tokens": 7, "total_tokens": 31},
            },
        },
        "error": None,
    }


def test_a_response_that_was_cut_or_is_a_label() -> None:
    result = Result(
        Output("good (98%)", "good"), prompt_tokens=1, completion_tokens=8, finish_reason="length"
    )
    row = JobRow(0, "a", {"custom_id": "a", "max_completion_tokens": 8}, result)
    [choice] = response_line(row, MANIFEST)["response"]["body"]["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "good")


def test_a_row_that_failed_has_an_error() -> None:
    error = {"type": "InputTooLongError", "message": "Too long.", "hint": "Shorten it."}
    line = response_line(JobRow(0, "a", {"custom_id": "a"}, Result(error=error)), MANIFEST)
    assert line["response"] is None and line["custom_id"] == "a"
    assert line["error"] == {"code": "InputTooLongError", "message": "Too long. Shorten it."}
