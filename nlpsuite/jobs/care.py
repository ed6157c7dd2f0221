"""Looking after jobs: list, describe, verify, remove."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.files import sha256_file
from nlpsuite.jobs.job import Job, canonical_sha256, job_errors, locked
from nlpsuite.jobs.merge import merge
from nlpsuite.jobs.run import survey

__all__ = ["described", "jobs_in", "remove_job", "verified"]


def jobs_in(directory: Path) -> list[dict[str, Any]]:
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
        except (InputInvalidError, InputNotFoundError):
            jobs.append({"path": os.fspath(path), "task": "-", "input": "-", "rows": 0, "state": "damaged"})
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
    there, report = len(job.shards_there()), job.report()
    if there < job.chunks:
        return f"{100 * there // job.chunks}% done"
    if report.get("reason") != "complete":
        return "not written yet"
    return f"complete, {report['errors']:,} rows failed" if report["errors"] else "complete"


def described(path: Path) -> dict[str, Any]:
    """A job's manifest, its state and how its last run ended."""
    job = Job.open(path)
    return {
        "path": os.fspath(path),
        "state": _state(job),
        "manifest": dict(job.manifest),
        "last_run": job.report(),
    }


def verified(path: Path) -> list[str]:
    """What is wrong with a job: its manifest, its shards, its rows, its result; nothing if all is whole."""
    job = Job.open(path)
    problems = []
    if canonical_sha256(job.manifest["keys"]) != job.manifest["fingerprint"]:
        problems.append("The manifest's keys are not those of its fingerprint.")
    found = survey(job)
    problems += [f"Shard {chunk} is damaged." for chunk in found.damaged]
    if missing := len(found.missing) - len(found.damaged):
        return [*problems, f"{missing:,} of {job.chunks:,} chunks are not scored yet."]
    report = job.report()
    if problems or report.get("reason") != "complete":
        return problems or ["The result has not been written yet."]
    output = Path(report["output"])
    with job_errors(output):
        if not output.exists():
            return [f"The result {output} is gone."]
        if sha256_file(output) != report["output_sha256"]:
            problems.append(f"The result {output} was changed after it was written.")
        with tempfile.TemporaryDirectory(dir=job.path) as place:
            again = Path(place, output.name)
            merge(job, again)
            if sha256_file(again) != report["output_sha256"]:
                problems.append("The result is not what the shards give.")
    return problems


def remove_job(path: Path) -> None:
    """Remove a job's directory, the manifest first: a directory without one is no job.

    Raises:
        InputNotFoundError: there is no job.
        JobRefusedError: a process works on it.
    """
    job = Job.open(path)
    with locked(path), job_errors(path):
        (job.path / "manifest.json").unlink()
        shutil.rmtree(job.path)
