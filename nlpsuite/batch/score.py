"""Scoring: a task on every row of a data set, in a job that survives interruptions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from nlpsuite.batch.job import Job
from nlpsuite.batch.merge import check_output_format
from nlpsuite.batch.prepare import prepare
from nlpsuite.batch.request import JobOptions, ScoreRequest, takes
from nlpsuite.batch.run import JobReport, JobReporter, parse_max_errors, run_job, terminating
from nlpsuite.batch.storage import MANIFEST, clear, discard, locked
from nlpsuite.errors import JobRefusedError, OptionError, StorageError
from nlpsuite.files import check_output, sha256_file
from nlpsuite.plugins.registry import find_plugin

__all__ = ["OpenJob", "open_job", "resume", "score", "score_request"]


@takes(JobOptions)
def score(
    task: str,
    data: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] = "",
    *,
    reporter: JobReporter | None = None,
    **options: Unpack[JobOptions],
) -> JobReport:
    """Run a task on every row of a data set and write one file of results.

    Progress is saved beside the output, in ``OUTPUT.job``. If interrupted, call again with the same arguments
    to resume: the result has the same bytes as that of an uninterrupted run.

    Args:
        task: a name that ``nlpsuite list`` shows.
        data: a file, a pair of files, a directory, or ``-`` for standard input.
        output: the file of results: ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``.
        reporter: receives progress.
        options: see ``nlpsuite.batch.request.JobOptions``.

    Raises:
        JobRefusedError: the output exists, or belongs to a job with other settings, which are named; or another
            process works on the job.
        TooManyErrorsError: more rows failed than ``max_errors`` allows.
        JobStorageError: a file can't be read or written.
        NlpsuiteError: the input, the options, the plugin or the model can't be used.
        KeyboardInterrupt, Terminated: the job was interrupted.
    """
    if not output:
        raise OptionError("score needs an output.", hint="Name a file of results, such as scored.csv.")
    return score_request(ScoreRequest.of(task, data, output, **options), reporter)


@dataclass(frozen=True)
class OpenJob:
    """A job that is ready to run, and locked.

    Attributes:
        job: with its manifest and its input.
        sources: sha256 of each input file, by name.
        options: of the task, with those that the model brings.
    """

    job: Job
    sources: Mapping[str, str]
    options: Any
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
    from nlpsuite.tasks.load import check_options
    from nlpsuite.tasks.override import PromptOverride

    task = load_task(request.task)
    override = PromptOverride.read(
        task,
        prompt_file=request.prompt_file,
        shots=request.shots,
        max_shots=request.max_shots,
    )
    check_options(task, request.options, model=request.model, adapter=request.adapter)
    request = request.checked(task)
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
            job, sources, bundle, options = prepare(request, task, override, reporter)
            settings = {**request.values(), "bundle": os.fspath(bundle.path.resolve())}
            yield OpenJob(job, sources, options, settings, reporter)
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
