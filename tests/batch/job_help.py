"""What tests of jobs share: requests on a tiny model, inputs of every kind, and results of every kind read again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.batch.job import Job
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.run import JobReport, JobReporter
from nlpsuite.batch.score import score_request

__all__ = ["Stopped", "ask", "interrupted", "read_back", "run", "write_rows"]

TEXTS = ("a fine film", "dull", "the best of them all", "it is not good", "of the and", "in the end", "again")
IDS = ("007", "1e5", "NA", "null", "0x1F", "-0", "1,000")


def ask(bundle: Path, source: Path | str, output: Path, **more: Any) -> ScoreRequest:
    """A request on a tiny model: chunks of two rows."""
    given: dict[str, Any] = {"task": "sentiment", "chunk_rows": 2, "threads": 1, "workers": 1, **more}
    return ScoreRequest(data=str(source), output=output, model=str(bundle), **given)


def run(bundle: Path, source: Path | str, output: Path, **more: Any) -> JobReport:
    return score_request(ask(bundle, source, output, **more))


class Stopped(JobReporter):
    """Interrupts a job once some rows are done."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def progress(self, rows: int, errors: int, tokens: int) -> None:
        if rows >= self.rows:
            raise KeyboardInterrupt


def interrupted(bundle: Path, source: Path, output: Path, **more: Any) -> Job:
    with pytest.raises(KeyboardInterrupt):
        score_request(ask(bundle, source, output, **more), Stopped(3))
    job = Job.open(output.with_suffix(".job"))
    assert 0 < len(job.shards_there()) < job.chunks and not output.exists()
    return job


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A CSV, TSV, JSON lines or text file, by its suffix."""
    columns = list(rows[0])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"] + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
            writer.writerows([columns, *([row[name] for name in columns] for row in rows)])
    return path


def read_back(path: Path) -> list[dict[str, Any]]:
    """The rows of a result."""
    if path.suffix in (".jsonl", ".ndjson"):
        return [json.loads(line, parse_constant=_no_constant) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            return [dict(row) for row in csv.DictReader(file)]
        header, *lines = [line.rstrip("\n").split("\t") for line in file]
        return [dict(zip(header, line)) for line in lines]


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} isn't JSON")
