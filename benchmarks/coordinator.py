"""The cost of a job's coordinator: many empty chunks, on workers that are killed at random.

    python benchmarks/coordinator.py                      # 100,000 chunks on 2 local workers
    python benchmarks/coordinator.py --engine ray --chunks 20000

Each chunk appends its number to a file, which shows whether every chunk was completed. At random, a worker kills
itself with SIGKILL before a chunk; another worker then runs that chunk.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nlpsuite.batch.engine import Done, OnBeat, RunChunk, Work
from nlpsuite.plugins.loading import load


def empty_chunks(directory: str, one_in: int, threads: int) -> RunChunk:
    """A worker that only writes a line for each chunk, and dies before one in ``one_in`` chunks."""
    chance = random.Random(os.getpid())
    lines = Path(directory, f"ran-{os.getpid()}")

    def run(chunk: int, on_beat: OnBeat) -> Done:
        if chance.random() * one_in < 1:
            lines.with_name(f"killed-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with lines.open("a") as file:
            file.write(f"{chunk}\n")
        return Done(chunk, rows=256)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", default="local")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one-in", type=int, default=20_000, help="chunks per killed worker, on average")
    parser.add_argument("--quick", action="store_true", help="2,000 chunks, a killed worker per 1,000")
    args = parser.parse_args()
    if args.quick:
        args.chunks, args.one_in = 2_000, 1_000
    run = load("engine", args.engine)
    sys.path.append(str(Path(__file__).parent))  # workers import this file as a module
    with tempfile.TemporaryDirectory() as directory:
        arguments = {"directory": directory, "one_in": args.one_in}
        work = Work("coordinator:empty_chunks", arguments, args.workers)
        taken = 0

        def chunks() -> Iterator[int]:
            nonlocal taken
            for taken in range(1, args.chunks + 1):
                yield taken - 1

        done: Counter[int] = Counter()
        most_ahead = 0
        began = began_cpu = 0.0
        begin = time.perf_counter()
        for said in run(work, chunks()):
            if not isinstance(said, Done):
                continue
            if not done:  # the workers have started: from here on only the coordinator counts
                began, began_cpu = time.perf_counter(), time.process_time()
            done[said.chunk] += 1
            most_ahead = max(most_ahead, taken - len(done))
        ended, ended_cpu = time.perf_counter(), time.process_time()
        lines = (line for file in Path(directory).glob("ran-*") for line in file.read_text().split())
        ran = Counter(map(int, lines))
        killed = len(list(Path(directory).glob("killed-*")))
    assert done == Counter(range(args.chunks)), "a chunk was not reported exactly once"
    assert set(ran) == set(range(args.chunks)), "a chunk was not completed"
    counted = args.chunks - 1
    print(f"{args.engine}: {args.chunks:,} chunks on {args.workers} workers, all completed")
    print(f"first chunk after {began - begin:.2f} s, then {counted / (ended - began):,.0f} chunks/s")
    print(f"coordinator's own CPU time: {(ended_cpu - began_cpu) / counted * 1e6:.0f} µs a chunk")
    print(f"{killed} workers were killed, {ran.total() - len(ran)} chunks were completed twice")
    print(f"at most {most_ahead} chunks were taken ahead of their results")


if __name__ == "__main__":
    main()
