"""The benchmarks start, and the quick ones run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_tiny_gguf

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


def test_peers_take_turns_and_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    write_tiny_gguf(tmp_path / "tiny.gguf")
    out = run(
        *(BENCHMARKS / "peers.py", "--quick", "--gguf", tmp_path / "tiny.gguf", "--envs", tmp_path / "envs"),
        *("--peers", "nlpsuite int8,nlpsuite fp32", "--threads", "1", "--output", tmp_path / "results"),
    )
    assert "| nlpsuite fp32 |" in out and "| – |" not in out, "a figure is missing"
    assert (tmp_path / "results" / "peers.md").read_text(encoding="utf-8") == out
    found = json.loads((tmp_path / "results" / "peers.json").read_text(encoding="utf-8"))
    assert found["problems"] == {} and found["versions"]["nlpsuite"]
    first, second = found["peers"]["nlpsuite int8"], found["peers"]["nlpsuite fp32"]
    assert set(first["median"]) == {"prefill 64", "decode × 1", "decode × 4", "score"} == set(found["units"])
    assert first["ratio"]["score"] == 1 and second["ratio"]["score"] > 0
    assert first["perplexity"] == pytest.approx(second["perplexity"], rel=0.5)
    assert 0 < second["score_difference"] < 1
    for suffix in ("svg", "png"):
        assert (tmp_path / "results" / f"peers.{suffix}").stat().st_size > 1_000


def test_a_worker_answers_every_line(tiny_bundle: Path) -> None:
    worker = BENCHMARKS / "workers" / "peer.py"
    settings = {"kind": "nlpsuite", "precision": "fp32", "model": str(tiny_bundle), "threads": 1}
    ids = list(range(40, 60))
    commands = [{"do": "prefill", "ids": []}, {"do": "dance"}, {"do": "perplexity", "ids": ids}]
    commands += [{"do": "score", "contexts": [ids[:-1]], "choices": [[ids[-1:], [3, 4]]]}, {"do": "memory"}]
    lines = "\n".join(map(json.dumps, commands))
    command = [sys.executable, worker, json.dumps(settings)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    ready, empty, unknown, perplexity, score, memory = map(json.loads, done.stdout.splitlines())
    assert ready["ready"] > 0 and "error" in empty and "dance" in unknown["error"]
    assert len(perplexity["logprobs"]) == len(ids) - 1
    assert score["scores"][0][0] == pytest.approx(perplexity["logprobs"][-1], abs=1e-3)
    assert len(score["scores"][0]) == 2
    assert memory["peak"] is None or memory["peak"] > 1e7


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
def test_help_of_the_evaluation() -> None:
    done = subprocess.run(
        ["bash", BENCHMARKS / "evaluate.sh", "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout and "set -e" not in done.stdout


@pytest.mark.parametrize("precision", ["int8", "int4", "fp32"])
def test_importing_holds_little_more_than_the_bundle(precision: str) -> None:
    row = json.loads(run(BENCHMARKS / "import_memory.py", "small", "--precision", precision, "--json"))
    assert row["bundle_bytes"] > 0.5 * row["parameters"]
    # The bound, with what Python and its libraries take in place of its gigabyte.
    assert row["peak_bytes"] < 1.3 * row["bundle_bytes"] + 250e6, row
