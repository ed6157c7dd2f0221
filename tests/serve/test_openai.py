"""OpenAI's endpoints, in process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Sampling
from nlpsuite.serve.openai_request import read_chat, read_completion

HELLO = [{"role": "user", "content": "the"}]


def chat(client: TestClient, **fields: Any) -> Any:
    answer = client.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 8, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def chunks(client: TestClient, path: str, **fields: Any) -> list[Any]:
    answer = client.post(path, json={"stream": True, **fields})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [block.removeprefix("data: ") for block in answer.text.strip().split("\n\n")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_models(client: TestClient) -> None:
    [model] = client.get("/v1/models").json()["data"]
    assert client.get(f"/v1/models/{model['id']}").json() == model
    assert chat(client, model=model["id"])["model"] == model["id"]
    missing = client.get("/v1/models/gpt-4o")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "model_not_found"


def test_a_stream_says_the_same(client: TestClient) -> None:
    whole = chat(client)
    parts = chunks(
        client, "/v1/chat/completions", messages=HELLO, max_tokens=8, stream_options={"include_usage": True}
    )
    assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
    *pieces, last, usage = parts
    text = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == [] and usage["usage"] == whole["usage"]
    assert len({part["id"] for part in parts}) == 1


def test_seeds_and_several_completions(client: TestClient) -> None:
    def texts(**fields: Any) -> list[str]:
        choices = chat(client, temperature=1.5, **fields)["choices"]
        return [choice["message"]["content"] for choice in choices]

    four = texts(n=4, seed=5)
    assert len(set(four)) > 1
    assert texts(seed=5) == four[:1] and texts(seed=6) == four[1:2]
    assert chat(client, n=3)["usage"]["prompt_tokens"] == chat(client)["usage"]["prompt_tokens"]


def test_logprobs_are_the_models(client: TestClient, tiny_bundle: Path) -> None:
    model = LanguageModel.load(tiny_bundle)
    checked = 0
    for prompt in ("the", "and", "singing", "is", "of a", "positive"):
        body = {"prompt": prompt, "max_tokens": 6, "logprobs": 2}
        choice = client.post("/v1/completions", json=body).json()["choices"][0]
        found = choice["logprobs"]
        assert all(1 <= len(top) <= 2 for top in found["top_logprobs"])  # by text, which two may share
        if any(token.startswith("bytes:") for token in found["tokens"]):
            continue  # parts of characters
        assert "".join(found["tokens"]) == choice["text"]
        starts = zip(found["tokens"], found["text_offset"])
        assert all(choice["text"][at:].startswith(token) for token, at in starts)
        expected = model.token_logprobs(prompt + choice["text"])
        if len(model.tokenizer.encode_text(choice["text"])) == len(found["tokens"]):
            np.testing.assert_allclose(found["token_logprobs"], expected[-len(found["tokens"]) :], atol=1e-4)
            checked += 1
    assert checked


def test_echo_scores_a_text(client: TestClient, tiny_bundle: Path) -> None:
    text = "the singing of birds"
    body = {"prompt": [text, "and"], "max_tokens": 0, "echo": True, "logprobs": 0}
    first, second = client.post("/v1/completions", json=body).json()["choices"]
    assert first["text"] == text and second["index"] == 1
    assert "".join(first["logprobs"]["tokens"]) == text
    head, *rest = first["logprobs"]["token_logprobs"]
    assert head is None
    np.testing.assert_allclose(rest, LanguageModel.load(tiny_bundle).token_logprobs(text), atol=1e-5)


def test_chat_logprobs(client: TestClient) -> None:
    choice = chat(client, logprobs=True, top_logprobs=3)["choices"][0]
    tokens = choice["logprobs"]["content"]
    joined = b"".join(bytes(token["bytes"]) for token in tokens)
    assert joined.decode("utf-8", "replace") == choice["message"]["content"]
    assert all(token["logprob"] == token["top_logprobs"][0]["logprob"] for token in tokens)  # greedy
    assert chat(client)["choices"][0]["logprobs"] is None


def test_stop(client: TestClient) -> None:
    text = chat(client, max_tokens=20)["choices"][0]["message"]["content"]
    middle = text[3:5]
    stopped = chat(client, max_tokens=20, stop=[middle])["choices"][0]
    assert stopped["message"]["content"] == text[: text.index(middle)]
    assert stopped["finish_reason"] == "stop"


def test_answers_follow_a_schema(client: TestClient) -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["cat", "dog"]}, "old": {"type": "boolean"}},
        "required": ["kind", "old"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "animal", "schema": schema}}
    for seed in range(3):
        answer = chat(client, response_format=form, max_tokens=120, temperature=1.0, seed=seed)["choices"][0]
        assert answer["finish_reason"] == "stop"
        value = json.loads(answer["message"]["content"])
        assert value.keys() == {"kind", "old"} and value["kind"] in ("cat", "dog")
    choice = chat(client, response_format={"type": "choice", "choices": ["cat", "dog"]})["choices"][0]
    assert choice["message"]["content"] in ("cat", "dog")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 1_000_000}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"logprobs": True, "top_logprobs": 50}, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"frequency_penalty": 3}, None),
        ({"presence_penalty": "much"}, "presence_penalty"),
        ({"top_k": 1.5}, "top_k"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}},
            "response_format",
        ),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused_by_name(client: TestClient, fields: Any, param: str | None) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": HELLO, **fields})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param and error["type"] == "invalid_request_error"


def test_harmless_extras_pass(client: TestClient) -> None:
    chat(client, user="me", presence_penalty=0, metadata={"a": "b"}, tools=None, logit_bias={})
    parts = [{"type": "text", "text": "the"}]
    assert chat(client, messages=[{"role": "user", "content": parts}])["choices"] == chat(client)["choices"]
    assert chat(client, messages=[{"role": "developer", "content": "Be brief."}, *HELLO])["choices"]


def test_a_prompt_that_is_too_long(client: TestClient) -> None:
    answer = client.post("/v1/completions", json={"prompt": "the " * 5_000})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "input-too-long"


def test_a_stream_has_the_same_log_probabilities(client: TestClient) -> None:
    whole = chat(client, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    body = {"messages": HELLO, "max_tokens": 8, "logprobs": True, "top_logprobs": 2}
    parts = [part["choices"][0] for part in chunks(client, "/v1/chat/completions", **body)]
    tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
    assert tokens == whole
    assert sum(bool(part["logprobs"] and part["logprobs"]["content"]) for part in parts) > 1  # as they come


def test_echo_in_a_stream(client: TestClient) -> None:
    body = {"prompt": "the singing", "max_tokens": 6, "echo": True, "logprobs": 1}
    whole = client.post("/v1/completions", json=body).json()["choices"][0]
    parts = [part["choices"][0] for part in chunks(client, "/v1/completions", **body)]
    assert "".join(part["text"] for part in parts) == whole["text"]
    found = [token for part in parts if part["logprobs"] for token in part["logprobs"]["tokens"]]
    assert found == whole["logprobs"]["tokens"]


def test_a_part_of_a_character_has_its_bytes(client: TestClient) -> None:
    body = {"prompt": "𝄞", "max_tokens": 0, "echo": True, "logprobs": 1}
    found = client.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert found["tokens"] == ["bytes:\\xf0", "bytes:\\x9d", "bytes:\\x84", "bytes:\\x9e"]
    assert found["text_offset"] == [0, 0, 0, 0]


def test_defaults_are_openais(client: TestClient) -> None:
    text = client.post("/v1/completions", json={"prompt": "the"}).json()
    assert text["usage"]["completion_tokens"] <= 16
    hot = {"temperature": 2.0, "max_tokens": 12}
    assert len({chat(client, **hot)["choices"][0]["message"]["content"] for _ in range(4)}) > 1
    assert chat(client, **hot, seed=-3)["choices"] == chat(client, **hot, seed=-3)["choices"]


def test_penalties(client: TestClient) -> None:
    once = [{"frequency_penalty": 2, "presence_penalty": 2, "repetition_penalty": 10, "max_tokens": 30}]
    [tokens] = [chat(client, logprobs=True, **fields)["choices"][0]["logprobs"]["content"] for fields in once]
    texts = [tuple(token["bytes"]) for token in tokens]
    plain = chat(client, logprobs=True, max_tokens=30)["choices"][0]["logprobs"]["content"]
    assert len(set(texts)) >= len({tuple(token["bytes"]) for token in plain})


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ({"type": "regex", "regex": "[0-9]{3}-[a-c]"}, r"[0-9]{3}-[a-c]"),
        ({"type": "grammar", "grammar": 'start: "yes" | "no"'}, "yes|no"),
        ({"type": "json_object"}, r"(?s)\{.*\}"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_answers_follow_a_form(client: TestClient, form: Any, pattern: str) -> None:
    choice = chat(client, response_format=form, max_tokens=60, temperature=1, seed=1)["choices"][0]
    if choice["finish_reason"] == "stop":
        assert re.fullmatch(pattern, choice["message"]["content"])
    else:
        assert form["type"] == "json_object"  # a model of random weights may write long texts


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": "x"},
        {"type": "json_schema", "json_schema": {"schema": []}},
        {"type": "regex"},
        {"type": "regex", "regex": "("},
        {"type": "grammar", "grammar": "start: nothing"},
        {"type": ["text"]},
        {},
    ],
    ids=str,
)
def test_a_form_that_cannot_be_followed(client: TestClient, form: Any) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": HELLO, "response_format": form})
    assert answer.status_code == 400 or not form


def test_what_a_request_leaves_out_is_as_the_models_makers_suggest() -> None:
    model: Any = SimpleNamespace(
        suggested_sampling=Sampling(temperature=0.6, top_k=20, repetition_penalty=1.1)
    )
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "seed": 1}
    [prompt] = read_chat(body, model, 100).prompts
    assert prompt.sampling == Sampling(temperature=0.6, top_k=20, repetition_penalty=1.1, seed=1)
    [prompt] = read_chat({**body, "temperature": 0, "top_k": 0}, model, 100).prompts
    assert prompt.sampling == Sampling(repetition_penalty=1.1, seed=1)
    [prompt] = read_completion({"prompt": "Hi", "seed": 1}, 100, 1).prompts
    assert prompt.sampling == Sampling(seed=1)  # a text to go on with, as of a base model
