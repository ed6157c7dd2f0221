"""Servers on a tiny model, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from nlpsuite.serve.app import create_app

__all__ = ["client_of"]


def client_of(bundle: Path, **settings: Any) -> TestClient:
    """A client of a server of its own; an unexpected error is answered as users see it."""
    app = create_app(model=str(bundle), **settings)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
