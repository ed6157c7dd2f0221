"""The OpenAPI document is what the server does: requests made from it are understood, and none is the server's fault."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from nlpsuite.serve.app import create_app

with warnings.catch_warnings():  # its own
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis")


def test_the_document_is_valid(client: TestClient) -> None:
    validator = pytest.importorskip("jsonschema")
    document: Any = client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "post", "delete"}:
            operation = item[method]
            assert operation["summary"] and operation["responses"], path
            for media in operation.get("requestBody", {}).get("content", {}).values():
                validator.Draft202012Validator.check_schema(media["schema"])


CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]
# Few, as they run the model; the seed of hypothesis differs from run to run.
SETTINGS = settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_requests_made_from_the_document(tiny_bundle: Path) -> None:
    app = create_app(model=str(tiny_bundle), max_tokens=8, allow_host="*")
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: Counter[int] = Counter()
    for found in schema.exclude(method="POST", path="/v1/jobs").get_all_operations():  # starts processes
        operation = found.ok()

        @SETTINGS
        @given(case=operation.as_strategy())
        def try_one(case: Any) -> None:
            response = case.call()
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        try_one()
    # They were understood, not all refused.
    assert statuses[200] > statuses[400]
