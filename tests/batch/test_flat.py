"""The memory of a job does not grow with its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys, tracemalloc
from pathlib import Path
from nlpsuite.batch import run as running, worker
from nlpsuite.batch.engine import Done
from nlpsuite.batch.job import Job
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request
from nlpsuite.tasks.result import Output
from nlpsuite.tasks.result import Result

def engine(work, chunks):  # commits what a model could have said
    job = Job.open(Path(work.arguments["job"]))
    said = Result(Output("yes", label="yes", probabilities={"yes": 0.75, "no": 0.25}))
    for chunk in chunks:
        first = chunk * job.chunk_rows
        rows = [worker._shard_row(first + i, row, said) for i, row in enumerate(job.staged(chunk))]
        job.commit(chunk, rows)
        yield Done(chunk, len(rows))

real = running.load
running.load = lambda kind, name: engine if kind == "engine" else real(kind, name)
place, bundle, suffix = sys.argv[1:]
peaks = {}
for rows in (500, 2_000, 20_000):
    source = Path(place, f"in{rows}.csv")
    with source.open("w") as file:
        file.write("id,text\\n")
        file.writelines(f"r{i:07d},this is the text of row {i:07d} and it says no more than that\\n" for i in range(rows))
    tracemalloc.start()
    request = ScoreRequest(
        task="sentiment", data=str(source), output=Path(place, f"out{rows}.{suffix}"), id_column="id", model=bundle,
        workers=1, threads=1, chunk_rows=100,
    )
    assert score_request(request).rows == rows
    peaks[rows] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
print(json.dumps([peaks[2_000], peaks[20_000]]))  # the first run is to warm up
"""


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_memory_is_flat(suffix: str, tiny_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), str(tiny_bundle), suffix]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout)
    # Of a row there are hashes of its id, while they are sorted; of a chunk its number. A row takes 500 bytes.
    assert many - few < 18_000 * 60, f"{few:,} bytes at the most for 2,000 rows, {many:,} for 20,000"
