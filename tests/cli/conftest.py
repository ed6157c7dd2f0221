from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the command line in this process: ``cli("run", "complete", …, stdin=b"…")``."""
    from nlpsuite.cli import _run

    def run(*args: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = _run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def complete(cli: Cli, tiny_bundle: Path) -> Cli:
    """``nlpsuite run complete`` on the tiny model, four tokens."""

    def run(*args: str, stdin: bytes = b"") -> Outcome:
        return cli("run", "complete", "--model", tiny_bundle, "--max-tokens", "4", *args, stdin=stdin)

    return run
