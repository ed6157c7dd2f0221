"""Jobs that are killed, at every file operation and at random moments, and resumed.

The result must be, byte for byte, that of a run that nothing disturbed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.batch.job import Job
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request

pytestmark = pytest.mark.slow

ZYGOTE = Path(__file__).with_name("crash_zygote.py")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    texts = ["a fine film", "dull", "", "the best of them all", "it is not good", "of the and", "in the end"]
    path.write_text("n,text\n" + "".join(f"{i:03d},{text}\n" for i, text in enumerate(texts)))
    return path


def zygote(place: Path, request: dict[str, Any], **order: Any) -> dict[str, Any]:
    given = {"place": str(place), "request": request, "points": False, "random": 0, "seed": 0, **order}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", ZYGOTE], input=json.dumps(given), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert outcome["failures"] == [], done.stderr
    return outcome


def request(bundle: Path, reviews: Path, **more: Any) -> dict[str, Any]:
    return {
        "task": "sentiment",
        "data": str(reviews),
        "model": str(bundle),
        "id_column": "n",
        "chunk_rows": 2,
        "threads": 1,
        "workers": 1,
        **more,
    }


def test_killed_at_every_operation_on_a_file(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    outcome = zygote(tmp_path, request(tiny_bundle, reviews), points=True)
    operations = outcome["operations"]
    assert outcome["code"] == 3  # the empty text is an error row
    # Four chunks taken in, the manifest, four shards, the result, the report.
    assert operations.count("before replace") == operations.count("after replace") == 11
    assert outcome["killed"] == len(operations)


def test_killed_again_and_again_at_random_times(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    options = {"max_tokens": 4}
    given = request(tiny_bundle, reviews, task="complete", options=options, chunk_rows=1)
    assert zygote(tmp_path, given, random=8, seed=11)["killed"] > 8


def test_torn_shards_are_put_aside_and_scored_anew(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    asked = ScoreRequest(output=output, **request(tiny_bundle, reviews, chunk_rows=4))
    score_request(asked)
    expected = output.read_bytes()
    job = Job.open(output.with_suffix(".job"))
    shard = job.shard_path(1)
    whole = shard.read_bytes()
    for length in range(len(whole)):
        shard.write_bytes(whole[:length])
        assert job.shard(1) is None, f"{length} of {len(whole)} bytes pass for a whole shard"
    for place in range(0, len(whole), 7):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert job.shard(1) is None, f"a flipped bit in byte {place} passes"
    shard.write_bytes(whole[:-10])
    output.unlink()
    report = score_request(asked)
    assert (report.quarantined, report.scored) == (1, 7)  # the other chunk has an error row, tried again
    assert output.read_bytes() == expected
    assert (job.path / "quarantine" / shard.name).read_bytes() == whole[:-10]


def test_a_killed_worker_is_replaced(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    outputs = []
    for workers, kills in ((1, 0), (2, 0), (2, 1)):
        output = tmp_path / f"out{workers}{kills}.jsonl"
        given = request(tiny_bundle, reviews, workers=workers, chunk_rows=1, output=str(output))
        script = tmp_path / "run.py"
        script.write_text(_KILLS_A_WORKER)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", script],
            input=json.dumps([given, kills]),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3, done.stderr
        assert done.stdout.split() == ["killed"] * kills
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]


_KILLS_A_WORKER = """
import json, os, signal, sys, threading, time
from pathlib import Path
from nlpsuite.batch.run import JobReporter
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request

class Reporter(JobReporter):
    def progress(self, rows, errors, tokens):
        if kills.pop("left", 0):
            lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
            children = [child for file in lists for child in file.read_text().split()]
            workers = [c for c in children if b"nlpsuite.batch.engines" in Path(f"/proc/{c}/cmdline").read_bytes()]
            os.kill(int(workers[0]), signal.SIGKILL)
            print("killed", flush=True)

if __name__ == "__main__":
    given, left = json.loads(sys.stdin.read())
    kills = {"left": left}
    sys.exit(score_request(ScoreRequest(**{**given, "output": Path(given["output"])}), Reporter()).exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_job_with_its_code(
    number: signal.Signals, tiny_bundle: Path, reviews: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many.csv"
    many.write_text(reviews.read_text() + "".join(f"{i},the end\n" for i in range(10, 3000)))
    output = tmp_path / "out.jsonl"
    arguments = [
        "score", "sentiment", many, "-o", output, "--model", tiny_bundle, "--chunk-rows", "8", "--threads", "1",
        "--workers", "1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "nlpsuite", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    shards = output.with_suffix(".job") / "shards"
    while not (shards.is_dir() and len(list(shards.iterdir())) > 3):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "To resume, rerun the same command." in stderr and "Traceback" not in stderr
    assert Job.open(output.with_suffix(".job")).report()["reason"] in ("interrupted", "terminated")
    assert not output.exists()
