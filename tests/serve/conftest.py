"""A server on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra serve isn't installed")

from serving import client_of
from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def client(tiny_bundle: Path) -> Iterator[TestClient]:
    with client_of(tiny_bundle) as client:
        yield client
