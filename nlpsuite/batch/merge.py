"""The result of a job: one file, in the input's order, with the input's columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nlpsuite.batch.job import Job
from nlpsuite.batch.storage import canonical, job_errors
from nlpsuite.data.openai_batch import response_line
from nlpsuite.data.tables import OPENAI_BATCH
from nlpsuite.data.writing import find_writer
from nlpsuite.errors import InputInvalidError, JobRefusedError
from nlpsuite.files import atomic_write, sha256_file
from nlpsuite.plugins.loading import load
from nlpsuite.tasks.result import Result

__all__ = [
    "RESULT_COLUMNS",
    "check_columns",
    "check_output_format",
    "check_replaceable",
    "columns_of",
    "merge",
    "result_columns",
    "write_rows",
]

RESULT_COLUMNS = ("output", "confidence", "probabilities", "data", "guard", "status", "error")
"""All columns that hold a result; a file leaves out those that its task or its options don't fill."""


def check_output_format(output: Path, format: str = "") -> str:
    """The suffix of an output file, for which there must be a writer.

    Args:
        format: of the job's reader.

    Raises:
        InputInvalidError: there is none; the hint lists the file types that can be written.
    """
    suffix = find_writer(output)
    if format == OPENAI_BATCH and suffix not in ("jsonl", "ndjson"):
        raise InputInvalidError(
            f"Responses of the OpenAI Batch API are JSON lines, but the output is named {output.name}.",
            hint="Name it .jsonl.",
        )
    return suffix


def result_columns(labels: bool, guard: bool, prefix: str) -> list[str]:
    """The columns that a job adds to those of its input.

    Args:
        labels: the task's answers are labels.
        guard: the outputs are screened.
    """
    left_out = {*(("data",) if labels else ("confidence", "probabilities")), *(() if guard else ("guard",))}
    return [prefix + name for name in RESULT_COLUMNS if name not in left_out]


def check_columns(columns: Sequence[str], added: Sequence[str]) -> None:
    """Raises InputInvalidError if the input already has a column that the job adds."""
    if clash := [name for name in added if name in columns]:
        raise InputInvalidError(
            f"The input already has a column {clash[0]!r}.",
            hint="Rename the added columns, for example with --prefix new_.",
        )


def columns_of(result: Result) -> dict[str, Any]:
    """The value of each of ``RESULT_COLUMNS``."""
    values: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS)
    if result.error is None:
        output = result.output
        values |= {"output": output.answer, "data": dict(output.data) or None}
        if output.probabilities:
            values["probabilities"] = dict(output.probabilities)
            values["confidence"] = max(output.probabilities.values())
    values["guard"] = result.guard and [flag["kind"] for flag in result.guard["flags"]]
    return values | {"status": "error" if result.error else "ok", "error": result.error_text or None}


def write_rows(
    file: BinaryIO,
    suffix: str,
    rows: Callable[[], Iterable[tuple[Mapping[str, Any], Result]]],
    columns: Sequence[str],
    added: Sequence[str],
    *,
    prefix: str = "",
    schema: bytes = b"",
) -> None:
    """Write rows of an input, each with its result.

    Args:
        rows: gives them from the first on, each time it is called.
        columns: of the input.
        added: the result's columns, with the prefix.
        schema: of the input's columns, as ``Table.schema``.
    """

    def merged() -> Iterator[Mapping[str, Any]]:
        for values, result in rows():
            found = columns_of(result)
            yield {**values, **{name: found[name.removeprefix(prefix)] for name in added}}

    load("writer", suffix)(file, merged, [*columns, *added], schema)


def check_replaceable(job: Job, output: Path, new: str = "") -> None:
    """An existing file may be replaced only if the job wrote it, or was started with ``overwrite``. Devices and
    FIFOs aren't replaced but written to.

    Args:
        new: sha256 of the new content; an output that has it already may stay.

    Raises:
        JobRefusedError: the file has another origin.
    """
    with job_errors(output):
        found = sha256_file(output) if output.is_file() else ""
    written = job.report().get("written", {}).values()
    if found and found not in (*written, job.manifest["replaces"], new):
        raise JobRefusedError(
            f"The output {output} exists and wasn't written by the job {job.path}.",
            hint="Move it away, and run the same command again.",
        )


def merge(job: Job, output: Path, check: Callable[[str], None] = lambda sha256: None) -> str:
    """Write a complete job's result atomically.

    Args:
        check: called with the result's sha256 before the result replaces what is at ``output``, which stays
            untouched if this raises.

    Returns:
        The result's sha256.

    Raises:
        InputInvalidError: the job is incomplete, or the file type can't hold a value.
        JobStorageError: a file can't be read or written.
    """
    suffix = check_output_format(output)
    with job_errors(output), atomic_write(output) as file:
        if job.manifest["keys"]["reader"].get("format") == OPENAI_BATCH:
            for row in job.rows():
                file.write(canonical(response_line(row, job.manifest)) + b"\n")
        else:
            _write_table(job, suffix, file)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto
        check(sha256)
    return sha256


def _write_table(job: Job, suffix: str, file: BinaryIO) -> None:
    manifest = job.manifest
    labels, prefix = manifest["labels"], manifest["prefix"]
    added = result_columns(labels, bool(manifest["keys"]["guard"]), prefix)
    if not labels and not any("data" in (row.get("output") or {}) for row in job.scored_rows()):
        added.remove(f"{prefix}data")
    write_rows(
        file,
        suffix,
        lambda: ((row.values, row.result) for row in job.rows()),
        manifest["columns"],
        added,
        prefix=prefix,
        schema=bytes.fromhex(manifest["schema"]),
    )
