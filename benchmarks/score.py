"""Rows per second of ``nlpsuite score`` by engine, workers and threads, and whether the bytes are the same.

    python benchmarks/score.py ../shared/data/sentiment/sst2_glue/dev.tsv [TASK [ROWS]]

Seconds are those of the job: loading the model in each worker is in them, reading the input is not. Each setting is
run twice, in turns, and the faster run is shown, since a machine is never quicker than it is.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = [("local", 1, 1), ("local", 1, 2), ("local", 2, 1), ("ray", 1, 1), ("ray", 2, 1)]
RUNS = 2


def main(data: str, task: str = "sentiment", rows: str = "100000") -> None:
    seconds: dict[tuple[str, int, int], list[float]] = {setting: [] for setting in SETTINGS}
    digests, scored = set(), 0
    with tempfile.TemporaryDirectory() as place:
        for turn in range(RUNS):
            for setting in SETTINGS:
                engine, workers, threads = setting
                output = Path(place, f"{engine}{workers}{threads}{turn}.jsonl")
                command = ["nlpsuite", "score", task, data, "-o", output, "--limit", rows, "--engine", engine]
                command += ["--workers", workers, "--threads", threads, "--json", "--quiet"]
                command += ["--chunk-rows", 64 if task == "sentiment" else 16]
                done = subprocess.run([*map(str, command)], capture_output=True, text=True)
                if done.returncode not in (0, 3):
                    raise SystemExit(done.stderr)
                report = json.loads(done.stdout)
                seconds[setting].append(report["seconds"])
                digests.add(hashlib.sha256(output.read_bytes()).hexdigest())
                scored = report["rows"]
    print(f"{task}, {scored:,} rows")
    for (engine, workers, threads), runs in seconds.items():
        print(f"{engine:5}  {workers} workers of {threads} threads  {scored / min(runs):6.1f} rows/s  {runs}")
    print("The results are the same bytes." if len(digests) == 1 else f"{len(digests)} different results!")
    raise SystemExit(len(digests) != 1)


main(*sys.argv[1:])
