"""The result of a job: one file, in the input's order, with the input's columns kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, JobStorageError, StorageError
from nlpsuite.files import atomic_write
from nlpsuite.jobs.job import Job, JobRow, canonical
from nlpsuite.jobs.openai_batch import response_line
from nlpsuite.jobs.records import OPENAI_BATCH
from nlpsuite.plugins.discovery import known_plugins
from nlpsuite.plugins.loading import load

__all__ = ["check_columns", "check_output_format", "merge", "result_columns"]


def check_output_format(output: Path) -> str:
    """The suffix of an output, of which there must be a writer.

    Raises:
        InputInvalidError: there is none; lists those that there are.
    """
    known = sorted(plugin.name for plugin in known_plugins() if plugin.kind == "writer")
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in known:
        raise InputInvalidError(
            f"{output} is of no kind that can be written.", hint=f"Name a file .{', .'.join(known)}."
        )
    return suffix


def result_columns(task_has_labels: bool, prefix: str) -> list[str]:
    """The columns that a job adds to those of its input."""
    names = ["output", *(["confidence", "probabilities"] if task_has_labels else ["data"]), "status", "error"]
    return [prefix + name for name in names]


def check_columns(columns: Sequence[str], added: Sequence[str]) -> None:
    """Raises InputInvalidError if the input has a column of a name that the job adds."""
    if clash := [name for name in added if name in columns]:
        raise InputInvalidError(
            f"The input has a column {clash[0]!r} already.",
            hint="Call the new columns otherwise, for example with --prefix new_.",
        )


def merge(job: Job, output: Path) -> None:
    """Write a complete job's result; the file is there whole or not at all.

    Raises:
        InputInvalidError: the job is not complete, or the kind of file can't hold a value.
        JobStorageError: a file can't be read or written.
    """
    suffix = check_output_format(output)
    manifest = job.manifest
    try:
        with atomic_write(output) as file:
            if manifest["keys"]["reader"].get("format") == OPENAI_BATCH:
                for row in job.rows():
                    file.write(canonical(response_line(row, manifest)) + b"\n")
                return
            labels, prefix = manifest["labels"], manifest["prefix"]
            added = result_columns(labels, prefix)
            if not labels and not any(row.output and row.output.data for row in job.rows()):
                added.remove(f"{prefix}data")

            def rows() -> Iterator[Mapping[str, Any]]:
                for row in job.rows():
                    yield {
                        **row.values,
                        **{name: value for name, value in _added(row, prefix) if name in added},
                    }

            write = load("writer", suffix)
            write(file, rows, [*manifest["columns"], *added], bytes.fromhex(manifest["schema"]))
    except JobStorageError:
        raise
    except StorageError as error:
        raise JobStorageError(
            error.message,
            hint="What was scored is kept: the same command writes the result once there is room.",
        ) from error


def _added(row: JobRow, prefix: str) -> Iterator[tuple[str, Any]]:
    output = row.output
    values: dict[str, Any] = {"output": None, "confidence": None, "probabilities": None, "data": None}
    if output is not None:
        probabilities = dict(output.probabilities) if output.probabilities else None
        values = {
            "output": output.text if output.label is None else output.label,
            "confidence": max(probabilities.values()) if probabilities else None,
            "probabilities": probabilities,
            "data": dict(output.data) or None,
        }
    values["status"] = "error" if row.error else "ok"
    values["error"] = " ".join(filter(None, (row.error["message"], row.error["hint"]))) if row.error else None
    for name, value in values.items():
        yield prefix + name, value
