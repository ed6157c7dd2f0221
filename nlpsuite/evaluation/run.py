"""Evaluating a task: on the results of a model, of a trivial baseline, or of a file."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from nlpsuite.batch.job import Job
from nlpsuite.batch.merge import check_output_format
from nlpsuite.batch.request import AnswerOptions, ScoreRequest, takes
from nlpsuite.batch.run import JobReporter
from nlpsuite.batch.score import open_job
from nlpsuite.batch.storage import canonical, discard
from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.datasets import open_dataset
from nlpsuite.data.labels import with_label_map
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError, NlpsuiteError, OptionError
from nlpsuite.evaluation.baselines import predict_baseline
from nlpsuite.evaluation.evaluate import WORST, evaluate_rows
from nlpsuite.evaluation.metrics.resampling import RESAMPLES
from nlpsuite.evaluation.predictions import open_predictions, shown_columns, write_predictions
from nlpsuite.evaluation.provenance import hash_of, model_of, provenance
from nlpsuite.evaluation.report_evaluation import Evaluation
from nlpsuite.evaluation.rows import EvaluatedRow, plain, rows_of, with_predictions
from nlpsuite.files import check_output, storage_errors
from nlpsuite.options import make_options
from nlpsuite.paths import cache_dir
from nlpsuite.plugins import load_task
from nlpsuite.tasks.learned import complete_options

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["evaluate"]


@takes(AnswerOptions)
def evaluate(
    task: str,
    data: str | os.PathLike[str] | None = None,
    *,
    predictions: str | os.PathLike[str] | None = None,
    prediction_column: str = "",
    baseline: str | None = None,
    train: str | os.PathLike[str] | None = None,
    reference_column: str = "",
    label_map: str = "",
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tokenize: str = "",
    worst: int = WORST,
    resamples: int = RESAMPLES,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    execute: bool = False,
    reporter: JobReporter | None = None,
    **options: Unpack[AnswerOptions],
) -> Evaluation:
    """Measure how good a task's answers are, with intervals.

    The answers come from a model, from ``predictions`` made earlier, or from a trivial ``baseline``. A model's
    answers are computed by a job, as ``score`` does: if interrupted, call again with the same arguments to
    resume.

    Args:
        task: a name that ``nlpsuite list`` shows.
        data: a file, a pair of files, or ``-`` for standard input; may be left out if ``predictions`` has
            inputs and references too.
        predictions: a file of answers, one for each row.
        prediction_column: of that file, if it isn't a usual one.
        baseline: ``lead-1``, ``lead-3``, ``copy``, ``majority`` or ``random``; see ``predict_baseline``.
        train: a file in which the baseline ``majority`` counts labels; by default the data.
        reference_column: column of the right answers; by default the task's usual one.
        label_map: what labels in the data mean, such as ``5=positive,1=negative``.
        by: columns whose values divide the rows into slices.
        metrics: names, in place of the task's own.
        tokenize: BLEU's tokenizer; by default it suits the language of the references.
        worst: how many of the worst rows to include; 0 for a report without texts of the data.
        resamples: of the intervals.
        seed: of the intervals and of the baseline ``random``.
        output: a file for the predictions, as ``score`` writes it.
        execute: run the programs that the task wrote, for pass@k. They are not sandboxed.
        reporter: receives progress.
        options: see ``nlpsuite.batch.request.AnswerOptions``.

    Raises:
        OptionError: arguments that exclude each other, or an option that the task doesn't take.
        InputInvalidError, InputNotFoundError: the data or the predictions can't be used; names file and line.
        StorageError: the output exists or can't be written.
        NlpsuiteError: as ``score``.
    """
    loaded = with_label_map(load_task(task), label_map)
    request = ScoreRequest.of(task, data, output, **options)
    _check_source(request, predictions, baseline, train, execute)
    request = request.checked(loaded)
    if predictions:
        source = _from_file(loaded, request, reference_column, os.fspath(predictions), prediction_column)
    elif baseline:
        source = _from_baseline(loaded, request, reference_column, baseline, train, seed)
    else:
        source = _from_model(loaded, request, reference_column, reporter or JobReporter())
    with source as found:
        rows = found.rows
        if execute:
            from nlpsuite.evaluation.execute import with_outcomes

            rows = with_outcomes(rows)
        if request.output and (execute or predictions or baseline):
            write_predictions(request.output, rows, found.schema)
            found.on_written()
        evaluation = evaluate_rows(
            found.task,
            rows,
            by=by,
            metrics=metrics,
            tokenize=tokenize,
            options=make_options(found.task.options, dict(found.options)),
            text_columns=found.text_columns,
            worst=worst,
            resamples=resamples,
            seed=seed,
        )
    return dataclasses.replace(evaluation, provenance=provenance(found.task, **found.provenance))


def _check_source(
    request: ScoreRequest, predictions: object, baseline: str | None, train: object, execute: bool
) -> None:
    """Refuse arguments that exclude each other, and an output that can't be written."""
    if predictions and baseline:
        raise OptionError("Predictions and a baseline exclude each other.", hint="Evaluate one at a time.")
    if train and baseline != "majority":
        raise OptionError("--train is for the baseline majority.", hint="Leave it out.")
    if request.data and request.dataset:
        raise OptionError("The data and --dataset exclude each other.", hint="Name one of the two.")
    if not (request.data or request.dataset or predictions):
        raise OptionError(
            "There is nothing to evaluate on.", hint="Name a file, or a standard data set: --dataset sst2:dev"
        )
    if not request.output:
        return
    if predictions or baseline:
        check_output_format(request.output)
        check_output(request.output, overwrite=request.overwrite)
    elif execute and request.output.exists() and not request.output.is_file():
        raise OptionError(
            f"--execute can't write to {request.output}: the job's result is replaced once the programs have run.",
            hint="Name a regular file.",
        )


@dataclasses.dataclass(frozen=True)
class _Answered:
    """Rows with their results, and where they come from.

    Attributes:
        task: as its options make it.
        options: of the task: the data set's and the user's.
        provenance: the parts that differ by source.
        schema: of the input's columns, as ``Table.schema``.
        on_written: called when the results have been written to the requested output.
    """

    task: Task[Any]
    rows: Sequence[EvaluatedRow]
    text_columns: tuple[str, ...]
    options: Mapping[str, Any]
    provenance: Mapping[str, Any]
    schema: bytes = b""
    on_written: Callable[[], None] = lambda: None


@contextmanager
def _from_model(
    task: Task[Any], request: ScoreRequest, reference_column: str, reporter: JobReporter
) -> Iterator[_Answered]:
    """The results of a job. One that nobody named is removed once it has been evaluated."""
    if request.output is None:
        values = {name: str(value) for name, value in dataclasses.asdict(request).items()}
        name = hashlib.sha256(canonical(values)).hexdigest()[:16]
        directory = cache_dir() / "evaluations" / f"{name}.job"
        with storage_errors(directory):
            directory.parent.mkdir(parents=True, exist_ok=True)
        request = dataclasses.replace(request, job=directory)
    with open_job(request, reporter) as opened:
        job = opened.job
        task = task.for_options(opened.options)
        try:  # a missing reference should show before hours of scoring
            rows = rows_of(task, _staged_table(job), reference_column, text_columns=request.text_columns)
        except NlpsuiteError:
            if request.output is None:
                discard(job.path)
            raise
        opened.run()
        keys = job.manifest["keys"]
        yield _Answered(
            task,
            [dataclasses.replace(row, result=result) for row, result in zip(rows, job.results())],
            shown_columns(keys),
            keys["options"],
            {
                **_made_of(
                    {"name": job.manifest["input"], "sha256": opened.sources}, request, keys["options"]
                ),
                "model": model_of(job.manifest),
                **keys["prompt"],
            },
            bytes.fromhex(job.manifest["schema"]),
            opened.accept_output,
        )
        if request.output is None:
            discard(job.path)


def _staged_table(job: Job) -> Table:
    """The input of a job as a table."""

    def read() -> Rows:
        for chunk in range(job.chunks):
            for row in job.staged(chunk):
                error = row.get("error")
                yield row["line"], InputInvalidError(**error) if error else row["values"]

    manifest = job.manifest
    return Table(
        manifest["input"], (), {}, read, reference=manifest["reference"], id=manifest["keys"]["id_column"]
    )


@contextmanager
def _from_file(
    task: Task[Any], request: ScoreRequest, reference_column: str, predictions: str, column: str
) -> Iterator[_Answered]:
    """Results that are in a file."""
    answers = open_predictions(predictions)
    with _table(request) as table:
        if table is None:  # the file has the inputs and the references too
            table = dataclasses.replace(
                answers.table, text=answers.text_columns, reference=answers.reference_column
            )
        task, rows = _read(task, table, request, reference_column, answers.options)
        few = dataclasses.replace(answers.table, read=lambda: islice(answers.table.read(), request.limit))
        # The text is only shown here, so there may be none.
        text_columns = _text_columns(task, table, rows, request, required=False)
        rows = with_predictions(task, rows, few, column or answers.column)
        made_of = {"predictions": _described(answers.table), "model": answers.model}
        yield _answered(task, request, table, rows, text_columns, made_of)


@contextmanager
def _from_baseline(
    task: Task[Any],
    request: ScoreRequest,
    reference_column: str,
    baseline: str,
    train: str | os.PathLike[str] | None,
    seed: int,
) -> Iterator[_Answered]:
    """Results of a trivial system."""
    with _table(request) as table:
        assert table is not None
        task, rows = _read(task, table, request, reference_column)
        counted = rows_of(task, open_table(os.fspath(train)), reference_column) if train else ()
        text_columns = _text_columns(task, table, rows, request)
        rows = predict_baseline(baseline, task, rows, text_columns=text_columns, train=counted, seed=seed)
        yield _answered(task, request, table, rows, text_columns, {"baseline": baseline})


def _read(
    task: Task[Any],
    table: Table,
    request: ScoreRequest,
    reference_column: str,
    answered_with: Mapping[str, Any] | None = None,
) -> tuple[Task[Any], list[EvaluatedRow]]:
    """The rows of a table, and the task as its options and these rows make it.

    Args:
        answered_with: the options of a job that answered the rows.
    """

    def rows(task: Task[Any]) -> list[EvaluatedRow]:
        return rows_of(task, table, reference_column, request.limit, request.text_columns)

    if not task.open_labels:
        return task, rows(task)
    options = {**(answered_with or {}), **(table.options or {}), **request.options}
    made, _ = complete_options(task, options, lambda open_: (row.references[0] for row in rows(open_)))
    return made, rows(made)


def _answered(
    task: Task[Any],
    request: ScoreRequest,
    table: Table,
    rows: Sequence[EvaluatedRow],
    text_columns: tuple[str, ...],
    answered_by: dict[str, Any],
) -> _Answered:
    options = {**(table.options or {}), **request.options}
    made_of = _made_of(_described(table), request, {}) | answered_by
    return _Answered(task, rows, text_columns, options, made_of, table.schema)


def _text_columns(
    task: Task[Any],
    table: Table,
    rows: Sequence[EvaluatedRow],
    request: ScoreRequest,
    *,
    required: bool = True,
) -> tuple[str, ...]:
    asked = Selection(request.text_columns)
    return select_columns(task, table, list(rows[0].values), asked, text=required).shown


@contextmanager
def _table(request: ScoreRequest) -> Iterator[Table | None]:
    """The data as a table; None where there is none."""
    if request.dataset:
        yield open_dataset(request.dataset)
    elif request.data == "-":  # a table is read twice, once for its sha256
        with tempfile.TemporaryDirectory(prefix="nlpsuite-stdin-") as place:
            yield open_table("-", **request.reading, directory_for_stdin=Path(place))
    elif request.data:
        yield open_table(request.data, **request.reading)
    else:
        yield None


def _described(table: Table) -> dict[str, Any]:
    return {"name": table.name, "sha256": hash_of(table)}


def _made_of(dataset: Mapping[str, Any], request: ScoreRequest, options: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance that all sources share; None for what doesn't apply."""
    return {
        "dataset": dataset,
        "limit": request.limit,
        "predictions": None,
        "baseline": None,
        "model": None,
        "options": {name: plain(value) for name, value in options.items()},
    }
