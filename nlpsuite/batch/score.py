"""``nlpsuite score``: a task on every row of a table, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.fingerprint import check_same, job_keys, request_values
from nlpsuite.batch.job import FORMAT, FORMAT_VERSION, Job, job_directory, write_manifest
from nlpsuite.batch.merge import check_columns, check_output_format, result_columns
from nlpsuite.batch.run import JobReport, JobReporter, most_errors, run_job, terminating
from nlpsuite.batch.stage import hash_files, stage, stamps
from nlpsuite.batch.storage import INPUT, MANIFEST, canonical_sha256, clear, discard, job_errors, locked
from nlpsuite.data.records import OPENAI_BATCH, text_columns_of
from nlpsuite.data.tables import Table, open_table
from nlpsuite.errors import InputInvalidError, JobRefusedError, OptionError, StorageError
from nlpsuite.files import sha256_file
from nlpsuite.options import make_options, option_specs
from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.override import PromptOverride

__all__ = ["ScoreRequest", "resume", "score"]


@dataclass(frozen=True)
class ScoreRequest:
    """What to score, and how.

    Attributes:
        task: a name that ``nlpsuite list`` shows.
        input: a file, a pair of files, a directory, or ``-``; empty where ``dataset`` is given.
        dataset: name of a standard data set, such as ``sst2:dev``.
        output: the file of results; the job is kept beside it.
        format: of the input, where its name doesn't say.
        encoding: of the input, where it is text.
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
    from nlpsuite.tasks.override import PromptOverride

    reporter = reporter or JobReporter()
    task = load_task(request.task)
    override = PromptOverride.read(
        task,
        prompt_file=request.prompt_file,
        shots=request.shots,
        max_shots=request.max_shots,
    )
    make_options(task.options, dict(request.options))
    _check_option_columns(task, request)
    check_output_format(request.output, request.format)
    most_errors(request.max_errors, 0)
    find_plugin("engine", request.engine)
    directory = job_directory(request.output)
    _check_output(request, directory)
    with terminating(), locked(directory):
        try:
            if request.overwrite:
                clear(directory)
            job, bundle = _job(request, task, override, directory, reporter)
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


def _job(
    request: ScoreRequest, task: Task[Any], override: PromptOverride, directory: Path, reporter: JobReporter
) -> tuple[Job, str]:
    """The job in the directory if it is the one that is asked for, else a new one; and where its model is."""
    from nlpsuite.tasks.load import resolve_bundle
    from nlpsuite.tasks.pipeline import default_options

    there = Job.open(directory) if (directory / MANIFEST).exists() else None
    table = _table(request, directory)
    before = stamps(table.files)
    path, notices = resolve_bundle(
        task, model=request.model, adapter=request.adapter, precision=request.precision, reporter=reporter
    )
    bundle = Bundle.open(path)
    for notice in [*notices, *default_options(task, bundle, override)[1]]:
        reporter.notice(notice)
    keys = job_keys(request, task, override, table, hash_files(table.files), bundle)
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
        if rows <= keys["chunk_rows"] and keys["reader"]["format"] not in ("jsonl", "ndjson"):
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
    job = write_manifest(directory, manifest)
    _forget_stdin(table, directory)
    return job, where


def _settle(
    request: ScoreRequest, task: Task[Any], table: Table, keys: dict[str, Any], columns: Sequence[str]
) -> None:
    """Check what is asked of the columns, and put the text's into the keys."""
    if not columns:
        raise InputInvalidError(
            f"{table.name} has no row that can be read.", hint="Is it of the kind that its name says?"
        )
    if keys["reader"].get("format") != OPENAI_BATCH:
        keys["text_columns"] = list(text_columns_of(task, table, columns, request.text_columns))
        check_columns(columns, result_columns(bool(task.labels), bool(request.guard), request.prefix))
    for option, column in request.option_columns.items():
        if column not in columns:
            raise OptionError(
                f"{table.name} has no column {column!r} for the option {option}.",
                hint=f"Columns: {', '.join(map(repr, columns))}.",
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
            request.input, format=request.format, directory_for_stdin=directory, encoding=request.encoding
        )


def _check_option_columns(task: Task[Any], request: ScoreRequest) -> None:
    known = [spec.name for spec in option_specs(task.options)]
    for name in request.option_columns:
        if name not in known:
            raise OptionError(f"There is no option {name!r}.", hint=f"Options: {', '.join(known)}.")


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
