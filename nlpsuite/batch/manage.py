"""Managing jobs: list, describe, verify, remove."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from nlpsuite.batch.job import Job
from nlpsuite.batch.merge import merge
from nlpsuite.batch.run import pluralize, survey
from nlpsuite.batch.storage import LOCK, MANIFEST, canonical_sha256, discard, job_errors, locked
from nlpsuite.batch.worker import input_sha256
from nlpsuite.errors import InputInvalidError, InputNotFoundError, JobStorageError
from nlpsuite.files import sha256_file

__all__ = ["describe", "list_jobs", "remove_job", "verify"]


def list_jobs(directory: Path) -> list[dict[str, Any]]:
    """The jobs in a directory by name: path, task, input, rows and state.

    Raises:
        InputNotFoundError: there is no such directory.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".job" and path.is_dir())
    except OSError as error:
        raise InputNotFoundError(f"Can't read {directory}: {error.strerror or error}.") from None
    jobs = []
    for path in paths:
        try:
            job = Job.open(path)
        except (InputInvalidError, InputNotFoundError) as error:
            state = "corrupt" if isinstance(error, InputInvalidError) else "not started"
            if state == "corrupt" or (path / LOCK).exists():  # else the directory isn't a job
                jobs.append({"path": os.fspath(path), "task": "-", "input": "-", "rows": 0, "state": state})
            continue
        values = {
            "task": job.manifest["keys"]["task"],
            "input": job.manifest["input"],
            "rows": job.rows_total,
        }
        jobs.append({"path": os.fspath(path), **values, "state": _state(job)})
    return jobs


def _state(job: Job) -> str:
    """In a word or two, without reading the shards."""
    shards, report = len(job.shards_there()), job.report()
    if shards < job.chunks:
        return f"{100 * shards // job.chunks}% done"
    if report.get("reason") != "complete":
        return "not written yet"
    return f"complete, {pluralize(report['errors'], 'row')} failed" if report["errors"] else "complete"


def describe(path: Path) -> dict[str, Any]:
    """A job's manifest, its state, and how its last run ended."""
    job = Job.open(path)
    return {
        "path": os.fspath(path),
        "state": _state(job),
        "manifest": dict(job.manifest),
        "last_run": job.report(),
    }


def verify(path: Path) -> list[str]:
    """Problems with a job's manifest, input, shards and result; an empty list if it is intact."""
    job = Job.open(path)
    problems = []
    if canonical_sha256(job.manifest["keys"]) != job.manifest["fingerprint"]:
        problems.append("The manifest's keys don't match its fingerprint.")
    found = survey(job)
    problems += [f"Shard {chunk:,} is corrupt." for chunk in found.corrupt]
    problems += [problem for chunk in range(job.chunks) for problem in _chunk_problems(job, chunk)]
    if missing := len(found.missing) - len(found.corrupt):
        return [*problems, f"{missing:,} of {job.chunks:,} chunks haven't been scored yet."]
    report = job.report()
    if problems or report.get("reason") != "complete":
        return problems or ["The result hasn't been written yet."]
    if "output" not in report:  # the job of an evaluation
        return []
    output = path.parent / Path(report["output"]).name  # both may have been moved
    with job_errors(output):
        if not output.exists():
            return [f"The result {output} is missing."]
        if output.is_file() and sha256_file(output) != report["output_sha256"]:
            problems.append(f"The result {output} was changed after it was written.")
        prefix = f".incomplete-{os.getpid()}-"
        with tempfile.TemporaryDirectory(dir=job.path, prefix=prefix) as place:
            if merge(job, Path(place, output.name)) != report["output_sha256"]:
                problems.append("The result doesn't match the shards.")
    return problems


def _chunk_problems(job: Job, chunk: int) -> list[str]:
    try:
        staged = job.staged(chunk)
    except JobStorageError as error:
        return [error.message]
    first = chunk * job.chunk_rows
    expected = [(first + i, row["id"], input_sha256(row)) for i, row in enumerate(staged)]
    scored = [(row["index"], row["id"], row["input_sha256"]) for row in job.shard(chunk) or []]
    return [f"Shard {chunk:,} belongs to another input."] if scored and scored != expected else []


def remove_job(path: Path) -> None:
    """Remove a job's directory, even if its manifest is corrupt or was never written.

    Raises:
        InputNotFoundError: there is no job.
        JobRefusedError: a process works on it.
    """
    if not ((path / MANIFEST).exists() or (path / LOCK).exists()):
        raise InputNotFoundError(
            f"There is no job in {path}.",
            hint="`nlpsuite jobs list DIRECTORY` lists the jobs in a directory.",
        )
    with locked(path):
        discard(path)
