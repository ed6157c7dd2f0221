"""Making a job of a request: its input is read, checked and staged, and its manifest written."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpsuite import __version__
from nlpsuite.batch.fingerprint import check_same, effective_options, job_keys
from nlpsuite.batch.job import FORMAT, FORMAT_VERSION, Job, write_manifest
from nlpsuite.batch.merge import check_columns, check_output_format, result_columns
from nlpsuite.batch.stage import Staged, stage, stamps
from nlpsuite.batch.storage import INPUT, MANIFEST, canonical_sha256, clear, job_errors
from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Table, joint_sha256
from nlpsuite.data.writing import check_writable
from nlpsuite.errors import JobRefusedError, OptionError
from nlpsuite.files import sha256_file
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.batch.request import ScoreRequest
    from nlpsuite.batch.run import JobReporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.override import PromptOverride

__all__ = ["prepare"]

_RAGGED = ("json", "jsonl", "ndjson", "openai-batch")  # rows need not have the same columns


def prepare(
    request: ScoreRequest, task: Task[Any], override: PromptOverride, reporter: JobReporter
) -> tuple[Job, dict[str, str], Bundle, Any]:
    """The job in the request's directory if it is the requested one, else a new one. The caller holds the lock.

    Returns:
        The job with its manifest and its input; the sha256 of each input file, by name; the model; and the
        task's options.

    Raises:
        As ``nlpsuite.batch.score.score``.
    """
    directory = request.directory
    existing = Job.open(directory) if (directory / MANIFEST).exists() else None
    table = _open(request, directory)
    before = stamps(table.files)
    bundle = _bundle(request, task, override, reporter)
    given = {**(table.options or {}), **request.options}
    options = effective_options(task, override, bundle, given)
    task = task.for_options(options)
    with job_errors(Path(table.name)):
        digests = table.digests()
    keys = job_keys(request, task, override, table, joint_sha256(digests), bundle)
    draft = _Draft(request, task, table, keys, bundle)
    if existing is not None:
        keys |= draft.column_keys(existing.manifest["columns"])
        if request.output is None and existing.manifest["keys"] != keys:
            clear(directory)  # a job that nobody named
            existing = None
        else:
            check_same(existing.manifest["keys"], keys, directory)
    job = existing or draft.write(before, reporter)
    with job_errors(directory):
        for file in table.files:
            if file.parent == directory:  # the copy of standard input, whose rows are in chunks now
                file.unlink(missing_ok=True)
    return job, {path.name: digest for path, digest in zip(table.files, digests)}, bundle, options


def _open(request: ScoreRequest, directory: Path) -> Table:
    if bool(request.data) == bool(request.dataset):
        raise OptionError("Name either a file or a --dataset.", hint="For example: reviews.csv")
    if request.dataset:
        from nlpsuite.data.datasets import open_dataset

        return open_dataset(request.dataset)
    with job_errors(directory):
        return open_table(request.data, **request.reading, directory_for_stdin=directory)


def _bundle(
    request: ScoreRequest, task: Task[Any], override: PromptOverride, reporter: JobReporter
) -> Bundle:
    from nlpsuite.tasks.load import resolve_bundle
    from nlpsuite.tasks.pipeline import default_options

    path, notices = resolve_bundle(
        task,
        model=request.model,
        adapter=request.adapter,
        precision=request.precision,
        device=cast("DeviceChoice", request.device),
        reporter=reporter,
    )
    bundle = Bundle.open(path)
    for notice in [*notices, *default_options(task, bundle, override)[1]]:
        reporter.notice(notice)
    return bundle


@dataclass(frozen=True)
class _Draft:
    """A job that has no manifest yet.

    Attributes:
        keys: of its fingerprint; those of ``column_keys`` are added once the columns are known.
    """

    request: ScoreRequest
    task: Task[Any]
    table: Table
    keys: dict[str, Any]
    bundle: Bundle

    def column_keys(self, columns: Sequence[str]) -> dict[str, Any]:
        """The keys that say which columns hold the text.

        Args:
            columns: of the input, which must have those that the request names and none that a result adds.
        """
        request, labels = self.request, bool(self.task.labels)
        asked = Selection(request.text_columns, id=request.id_column, options=request.option_columns)
        chosen = select_columns(self.task, self.table, columns, asked)
        if chosen.requests:
            return {}
        check_columns(columns, result_columns(labels, bool(request.guard), request.prefix))
        # Jobs of earlier versions don't have the second key.
        return {"text_columns": list(chosen.text)} | (
            {"messages_column": chosen.messages} if chosen.messages else {}
        )

    def write(self, before: list[tuple[int, int]], reporter: JobReporter) -> Job:
        """Read the input and write the job.

        Args:
            before: ``stamps`` of the input's files when their sha256 was taken.
        """
        directory, table = self.request.directory, self.table
        shutil.rmtree(directory / INPUT, ignore_errors=True)
        reporter.stage(f"Reading {table.name}", None)
        staged = stage(
            table,
            directory,
            chunk_rows=self.keys["chunk_rows"],
            id_column=self.request.id_column or table.id,
            limit=self.request.limit,
            on_rows=self._check_first,
        )
        reporter.close()
        if stamps(table.files) != before:
            raise JobRefusedError(
                f"{table.name} changed while it was being read.", hint="Run the same command again."
            )
        self.keys.update(self.column_keys(staged.columns))
        manifest = self._manifest(staged)
        self._check_writable(Job(directory, manifest))
        return write_manifest(directory, manifest)

    def _check_first(self, rows: int, columns: Sequence[str]) -> None:
        """Where all rows have the same columns, a wrong one shows in the first chunk."""
        if columns and rows <= self.keys["chunk_rows"] and self.keys["reader"]["format"] not in _RAGGED:
            self.column_keys(columns)

    def _check_writable(self, job: Job) -> None:
        """Write the input's rows to nowhere: else an error would come after hours of scoring."""
        if self.request.output and not self.table.is_openai_batch:
            check_writable(
                check_output_format(self.request.output),
                lambda: (row["values"] for chunk in range(job.chunks) for row in job.staged(chunk)),
                job.manifest["columns"],
                self.table.schema,
            )

    def _manifest(self, staged: Staged) -> dict[str, Any]:
        request, table = self.request, self.table
        replaces = ""
        if request.output and request.output.is_file():  # a device or FIFO is written to, not replaced
            with job_errors(request.output):
                replaces = sha256_file(request.output)
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "fingerprint": canonical_sha256(self.keys),
            "keys": self.keys,
            "rows": staged.rows,
            "damaged": staged.damaged,
            "columns": list(staged.columns),
            "reference": table.reference,
            "typed": bool(table.schema),
            "schema": table.schema.hex(),
            "labels": bool(self.task.labels),
            "prefix": request.prefix,
            "input": table.name,
            "bundle": os.fspath(self.bundle.path.resolve()),
            "model": self.bundle.name,
            "replaces": replaces,
            "request": request.values(),
            "recorded": {  # has no effect on the results
                "nlpsuite": __version__,
                "host": platform.node(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "directory": os.getcwd(),
            },
        }
