"""Files scored and evaluated in the background."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from serving import client_of
from starlette.testclient import TestClient

ROWS = "text,label\n" + "".join(f"the {i},{'positive' if i % 2 else 'negative'}\n" for i in range(6))


def start(client: TestClient, content: str, name: str = "rows.csv", **fields: str) -> Any:
    return client.post("/v1/jobs", files={"file": (name, content)}, data={"task": "sentiment", **fields})


def finished(client: TestClient, id: str) -> Any:
    for _ in range(600):
        job = client.get(f"/v1/jobs/{id}").json()
        if job["state"] != "running":
            return job
        time.sleep(0.1)
    raise AssertionError("the job didn't end")


@pytest.mark.slow
def test_a_file_is_scored_and_then_evaluated(client: TestClient) -> None:
    scored = start(client, ROWS)
    assert scored.status_code == 201
    job = finished(client, scored.json()["id"])
    assert (job["state"], job["rows"], job["fraction"], job["report"]) == ("done", 6, 1.0, False)
    result = client.get(f"/v1/jobs/{job['id']}/result")
    assert "rows-sentiment.csv" in result.headers["content-disposition"]
    assert len(result.text.splitlines()) == 7 and result.text.startswith("text,label,output")
    assert client.get(f"/v1/jobs/{job['id']}/report").status_code == 409

    evaluated = finished(client, start(client, ROWS, reference_column="label").json()["id"])
    assert evaluated["report"]
    report = client.get(f"/v1/jobs/{evaluated['id']}/report")
    assert "accuracy" in report.text and report.headers["content-security-policy"] == "sandbox"
    assert {job["id"] for job in client.get("/v1/jobs").json()["data"]} >= {job["id"], evaluated["id"]}
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.mark.slow
def test_a_job_that_fails_says_why(client: TestClient) -> None:
    job = finished(client, start(client, "text\nthe\n", text_column="body").json()["id"])
    assert job["state"] == "failed" and "body" in job["error"]["message"]


@pytest.mark.slow
def test_a_running_job_is_cancelled_and_goes_with_the_server(tiny_bundle: Path) -> None:
    with client_of(tiny_bundle) as client:
        ids = [start(client, ROWS * 50).json()["id"] for _ in range(2)]
        assert start(client, ROWS).status_code == 429
        assert client.delete(f"/v1/jobs/{ids[0]}").status_code == 204
        assert start(client, ROWS).status_code == 201


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("rows.exe", {}, "type"),
        ("rows.csv", {"options": "{"}, "JSON object"),
        ("rows.csv", {"options": '{"nope": 1}'}, "nope"),
        ("rows.csv", {"task": "nope"}, "nope"),
    ],
)
def test_what_can_not_start(client: TestClient, name: str, fields: dict[str, str], words: str) -> None:
    answer = start(client, ROWS, name, **fields)
    assert answer.status_code in (400, 404) and words in answer.json()["error"]["message"]


def test_a_form_without_a_file(client: TestClient) -> None:
    assert client.post("/v1/jobs", data={"task": "chat"}).status_code == 400
    assert client.get("/v1/jobs/../../etc").status_code == 404
