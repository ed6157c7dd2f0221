"""Scoring: a task on every row of a data set, in a job that survives interruptions."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.batch.fingerprint import check_same, job_keys
from nlpsuite.batch.job import FORMAT, FORMAT_VERSION, Job, write_manifest
from nlpsuite.batch.merge import check_columns, check_output_format, result_columns
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.run import JobReport, JobReporter, parse_max_errors, run_job, terminating
from nlpsuite.batch.stage import stage, stamps
from nlpsuite.batch.storage import INPUT, MANIFEST, canonical_sha256, clear, discard, job_errors, locked
from nlpsuite.data.columns import Selection, check_option_columns, select_columns
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Table, joint_sha256
from nlpsuite.data.writing import check_writable
from nlpsuite.errors import JobRefusedError, OptionError, StorageError
from nlpsuite.files import check_output, sha256_file
from nlpsuite.options import make_options
from nlpsuite.plugins.registry import find_plugin
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.override import PromptOverride

__all__ = ["OpenJob", "open_job", "resume", "score", "score_request"]


def score(
    task: str,
    data: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] = "",
    *,
    dataset: str | None = None,
    options: Mapping[str, Any] | None = None,
    option_columns: Mapping[str, str] | None = None,
    format: str = "",
    encoding: str = "utf-8",
    delimiter: str = "",
    escape: str = "",
    text_columns: Sequence[str] = (),
    id_column: str | None = None,
    limit: int | None = None,
    prefix: str = "",
    overwrite: bool = False,
    max_errors: str | int = "",
    chunk_rows: int = 0,
    model: str | None = None,
    adapter: str | None = None,
    precision: str | None = None,
    device: str = "auto",
    max_parts: int = 64,
    prompt_file: str | None = None,
    shots: str | None = None,
    max_shots: int | None = None,
    guard: str | None = None,
    engine: str = "local",
    workers: int = 0,
    threads: int | None = None,
    address: str = "",
    reporter: JobReporter | None = None,
) -> JobReport:
    """Run a task on every row of a data set and write one file of results.

    Progress is saved beside the output, in ``OUTPUT.job``. If interrupted, call again with the same arguments
    to resume: the result has the same bytes as that of an uninterrupted run.

    Args:
        task: a name that ``nlpsuite list`` shows.
        data: a file, a pair of files, a directory, or ``-`` for standard input.
        output: the file of results: ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``.
        dataset: a standard data set in place of ``data``, such as ``sst2:dev``.
        options: of the task.
        option_columns: option of the task to the column that holds its value.
        format: file type of the data, where its name doesn't say.
        encoding, delimiter, escape: of the data, where it is text; see ``open_table``.
        text_columns: columns of the text, joined; by default the task's usual one.
        id_column: column with a unique id; without it a row's id is its index.
        limit: score only the first rows, this many.
        prefix: of the names of the added columns.
        overwrite: start over, whatever exists.
        max_errors: stop when more rows fail: a number, or a share such as ``5%``; empty for no limit.
        chunk_rows: rows that are scored and committed together; 0 for 256 where the task chooses among labels
            and 32 where it generates.
        model, adapter, precision, device, max_parts, prompt_file, shots, max_shots, guard: as in
            ``nlpsuite.load``.
        engine, workers, threads, address: what runs the chunks, see ``nlpsuite.batch.engine``; 0 workers or
            threads fits them to the machine and the model.
        reporter: receives progress.

    Raises:
        JobRefusedError: the output exists, or belongs to a job with other settings, which are named; or another
            process works on the job.
        TooManyErrorsError: more rows failed than ``max_errors`` allows.
        JobStorageError: a file can't be read or written.
        NlpsuiteError: the input, the options, the plugin or the model can't be used.
        KeyboardInterrupt, Terminated: the job was interrupted.
    """
    arguments = dict(locals())  # their names are those of ScoreRequest
    del arguments["reporter"]
    if not output:
        raise OptionError("score needs an output.", hint="Name a file of results, such as scored.csv.")
    return score_request(ScoreRequest.of(**arguments), reporter)


_RAGGED = ("json", "jsonl", "ndjson", "openai-batch")  # rows need not have the same columns


@dataclass(frozen=True)
class OpenJob:
    """A job that is ready to run, and locked.

    Attributes:
        job: with its manifest and its input.
        sources: sha256 of each input file, by name.
    """

    job: Job
    sources: Mapping[str, str]
    _settings: Mapping[str, Any]
    _reporter: JobReporter

    def run(self) -> JobReport:
        """Score the rows that are missing or failed, and write the result. Raises as ``score``."""
        return run_job(self.job, self._settings, self._reporter)

    def accept_output(self) -> None:
        """Treat the output as written by the job although its content was changed since."""
        output = Path(self._settings["output"])
        report = self.job.report()
        report["written"] = {**report.get("written", {}), f"{output.name}, changed": sha256_file(output)}
        self.job.write_report(report)


def score_request(request: ScoreRequest, reporter: JobReporter | None = None) -> JobReport:
    """Run a request. Raises as ``score``."""
    with open_job(request, reporter or JobReporter()) as opened:
        return opened.run()


@contextmanager
def open_job(request: ScoreRequest, reporter: JobReporter) -> Iterator[OpenJob]:
    """The request's job: the existing one, or a new one with its input read.

    While it is open the job is locked, and SIGTERM raises ``Terminated``.

    Raises:
        As ``score``.
    """
    from nlpsuite.plugins import load_task
    from nlpsuite.tasks.override import PromptOverride

    task = load_task(request.task)
    override = PromptOverride.read(
        task,
        prompt_file=request.prompt_file,
        shots=request.shots,
        max_shots=request.max_shots,
    )
    make_options(task.options, dict(request.options))
    check_option_columns(task, request.option_columns)
    parse_max_errors(request.max_errors, 0)
    find_plugin("engine", request.engine)
    directory = request.directory
    if request.output:
        check_output_format(request.output, request.format)
        _check_output(request, request.output, directory)
    with terminating(), locked(directory):
        try:
            if request.overwrite:
                clear(directory)
            job, sources, bundle = _prepare(request, task, override, directory, reporter)
            yield OpenJob(job, sources, {**request.values(), "bundle": bundle}, reporter)
        except BaseException:
            if not (directory / MANIFEST).exists():
                with contextlib.suppress(StorageError):
                    discard(directory)
            raise


def resume(directory: Path, reporter: JobReporter | None = None, **changed: Any) -> JobReport:
    """Resume a job from what its directory holds; its input isn't needed.

    Args:
        changed: ``engine``, ``workers``, ``threads``, ``address`` or ``max_errors`` in place of the job's.

    Raises:
        As ``score``.
    """
    job = Job.open(directory)
    settings = {**job.manifest["request"], "bundle": job.manifest["bundle"], **changed}
    if settings["output"]:  # it is beside the job, which may have been moved
        settings["output"] = os.path.abspath(directory.parent / Path(settings["output"]).name)
    with terminating(), locked(directory):
        return run_job(job, settings, reporter or JobReporter())


def _prepare(
    request: ScoreRequest, task: Task[Any], override: PromptOverride, directory: Path, reporter: JobReporter
) -> tuple[Job, dict[str, str], str]:
    """The job in the directory if it is the requested one, else a new one; its input files; its model's path."""
    from nlpsuite.tasks.load import resolve_bundle
    from nlpsuite.tasks.pipeline import default_options

    existing = Job.open(directory) if (directory / MANIFEST).exists() else None
    table = _table(request, directory)
    before = stamps(table.files)
    path, notices = resolve_bundle(
        task, model=request.model, adapter=request.adapter, precision=request.precision, reporter=reporter
    )
    bundle = Bundle.open(path)
    for notice in [*notices, *default_options(task, bundle, override)[1]]:
        reporter.notice(notice)
    with job_errors(Path(table.name)):
        digests = table.digests()
    sources = {path.name: digest for path, digest in zip(table.files, digests)}
    keys = job_keys(request, task, override, table, joint_sha256(digests), bundle)
    bundle_path = os.fspath(bundle.path.resolve())
    if existing is not None:
        _check_table(request, task, table, keys, existing.manifest["columns"])
        if request.output is None and existing.manifest["keys"] != keys:
            clear(directory)  # a job that nobody named
            existing = None
    if existing is not None:
        check_same(existing.manifest["keys"], keys, directory)
        _forget_stdin(table, directory)
        return existing, sources, bundle_path
    shutil.rmtree(directory / INPUT, ignore_errors=True)
    reporter.stage(f"Reading {table.name}", None)

    def on_rows(rows: int, columns: Sequence[str]) -> None:
        # Where all rows have the same columns, a wrong one shows in the first chunk.
        if columns and rows <= keys["chunk_rows"] and keys["reader"]["format"] not in _RAGGED:
            _check_table(request, task, table, dict(keys), columns)

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
        raise JobRefusedError(
            f"{table.name} changed while it was being read.", hint="Run the same command again."
        )
    _check_table(request, task, table, keys, staged.columns)
    replaces = ""
    if request.output and request.output.is_file():  # a device or FIFO is written to, not replaced
        with job_errors(request.output):
            replaces = sha256_file(request.output)
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
        "bundle": bundle_path,
        "model": bundle.name,
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
    if request.output and not table.is_openai_batch:  # else an error would come after hours of scoring
        job = Job(directory, manifest)
        check_writable(
            check_output_format(request.output),
            lambda: (row["values"] for chunk in range(job.chunks) for row in job.staged(chunk)),
            staged.columns,
            table.schema,
        )
    job = write_manifest(directory, manifest)
    _forget_stdin(table, directory)
    return job, sources, bundle_path


def _check_table(
    request: ScoreRequest, task: Task[Any], table: Table, keys: dict[str, Any], columns: Sequence[str]
) -> None:
    """Check the requested columns, and put those of the text into the keys."""
    asked = Selection(request.text_columns, id=request.id_column, options=request.option_columns)
    chosen = select_columns(task, table, columns, asked)
    if chosen.requests:
        return
    keys["text_columns"] = list(chosen.text)
    if chosen.messages:  # jobs of earlier versions don't have the key
        keys["messages_column"] = chosen.messages
    check_columns(columns, result_columns(bool(task.labels), bool(request.guard), request.prefix))


def _forget_stdin(table: Table, directory: Path) -> None:
    """Remove the copy of standard input: its rows are in chunks now."""
    with job_errors(directory):
        for file in table.files:
            if file.parent == directory:
                file.unlink(missing_ok=True)


def _table(request: ScoreRequest, directory: Path) -> Table:
    if bool(request.data) == bool(request.dataset):
        raise OptionError("Name either a file or a --dataset.", hint="For example: reviews.csv")
    if request.dataset:
        from nlpsuite.data.datasets import open_dataset

        return open_dataset(request.dataset)
    with job_errors(directory):
        return open_table(request.data, **request.reading, directory_for_stdin=directory)


def _check_output(request: ScoreRequest, output: Path, directory: Path) -> None:
    inputs = [Path(name) for name in {request.data, *request.data.split(",")} - {"", "-"}]
    check_output(output, inputs=inputs)
    for path in inputs:
        if path.is_dir() and path.resolve() in output.resolve().parents:
            raise JobRefusedError(
                f"The output {output} is in the folder {path}, whose files are the input.",
                hint="Choose another place: the next run would read it as input.",
            )
    if output.is_file() and not (directory / MANIFEST).exists() and not request.overwrite:
        raise JobRefusedError(f"The output {output} exists.", hint="Use --overwrite to replace it.")
