"""The benchmarks start, and the quick ones run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPTS, reason="this distribution of the sources has no benchmarks"),
]


def run(*args: object) -> str:
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(script: Path) -> None:
    pytest.importorskip("torch")
    assert "usage:" in run(script, "--help")
    assert f"`{script.name}`" in (BENCHMARKS / "README.md").read_text("utf-8")


def test_the_coordinator_loses_no_chunk() -> None:
    out = run(BENCHMARKS / "coordinator.py", "--chunks", "300", "--one-in", "100")
    assert out.startswith("local: 300 chunks on 2 workers, all completed\n")


def test_scores_are_the_same_bytes_however_they_are_computed(tiny_bundle: Path) -> None:
    out = run(BENCHMARKS / "score.py", "--quick", "--model", tiny_bundle)
    assert out.startswith("sentiment, 48 rows\n") and "All results are the same bytes." in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
def test_help_of_the_evaluation() -> None:
    done = subprocess.run(
        ["bash", BENCHMARKS / "evaluate.sh", "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout and "set -e" not in done.stdout
