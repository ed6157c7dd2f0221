"""/v1/tasks: what there is, one text, several, a stream, and explanations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import adapted, client_of
from starlette.testclient import TestClient

from nlpsuite.plugins import installed_tasks

REVIEW = "I like it. The end is too long. I will read it again."


def test_every_installed_task_is_described(client: TestClient) -> None:
    tasks = {task["name"]: task for task in client.get("/v1/tasks").json()["data"]}
    assert tasks.keys() == installed_tasks().keys()
    assert {"positive", "negative"} <= set(tasks["sentiment"]["labels"])
    assert tasks["chat"]["conversational"] and tasks["chat"]["streams"]
    assert tasks["translate"]["options"]["properties"]["to"]["type"] == "string"
    assert client.get("/v1/tasks/chat").json() == tasks["chat"]


def test_defaults_are_those_of_the_model(client: TestClient, tiny_bundle: Path, tmp_path: Path) -> None:
    def defaults(client: TestClient, path: str) -> dict[str, Any]:
        answer = client.get(f"/v1/tasks/{path}").json()
        return {name: value["default"] for name, value in answer["options"]["properties"].items()}

    plain = defaults(client, "sentiment")
    model = adapted(tiny_bundle, tmp_path / "adapted")
    with client_of(model) as other:
        assert defaults(other, "sentiment") == plain | {"examples": False, "margin": 2.5} != plain
        assert defaults(other, "chat") == defaults(client, "chat")
        [listed] = [task for task in other.get("/v1/tasks").json()["data"] if task["name"] == "sentiment"]
        assert listed == other.get("/v1/tasks/sentiment").json()
        asked = {"input": REVIEW, "options": {"margin": plain["margin"]}}
        assert other.post("/v1/tasks/sentiment", json=asked).status_code == 200
    for query, status in (("adapter=mine", 400), ("model=unknown", 404)):
        assert client.get(f"/v1/tasks/sentiment?{query}").status_code == status


def test_one_text(client: TestClient) -> None:
    answer = client.post("/v1/tasks/sentiment", json={"input": REVIEW})
    assert answer.status_code == 200
    result = answer.json()
    assert result["status"] == "ok" and result["output"]["label"] in ("positive", "negative")
    assert sum(result["output"]["probabilities"].values()) == pytest.approx(1)


def test_several_texts_of_which_one_fails(client: TestClient) -> None:
    long = " ".join(f"The report number {i} was read by the members of the club." for i in range(6))
    body = {"input": [long, REVIEW, {"text": long}]}
    first, second, third = client.post("/v1/tasks/summarize", json=body).json()["results"]
    assert (first["status"], second["status"]) == ("ok", "error")
    assert second["error"]["message"]
    assert third["output"] == first["output"]


def test_options_and_history(client: TestClient) -> None:
    turns = [{"role": "user", "content": "the"}, {"role": "assistant", "content": "and"}]
    body = {"input": {"text": "of", "messages": turns}, "options": {"max_tokens": 3, "temperature": 0}}
    long = client.post("/v1/tasks/chat", json=body).json()
    short = client.post("/v1/tasks/chat", json={**body, "input": "of"}).json()
    assert 0 < long["usage"]["completion_tokens"] <= 3
    assert long["usage"]["prompt_tokens"] > short["usage"]["prompt_tokens"]


def test_a_stream_joins_to_the_result(client: TestClient) -> None:
    body = {"input": "the", "stream": True, "options": {"max_tokens": 12}}
    answer = client.post("/v1/tasks/chat", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    values = [json.loads(data.removeprefix("data: ")) for _, data in events]
    result = values[-1]
    assert kinds[-1] == "result" and set(kinds[:-1]) <= {"piece", "notice"}
    pieces = [value["text"] for kind, value in zip(kinds, values) if kind == "piece"]
    assert "".join(pieces) == result["output"]["text"]
    assert client.post("/v1/tasks/chat", json={**body, "stream": False}).json() == result


def test_an_error_before_the_first_piece_has_a_status(client: TestClient) -> None:
    answer = client.post("/v1/tasks/summarize", json={"input": REVIEW, "stream": True})
    assert answer.status_code == 400 and answer.json()["error"]["hint"] is not None


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "input must be"),
        ({"input": 3}, 400, "input must be"),
        ({"input": []}, 400, "empty list"),
        ({"input": ["a"] * 300}, 400, "more than 256"),
        ({"input": {"text": "a", "more": 1}}, 400, "input must be"),
        ({"input": {"text": "a", "messages": [{"role": "user"}]}}, 400, "input must be"),
        ({"input": {"text": "a", "messages": [{"role": "boss", "content": "b"}]}}, 400, "role"),
        ({"input": "a", "options": {"nope": 1}}, 400, "nope"),
        ({"input": "a", "options": {"max_tokens": "many"}}, 400, "max_tokens"),
        ({"input": "a", "options": {"max_tokens": 100_000}}, 400, "at most 4,096"),
        ({"input": "a", "options": 7}, 400, "object"),
        ({"input": "a", "adapter": "mine"}, 400, "adapter"),
        ({"input": "a", "model": 3}, 400, "model"),
        ({"input": "a", "model": "gpt-4o"}, 404, "not served"),
        ({"input": "a", "stream": 1}, 400, "stream"),
        ({"input": ["a"], "stream": True}, 400, "list"),
        ({"input": "a", "colour": "red"}, 400, "colour"),
    ],
    ids=str,
)
def test_a_wrong_body_is_explained(client: TestClient, body: Any, status: int, words: str) -> None:
    answer = client.post("/v1/tasks/chat", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error["message"] and error["code"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"input": "\\ud800"}', b'{"input": "a", "stream": NaN}'],
)
def test_a_body_that_is_no_object(client: TestClient, content: bytes) -> None:
    assert client.post("/v1/tasks/chat", content=content).status_code == 400


def test_unknown_places(client: TestClient) -> None:
    unknown = client.post("/v1/tasks/sumarize", json={"input": "a"})
    assert unknown.status_code == 404 and "summarize" in unknown.json()["error"]["message"]
    assert client.get("/v1/nothing").status_code == 404
    assert client.put("/v1/tasks", json={}).status_code == 405


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    "input options adapter stream messages prompt max_tokens n stop logprobs echo seed".split()
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        ["/v1/tasks/chat", "/v1/tasks/sentiment/explain", "/v1/chat/completions", "/v1/completions"]
    ),
    body=st.dictionaries(_FIELDS, _JSON, max_size=5),
)
def test_no_body_is_the_servers_fault(client: TestClient, path: str, body: Any) -> None:
    assert client.post(path, json={"max_tokens": 4, **body}).status_code < 500


def test_what_each_sentence_contributes(client: TestClient) -> None:
    found = client.post("/v1/tasks/sentiment/explain", json={"input": REVIEW}).json()
    assert [REVIEW[s["start"] : s["end"]] for s in found["sentences"]] == [
        s["text"] for s in found["sentences"]
    ]
    assert len(found["sentences"]) == 3
    # Leaving a sentence out by hand gives the same.
    without = client.post(
        "/v1/tasks/sentiment", json={"input": " The end is too long. I will read it again."}
    ).json()
    label = found["result"]["output"]["label"]

    def log_odds(result: Any) -> float:
        import math

        p = result["output"]["probabilities"][label]
        return math.log(p / (1 - p))

    expected = log_odds(found["result"]) - log_odds(without)
    assert found["sentences"][0]["contribution"] == pytest.approx(expected, abs=1e-3)


def test_tokens_and_their_alternatives(client: TestClient) -> None:
    found = client.post("/v1/tasks/chat/explain", json={"input": "the", "options": {"max_tokens": 5}}).json()
    assert "".join(token["text"] for token in found["tokens"]).strip() == found["result"]["output"]["text"]
    for token in found["tokens"]:
        assert token["alternatives"][0]["probability"] == pytest.approx(
            token["probability"], abs=1e-5
        )  # greedy
        assert len(token["alternatives"]) == 5


def test_sources_of_a_summary(client: TestClient) -> None:
    text = " ".join(f"The report number {i} was read by the members of club {i}." for i in range(8))
    found = client.post(
        "/v1/tasks/summarize/explain", json={"input": text, "options": {"method": "extract"}}
    ).json()
    assert found["sources"]
    for source in found["sources"]:
        assert source["exact"] and source["text"] in text[source["start"] : source["end"]]
