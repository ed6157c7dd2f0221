"""Rows per second of ``nlpsuite score`` by engine, workers and threads, and whether the bytes are the same.

    python benchmarks/score.py --quick
    python benchmarks/score.py dev.tsv --task sentiment --rows 872

The seconds are the job's: they include loading the model in each worker, but not reading the input. The settings
take turns, and the fastest run of each is shown, since a machine is never faster than it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

Setting = tuple[str, int, int]
SETTINGS: list[Setting] = [("local", 1, 1), ("local", 1, 2), ("local", 2, 1), ("ray", 1, 1), ("ray", 2, 1)]


def sentences() -> Iterator[str]:
    """Some 2,000 different sentences, for want of a data set."""
    parts = (
        ("The film", "The cast", "The second half", "Her latest book", "The whole evening"),
        ("is", "was", "turned out to be", "can only be called"),
        ("a joy", "dull", "far too long", "surprisingly clever", "a mess"),
        (", and", ", but", ", although"),
        ("the music is lovely", "nobody laughed", "I would see it again", "the ending makes no sense"),
    )
    for subject, verb, word, link, rest in product(*parts):
        yield f"{subject} {verb} {word}{link} {rest}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="?", help="a table of texts; by default generated sentences")
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--model", help="by default the default model")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=2, help="of each setting")
    parser.add_argument(
        "--quick", action="store_true", help="48 rows, local workers, one run of each setting"
    )
    args = parser.parse_args()
    settings, runs, rows = SETTINGS, args.runs, args.rows
    if args.quick:
        settings, runs, rows = [s for s in SETTINGS if s[0] == "local"], 1, min(48, args.rows)
    seconds: dict[Setting, list[float]] = {setting: [] for setting in settings}
    digests, scored = set(), 0
    with tempfile.TemporaryDirectory() as place:
        data = args.data
        if data is None:
            data = Path(place, "sentences.txt")
            data.write_text("\n".join(islice(sentences(), rows)) + "\n", encoding="utf-8")
        for turn in range(runs):
            for setting in settings:
                engine, workers, threads = setting
                output = Path(place, f"{engine}{workers}{threads}{turn}.jsonl")
                command = [sys.executable, "-m", "nlpsuite", "score", args.task, data, "-o", output]
                command += ["--engine", engine, "--workers", workers, "--threads", threads, "--limit", rows]
                command += ["--chunk-rows", 16 if args.quick or args.task != "sentiment" else 64]
                command += ["--model", args.model] if args.model else []
                done = subprocess.run(
                    [*map(str, command), "--json", "--quiet"], capture_output=True, text=True
                )
                if done.returncode not in (0, 3):
                    raise SystemExit(done.stderr)
                report = json.loads(done.stdout)
                seconds[setting].append(report["seconds"])
                digests.add(hashlib.sha256(output.read_bytes()).hexdigest())
                scored = report["rows"]
    print(f"{args.task}, {scored:,} rows")
    for (engine, workers, threads), times in seconds.items():
        print(
            f"{engine:5}  {workers} workers of {threads} threads  {scored / min(times):6.1f} rows/s  {times}"
        )
    print("All results are the same bytes." if len(digests) == 1 else f"{len(digests)} different results!")
    raise SystemExit(len(digests) != 1)


if __name__ == "__main__":
    main()
