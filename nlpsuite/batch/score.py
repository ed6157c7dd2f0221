"""``nlpsuite score``: a task on every row of a table, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.fingerprint import check_same, job_keys, request_values
from nlpsuite.batch.job import FORMAT, FORMAT_VERSION, Job, job_directory, write_manifest
from nlpsuite.batch.merge import check_columns, check_output_format, result_columns
from nlpsuite.batch.run import JobReport, JobReporter, most_errors, run_job, terminating
from nlpsuite.batch.stage import stage, stamps
from nlpsuite.batch.storage import INPUT, MANIFEST, canonical_sha256, clear, discard, job_errors, locked
from nlpsuite.data.columns import Selection, check_option_columns, select_columns
from nlpsuite.data.tables import Table, open_table
from nlpsuite.data.writing import check_writable
from nlpsuite.errors import JobRefusedError, OptionError, StorageError
from nlpsuite.files import sha256_file
from nlpsuite.options import make_options
from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["ScoreRequest", "resume", "score"]

_RAGGED = ("json", "jsonl", "ndjson", "openai-batch")  # rows need not have the same columns


@dataclass(frozen=True)
class ScoreRequest:
    """What to score, and how.

    Attributes:
        task: a name that ``nlpsuite list`` shows.
        input: a file, a pair of files, a directory, or ``-``; empty where ``dataset`` is given.
        dataset: name of a standard data set, such as ``sst2:dev``.
        output: the file of results; the job is kept beside it.
        format: of the input, where its name doesn't say.
        encoding, delimiter, escape: of the input, where it is text; see ``open_table``.
        text_columns: with the text, or its parts; by default the task's usual one.
        id_column: with a unique id; without it a row's id is its index.
        option_columns: option of the task to the column that has its value.
        options: of the task.
        limit: only the first so many rows.
        chunk_rows: rows that are scored and committed together; 0 takes 256 for a task with labels and
            32 for one that generates.
        prefix: of the names of the columns that are added.
        model, adapter, precision, device, prompt_file, shots, max_shots, guard, max_parts: as in
            ``nlpsuite.load``.
        engine, workers, threads, address: what runs the chunks, see ``nlpsuite.batch.engine``; 0 is chosen
            from the machine and the model.
        max_errors: most rows that may fail: a number, or a share such as ``5%``; empty for any number.
        overwrite: begin anew, whatever is there.
    """

    task: str
    output: Path
    input: str = ""
    dataset: str = ""
    format: str = ""
    encoding: str = "utf-8"
    delimiter: str = ""
    escape: str = ""
    text_columns: tuple[str, ...] = ()
    id_column: str = ""
    option_columns: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    chunk_rows: int = 0
    prefix: str = ""
    model: str | None = None
    adapter: str | None = None
    precision: str | None = None
    device: str = "auto"
    prompt_file: str | None = None
    shots: str | None = None
    max_shots: int | None = None
    guard: str | None = None
    max_parts: int = 64
    engine: str = "local"
    workers: int = 0
    threads: int = 0
    address: str = ""
    max_errors: str = ""
    overwrite: bool = False


def score(request: ScoreRequest, reporter: JobReporter | None = None) -> JobReport:
    """Score a table, or go on with the job that is there already.

    Raises:
        JobRefusedError: the output exists, is an input, or belongs to a job with another fingerprint, whose
            differing keys are named; or another process works on it.
        TooManyErrorsError: more rows failed than ``max_errors`` allows.
        JobStorageError: a file can't be read or written.
        NlpsuiteError: what is wrong with the input, the options, the plugin or the model.
        KeyboardInterrupt, Terminated: the job was ended; the same request goes on with it.
    """
    from nlpsuite.plugins import load_task
    from nlpsuite.tasks.adjust import adjust

    reporter = reporter or JobReporter()
    task = adjust(
        load_task(request.task),
        prompt_file=request.prompt_file,
        shots=request.shots,
        max_shots=request.max_shots,
    )
    make_options(task.options, dict(request.options))
    check_option_columns(task, request.option_columns)
    check_output_format(request.output, request.format)
    most_errors(request.max_errors, 0)
    find_plugin("engine", request.engine)
    directory = job_directory(request.output)
    _check_output(request, directory)
    with terminating(), locked(directory):
        try:
            if request.overwrite:
                clear(directory)
            job, bundle = _job(request, task, directory, reporter)
            return run_job(job, {**request_values(request), "bundle": bundle}, reporter)
        except BaseException:
            if not (directory / MANIFEST).exists():
                with contextlib.suppress(StorageError):
                    discard(directory)
            raise


def resume(directory: Path, reporter: JobReporter | None = None, **changed: Any) -> JobReport:
    """Go on with a job from what its directory holds; the input itself is not needed.

    Args:
        changed: ``engine``, ``workers``, ``threads``, ``address`` or ``max_errors`` in place of the job's.

    Raises:
        As ``score``.
    """
    job = Job.open(directory)
    request = job.manifest["request"]
    # The job may have been moved since: its result is beside it.
    output = os.path.abspath(directory.parent / Path(request["output"]).name)
    values = {**request, "bundle": job.manifest["bundle"], "output": output, **changed}
    with terminating(), locked(directory):
        return run_job(job, values, reporter or JobReporter())


def _job(request: ScoreRequest, task: Task[Any], directory: Path, reporter: JobReporter) -> tuple[Job, str]:
    """The job in the directory if it is the one that is asked for, else a new one; and where its model is."""
    from nlpsuite.tasks.load import resolve_bundle
    from nlpsuite.tasks.pipeline import preset_options

    there = Job.open(directory) if (directory / MANIFEST).exists() else None
    table = _table(request, directory)
    before = stamps(table.files)
    path, notices = resolve_bundle(
        task, model=request.model, adapter=request.adapter, precision=request.precision, reporter=reporter
    )
    bundle = Bundle.open(path)
    for notice in [*notices, *preset_options(task, bundle)[1]]:
        reporter.notice(notice)
    with job_errors(directory):
        input_sha256 = table.sha256()
    keys = job_keys(request, task, table, input_sha256, bundle)
    where = os.fspath(bundle.path.resolve())
    if there is not None:
        _settle(request, task, table, keys, there.manifest["columns"])
        check_same(there.manifest["keys"], keys, directory)
        _forget_stdin(table, directory)
        return there, where
    shutil.rmtree(directory / INPUT, ignore_errors=True)
    reporter.stage(f"Reading {table.name}", None)

    def on_rows(rows: int, columns: Sequence[str]) -> None:
        # Where all rows have the same columns, what is wrong with them shows in the first chunk.
        if columns and rows <= keys["chunk_rows"] and keys["reader"]["format"] not in _RAGGED:
            _settle(request, task, table, dict(keys), columns)

    staged = stage(
        table,
        directory,
        chunk_rows=keys["chunk_rows"],
        id_column=request.id_column or table.id,
        limit=request.limit,
        on_rows=on_rows,
    )
    reporter.close()
    if stamps(table.files) != before:
        raise JobRefusedError(f"{table.name} changed while it was read.", hint="Give the same command again.")
    _settle(request, task, table, keys, staged.columns)
    with job_errors(request.output):
        replaces = sha256_file(request.output) if request.output.exists() else ""
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "fingerprint": canonical_sha256(keys),
        "keys": keys,
        "rows": staged.rows,
        "damaged": staged.damaged,
        "columns": list(staged.columns),
        "reference": table.reference,
        "typed": bool(table.schema),
        "schema": table.schema.hex(),
        "labels": bool(task.labels),
        "prefix": request.prefix,
        "input": table.name,
        "bundle": where,
        "model": bundle.name,
        "replaces": replaces,
        "request": request_values(request),
        "recorded": reporter.recorded(),
    }
    if not table.is_openai_batch:
        _check_writable(Job(directory, manifest), request.output)
    job = write_manifest(directory, manifest)
    _forget_stdin(table, directory)
    return job, where


def _settle(
    request: ScoreRequest, task: Task[Any], table: Table, keys: dict[str, Any], columns: Sequence[str]
) -> None:
    """Check what is asked of the columns, and put the text's into the keys."""
    asked = Selection(request.text_columns, id=request.id_column, options=request.option_columns)
    chosen = select_columns(task, table, columns, asked)
    if chosen.requests:
        return
    keys["text_columns"] = list(chosen.text)
    if chosen.messages:  # jobs of earlier versions don't have the key
        keys["messages_column"] = chosen.messages
    check_columns(columns, result_columns(bool(task.labels), bool(request.guard), request.prefix))


def _check_writable(job: Job, output: Path) -> None:
    """Refuse what couldn't be written after hours of scoring. Raises InputInvalidError with the column."""

    def rows() -> Iterator[Mapping[str, Any]]:
        return (row["values"] for chunk in range(job.chunks) for row in job.staged(chunk))

    check_writable(
        check_output_format(output), rows, job.manifest["columns"], bytes.fromhex(job.manifest["schema"])
    )


def _forget_stdin(table: Table, directory: Path) -> None:
    """Standard input was kept to be read twice; its rows are in chunks now."""
    with job_errors(directory):
        for file in table.files:
            if file.parent == directory:
                file.unlink(missing_ok=True)


def _table(request: ScoreRequest, directory: Path) -> Table:
    if bool(request.input) == bool(request.dataset):
        raise OptionError("Name either an input or a --dataset.", hint="For example: reviews.csv")
    if request.dataset:
        from nlpsuite.data.datasets import open_dataset

        return open_dataset(request.dataset)
    with job_errors(directory):
        return open_table(
            request.input,
            format=request.format,
            encoding=request.encoding,
            delimiter=request.delimiter,
            escape=request.escape,
            directory_for_stdin=directory,
        )


def _check_output(request: ScoreRequest, directory: Path) -> None:
    output = request.output
    if not output.parent.is_dir():
        raise StorageError(f"There is no directory {output.parent}.", hint="Create it first.")
    if output.is_dir():
        raise StorageError(f"The output {output} is a directory.", hint="Name a file.")
    for name in {request.input, *request.input.split(",")} - {"", "-"}:
        path = Path(name)
        if path.is_dir() and path.resolve() in output.resolve().parents:
            raise JobRefusedError(
                f"The output {output} is in the folder {name}, whose files are the input.",
                hint="Choose another place: the next time it would be an input itself.",
            )
        if output.exists() and path.exists() and output.samefile(path):
            raise JobRefusedError(f"The output {output} is also an input.", hint="Choose another name.")
    if output.exists() and not (directory / MANIFEST).exists() and not request.overwrite:
        raise JobRefusedError(f"The output {output} exists.", hint="Use --overwrite to replace it.")
