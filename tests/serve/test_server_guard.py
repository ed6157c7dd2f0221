"""What stands before every endpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import client_of
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from nlpsuite.errors import OptionError
from nlpsuite.serve.app import create_app
from nlpsuite.serve.log import set_up_log
from nlpsuite.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def strict(tiny_bundle: Path) -> Iterator[TestClient]:
    with client_of(tiny_bundle, token="secret", cors="https://app.example", max_body=2_000) as client:
        yield client


def test_a_token(strict: TestClient) -> None:
    refused = strict.get("/v1/models")
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["type"] == "authentication_error"
    assert strict.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert strict.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert strict.get("/health").status_code == 200
    assert strict.get("/").status_code == 200  # the page asks for it


def test_another_machine_needs_a_token() -> None:
    with pytest.raises(OptionError, match="token"):
        ServeSettings(host="0.0.0.0")
    assert ServeSettings(host="0.0.0.0", token="secret").token
    assert ServeSettings(host="0.0.0.0", auth=False)
    assert ServeSettings(host="127.0.0.9") and ServeSettings(host="::1") and ServeSettings(host="localhost")
    with pytest.raises(OptionError, match="token"):
        ServeSettings(host="server.example")


def test_a_token_as_files_and_headers_have_it() -> None:
    assert ServeSettings(token="secret\n").token == "secret"
    for wrong in ("two words", "naïve", "a\nb"):
        with pytest.raises(OptionError, match="token"):
            ServeSettings(token=wrong)


@pytest.mark.parametrize("header", ["bearer secret", "BEARER  secret "])
def test_the_scheme_of_a_token_is_spelled_in_any_way(strict: TestClient, header: str) -> None:
    assert strict.get("/v1/models", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize("header", ["secret", "Basic secret", "Bearer", "Bearer secret2", "Bearer \xe4"])
def test_other_headers_are_no_token(strict: TestClient, header: str) -> None:
    assert strict.get("/v1/models", headers={"Authorization": header.encode("latin-1")}).status_code == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v1/tasks", "/metrics", "/openapi.json", "/v1/jobs"])
def test_mounted_in_another_application_the_token_is_needed_too(tiny_bundle: Path, path: str) -> None:
    app = create_app(model=str(tiny_bundle), token="secret")
    outer = TestClient(Starlette(routes=[Mount("/nlp", app)]), base_url="http://shop.example")
    assert outer.get(f"/nlp{path}").status_code == 401
    assert outer.get(f"/nlp{path}", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert outer.get("/nlp/health").status_code == 200 and "<main>" in outer.get("/nlp/").text


def test_mounted_without_a_token(tiny_bundle: Path) -> None:
    app = create_app(model=str(tiny_bundle), allow_host="*")
    outer = TestClient(Starlette(routes=[Mount("/nlp", app)]), base_url="http://shop.example")
    answer = outer.post("/nlp/v1/tasks/sentiment", json={"input": "the"})
    assert answer.status_code == 200
    assert 'route="/v1/tasks/{task}"' in outer.get("/nlp/metrics").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "192.168.1.5:8000"}, 200),  # a name can be made to point here, an address can't
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "null"}, 403),
    ],
    ids=str,
)
def test_hosts_and_origins(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/v1/tasks", headers=headers).status_code == status


def test_other_pages_may_only_if_allowed(strict: TestClient, client: TestClient) -> None:
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    allowed = strict.options("/v1/tasks/chat", headers=preflight)
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in client.options("/v1/tasks/chat", headers=preflight).headers


def test_a_body_that_is_too_large(strict: TestClient) -> None:
    headers = {"Authorization": "Bearer secret"}
    known = strict.post("/v1/tasks/chat", content=b" " * 3_000, headers=headers)
    assert known.status_code == 413 and "2,000" in known.json()["error"]["message"]

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    unknown = strict.post("/v1/tasks/chat", content=pieces(), headers=headers)
    assert unknown.status_code == 413


def test_the_page_and_its_policy(client: TestClient) -> None:
    page = client.get("/")
    assert "<main>" in page.text and "script-src 'self'" in page.headers["content-security-policy"]
    for name in ("app.js", "style.css", "icon.svg"):
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/../settings.py").status_code == 404


def test_counts_and_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nlpsuite.serve"):
        client.post("/v1/tasks/sentiment", json={"input": "the"})
    assert "POST /v1/tasks/sentiment 200" in caplog.text
    assert "the" not in caplog.records[-1].getMessage().split("/")[-1]  # texts are not logged
    counts = client.get("/metrics").text
    assert 'nlpsuite_requests_total{route="/v1/tasks/{task}",status="200"}' in counts
    assert "nlpsuite_tokens_total" in counts and "nlpsuite_running 0.0" in counts


def test_a_path_writes_no_line_of_its_own(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nlpsuite.serve"):
        client.get("/v1/tasks/x%0aGET%20/admin%20200")
    assert "\n" not in caplog.records[-1].getMessage()


def test_the_log_in_json(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_log("json")
        answer = client.post("/v1/tasks/sentiment", json={"input": "the"})
        logging.getLogger("nlpsuite.serve").error("odd", exc_info=ValueError("x"))
    finally:
        root.handlers[:], root.level = before, level
    request, error = map(json.loads, capsys.readouterr().err.splitlines())
    assert request["path"] == "/v1/tasks/sentiment" and request["status"] == 200
    assert request["task"] == "sentiment" and request["request"] == answer.headers["x-request-id"]
    assert error["level"] == "error" and "ValueError: x" in error["traceback"]


def test_the_document_names_every_task(client: TestClient) -> None:
    document: Any = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for name in ("chat", "sentiment", "translate"):
        schema = document["paths"][f"/v1/tasks/{name}"]["post"]["requestBody"]["content"]["application/json"]
        assert schema["schema"]["properties"]["options"]["additionalProperties"] is False
    names = [ref for ref in str(document).split("'$ref': '")[1:]]
    for ref in names:
        assert ref.split("'")[0].removeprefix("#/components/schemas/") in document["components"]["schemas"]
