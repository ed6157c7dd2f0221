"""Servers on a tiny model, in this process and in one of their own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from nlpsuite.serve.app import create_app

__all__ = ["Server", "adapted", "client_of"]


def client_of(bundle: Path, **settings: Any) -> TestClient:
    """A client of a server of its own; an unexpected error is answered as users see it."""
    app = create_app(model=str(bundle), **settings)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def adapted(bundle: Path, place: Path) -> Path:
    """A copy of a bundle that says that it was adapted to sentiment."""
    shutil.copytree(bundle, place)
    manifest = json.loads((place / "bundle.json").read_text("utf-8"))
    options = {"examples": False, "margin": 2.5}
    manifest["adapter"] = {"task": "sentiment", "task_version": "2", "sha256": "", "options": options}
    (place / "bundle.json").write_text(json.dumps(manifest))
    return place


class Server:
    """A process that serves the tiny model."""

    def __init__(self, bundle: Path, *flags: str) -> None:
        command = [sys.executable, "-m", "nlpsuite", "serve", "--port", "0", "--model", str(bundle), *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://[\d.]+:(\d+)", line)
        assert found, line + self.process.stderr.read()
        self.url, self.port = found[0], int(found[1])
        # What the server logs must be read, or it blocks.
        self.log: list[str] = []
        stderr = self.process.stderr
        self._reader = threading.Thread(target=lambda: self.log.extend(stderr), daemon=True)
        self._reader.start()
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server didn't start")

    def stop(self, number: int = signal.SIGINT) -> int:
        """The exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def gauge(self, name: str) -> float:
        found = re.search(rf"^nlpsuite_{name} (\S+)", httpx.get(f"{self.url}/metrics").text, re.MULTILINE)
        assert found
        return float(found[1])
