"""``nlpsuite jobs`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.batch.job import Job


@pytest.fixture
def job(cli: Any, tiny_bundle: Path, tmp_path: Path) -> Path:
    """A job that is complete, with a row that failed."""
    (tmp_path / "in.txt").write_text("fine\n\ndull\n")
    arguments = [
        "-o",
        tmp_path / "out.jsonl",
        "--model",
        tiny_bundle,
        "--chunk-rows",
        "1",
        "--workers",
        "1",
        "-q",
    ]
    assert cli("score", "sentiment", tmp_path / "in.txt", *arguments).code == 3
    return tmp_path / "out.job"


def test_list(cli, job, tmp_path) -> None:
    outcome = cli("jobs", "list", tmp_path)
    assert outcome.code == 0
    assert outcome.out == f"{job}  sentiment  complete, 1 row failed  3 rows of {tmp_path / 'in.txt'}\n"
    [entry] = json.loads(cli("jobs", "list", tmp_path, "--json").out)
    assert (entry["rows"], entry["task"]) == (3, "sentiment")
    (tmp_path / "empty").mkdir()
    none = cli("jobs", "list", tmp_path / "empty")
    assert (none.code, none.out) == (0, "") and "no jobs" in none.err
    assert cli("jobs", "list", tmp_path / "no").code == 4


def test_show(cli, job) -> None:
    shown = json.loads(cli("jobs", "show", job).out)
    assert shown["manifest"]["keys"]["task"] == "sentiment"
    assert (shown["last_run"]["reason"], shown["last_run"]["errors"]) == ("complete", 1)


def test_resume(cli, job, tmp_path) -> None:
    expected = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    (tmp_path / "in.txt").unlink()
    Job.open(job).shard_path(2).unlink()
    outcome = cli("jobs", "resume", job, "--json", "--quiet")
    assert outcome.code == 3 and outcome.err == ""
    assert json.loads(outcome.out)["scored"] == 2  # what was missing, and what had failed
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    few = cli("jobs", "resume", job, "--max-errors", "0", "-q")
    assert few.code == 3 and "allows 0" in few.err


def test_verify(cli, job, tmp_path) -> None:
    whole = cli("jobs", "verify", job)
    assert (whole.code, whole.out) == (0, f"{job} is intact.\n")
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write("\n")
    changed = cli("jobs", "verify", job)
    assert changed.code == 4 and "was changed after it was written" in changed.err


def test_remove(cli, job, tmp_path) -> None:
    assert cli("jobs", "rm", job).code == 0
    assert not job.exists() and (tmp_path / "out.jsonl").exists()
    for verb in ("show", "resume", "verify", "rm"):
        outcome = cli("jobs", verb, job)
        assert outcome.code == 4 and "There is no job" in outcome.err and "jobs list" in outcome.err
