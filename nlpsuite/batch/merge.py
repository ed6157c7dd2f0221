"""The result of a job: one file, in the input's order, with the input's columns kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nlpsuite.batch.job import Job, JobRow
from nlpsuite.batch.storage import canonical, job_errors
from nlpsuite.data.openai_batch import response_line
from nlpsuite.data.tables import OPENAI_BATCH
from nlpsuite.data.writing import find_writer
from nlpsuite.errors import InputInvalidError, JobRefusedError, JobStorageError, StorageError
from nlpsuite.files import atomic_write, sha256_file
from nlpsuite.plugins.loading import load

__all__ = ["check_columns", "check_output_format", "check_replaceable", "merge", "result_columns"]


def check_output_format(output: Path, format: str = "") -> str:
    """The suffix of an output, of which there must be a writer.

    Args:
        format: of the job's reader.

    Raises:
        InputInvalidError: there is none; lists those that there are.
    """
    suffix = find_writer(output)
    if format == OPENAI_BATCH and suffix not in ("jsonl", "ndjson"):
        raise InputInvalidError(
            f"Responses of the OpenAI Batch API are lines of JSON, {output.name} is named as something else.",
            hint="Name a file .jsonl.",
        )
    return suffix


def result_columns(labels: bool, guard: bool, prefix: str) -> list[str]:
    """The columns that a job adds to those of its input.

    Args:
        labels: the task's answers are labels.
        guard: the outputs are screened.
    """
    of_task = ["confidence", "probabilities"] if labels else ["data"]
    names = ["output", *of_task, *(["guard"] if guard else []), "status", "error"]
    return [prefix + name for name in names]


def check_columns(columns: Sequence[str], added: Sequence[str]) -> None:
    """Raises InputInvalidError if the input has a column of a name that the job adds."""
    if clash := [name for name in added if name in columns]:
        raise InputInvalidError(
            f"The input has a column {clash[0]!r} already.",
            hint="Call the new columns otherwise, for example with --prefix new_.",
        )


def check_replaceable(job: Job, output: Path, new: str = "") -> None:
    """What is at an output may be replaced if the job has written it, or was allowed to replace it.

    Args:
        new: sha256 of what is to be written; what is the same need not be spared.

    Raises:
        JobRefusedError: it is something else.
    """
    with job_errors(output):
        there = sha256_file(output) if output.exists() else ""
    written = job.report().get("written", {}).values()
    if there and there not in (*written, job.manifest["replaces"], new):
        raise JobRefusedError(
            f"The output {output} exists and is not what the job {job.path} has written.",
            hint="Move it away, and give the same command again.",
        )


def merge(job: Job, output: Path, check: Callable[[str], None] = lambda sha256: None) -> str:
    """Write a complete job's result; the file is there whole or not at all.

    Args:
        check: told the result's sha256 before it is at its place; what it raises leaves the place as it is.

    Returns:
        The result's sha256.

    Raises:
        InputInvalidError: the job is not complete, or the kind of file can't hold a value.
        JobStorageError: a file can't be read or written.
    """
    suffix = check_output_format(output)
    try:
        with atomic_write(output) as file:
            if job.manifest["keys"]["reader"].get("format") == OPENAI_BATCH:
                for row in job.rows():
                    file.write(canonical(response_line(row, job.manifest)) + b"\n")
            else:
                _write_table(job, suffix, file)
            file.flush()
            with os.fdopen(os.dup(file.fileno()), "rb") as written:
                written.seek(0)
                sha256 = hashlib.file_digest(written, "sha256").hexdigest()
            check(sha256)
    except JobStorageError:
        raise
    except StorageError as error:
        raise JobStorageError(
            error.message,
            hint="What was scored is kept: the same command writes the result once there is room.",
        ) from error
    return sha256


def _write_table(job: Job, suffix: str, file: BinaryIO) -> None:
    manifest = job.manifest
    labels, guard, prefix = manifest["labels"], bool(manifest["keys"]["guard"]), manifest["prefix"]
    added = result_columns(labels, guard, prefix)
    if not labels and not any("data" in (row.get("output") or {}) for row in job.scored_rows()):
        added.remove(f"{prefix}data")
    kept = [name.removeprefix(prefix) for name in added]

    def rows() -> Iterator[Mapping[str, Any]]:
        for row in job.rows():
            values = _added(row)
            yield {**row.values, **{prefix + name: values[name] for name in kept}}

    write = load("writer", suffix)
    write(file, rows, [*manifest["columns"], *added], bytes.fromhex(manifest["schema"]))


def _added(row: JobRow) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(("output", "confidence", "probabilities", "data"))
    if (output := row.output) is not None:
        values["output"] = output.text if output.label is None else output.label
        values["data"] = dict(output.data) or None
        if output.probabilities:
            values["probabilities"] = dict(output.probabilities)
            values["confidence"] = max(output.probabilities.values())
    values["guard"] = row.guard and [flag["kind"] for flag in row.guard["flags"]]
    values["status"] = "error" if row.error else "ok"
    values["error"] = " ".join(filter(None, (row.error["message"], row.error["hint"]))) if row.error else None
    return values
