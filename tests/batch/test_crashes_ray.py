"""Jobs on Ray: the bytes of the engine ``local``, also if an actor or the driver is killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from job_help import run, write_rows

from nlpsuite.batch.job import Job
from nlpsuite.batch.manage import verify
from nlpsuite.batch.score import resume

pytestmark = pytest.mark.slow

# Runs a job on Ray in a program of its own, which tells its progress and takes no notice of where it runs.
DRIVER = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from nlpsuite.batch.run import JobReporter
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request

class Reporter(JobReporter):
    def progress(self, rows, errors, tokens):
        print(rows, flush=True)

given = json.loads(sys.argv[1])
sys.exit(score_request(ScoreRequest(**{**given, "output": Path(given["output"])}), Reporter()).exit_code)
"""


def driver(source: Path, bundle: Path, output: Path, **more: Any) -> subprocess.Popen[str]:
    given = {
        "task": "complete", "data": str(source), "model": str(bundle), "output": str(output), "chunk_rows": 2,
        "engine": "ray", "threads": 1, **more,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        start_new_session=True,
    )


def wait_for_rows(process: subprocess.Popen[str], rows: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= rows:
            return
    _, stderr = process.communicate()
    raise AssertionError(f"the driver ended with {process.returncode}: {stderr[-2000:]}")


def processes_below(parent: int) -> dict[int, str]:
    """Numbers and names of a process's descendants."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                )
        except OSError:
            continue
    below = {parent}
    while more := {number for number, above in parents.items() if above in below} - below:
        below |= more
    return {number: names[number] for number in below - {parent}}


def actors_of(process: subprocess.Popen[str]) -> list[int]:
    below = processes_below(process.pid).items()
    return [number for number, name in below if name.startswith("ray::_")]  # beside Ray's own


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes as Linux shows them")
def test_a_job_on_ray_survives(tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs nlpsuite[ray]")
    texts = ["a fine film", "", "the best of them all", "in the end it is not good"] * 12
    source = write_rows(tmp_path / "in.csv", [{"n": i, "text": text} for i, text in enumerate(texts)])
    more: dict[str, Any] = {"options": {"max_tokens": 24}}
    run(tiny_bundle, source, tmp_path / "local.csv", task="complete", **more)
    expected = (tmp_path / "local.csv").read_bytes()

    # An actor is killed: another takes its place.
    process = driver(source, tiny_bundle, tmp_path / "actor.csv", workers=1, **more)
    wait_for_rows(process, 1)
    actors = actors_of(process)
    assert actors, processes_below(process.pid)
    os.kill(actors[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr[-2000:]
    assert (tmp_path / "actor.csv").read_bytes() == expected
    assert verify(tmp_path / "actor.job") == []

    # The driver is killed, and with it Ray: the job is resumed without it.
    process = driver(source, tiny_bundle, tmp_path / "driver.csv", workers=1, **more)
    wait_for_rows(process, 1)
    family = processes_below(process.pid)
    process.kill()
    process.communicate()
    job = Job.open(tmp_path / "driver.job")
    assert len(job.shards_there()) < job.chunks and not (tmp_path / "driver.csv").exists()
    report = resume(job.path, engine="local")
    assert report.errors == 12 and (tmp_path / "driver.csv").read_bytes() == expected
    for number in family:  # Ray ends them itself, but takes half a minute
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
