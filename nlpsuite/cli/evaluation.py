"""What ``nlpsuite eval TASK`` and ``nlpsuite compare`` do, and how reports are given out."""

from __future__ import annotations

import dataclasses
import datetime
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import print_json
from nlpsuite.data.records import text_columns_of
from nlpsuite.data.tables import Table, open_table
from nlpsuite.errors import NlpsuiteError, OptionError, StorageError
from nlpsuite.evaluation.evaluate import evaluate
from nlpsuite.evaluation.predictions import open_predictions, write_predictions
from nlpsuite.evaluation.provenance import provenance
from nlpsuite.evaluation.rows import EvaluatedRow, rows_of, with_predictions
from nlpsuite.files import atomic_write_text, sha256_file
from nlpsuite.options import make_options

if TYPE_CHECKING:
    from nlpsuite.evaluation.compare import Comparison
    from nlpsuite.evaluation.evaluate import Evaluation
    from nlpsuite.tasks.base import Task

__all__ = ["FAILED_ROWS", "check_targets", "evaluate_task", "give_out", "names_of", "today"]

FAILED_ROWS = 3
_TERMINATED = 143


def evaluate_task(
    task: Task[Any],
    data: str | None,
    options: dict[str, Any],
    *,
    dataset: str,
    format: str,
    text_columns: tuple[str, ...],
    reference_column: str,
    limit: int | None,
    predictions: str,
    prediction_column: str,
    baseline: str,
    train: str,
    output: str,
    overwrite: bool,
    execute: bool,
    by: tuple[str, ...],
    metrics: str,
    worst: int,
    resamples: int,
    resample_seed: int,
    as_json: bool,
    html: str,
    markdown: str,
    **model: Any,
) -> int:
    """Evaluate and print the report; returns the exit code."""
    if predictions and baseline:
        raise OptionError(
            "--predictions and --baseline exclude each other.", hint="Evaluate them one by one."
        )
    check_targets(html, markdown, output if predictions or baseline else "", overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="nlpsuite-eval-") as directory:
        table = _table(data, dataset, format, predictions, Path(directory))
        rows = rows_of(task, table, reference_column, limit)
        columns = _text_columns(task, table, rows, text_columns, needed=not predictions)
        options = {**(table.options or {}), **options}
        chosen = make_options(task.options, options)
        answers, about = None, None
        if predictions:
            answers = open_predictions(predictions)
            column = prediction_column or answers.column
            rows = with_predictions(task, rows, _first(answers.table, limit), column)
            about = answers.model
        elif baseline:
            rows = _baseline(baseline, task, rows, columns, train, reference_column, resample_seed)
        else:
            request = {
                "dataset": dataset, "format": format, "text_columns": text_columns, "limit": limit,
                "overwrite": overwrite, "options": options,
            }  # fmt: skip
            rows, about = _by_model(task, data, table, rows, output, request, model)
        if execute:
            from nlpsuite.evaluation.execute import with_outcomes

            rows = with_outcomes(rows)
        if output and (predictions or baseline or execute):
            write_predictions(Path(output), rows, table.schema)
        report = evaluate(
            task,
            rows,
            by=by,
            metrics=names_of(metrics),
            options=chosen,
            text_columns=columns,
            worst=worst,
            resamples=resamples,
            seed=resample_seed,
        )
        made_of = provenance(
            task,
            table,
            date=today(),
            rows=limit,
            predictions=answers.table if answers else None,
            baseline=baseline,
            model=about,
            options={} if predictions or baseline else options,
        )
        give_out(report, made_of, as_json=as_json, html=html, markdown=markdown)
        return FAILED_ROWS if report.n_errors else 0


def _table(data: str | None, dataset: str, format: str, predictions: str, directory: Path) -> Table:
    if data and dataset:
        raise OptionError("DATA and --dataset exclude each other.", hint="Name one of the two.")
    if dataset:
        from nlpsuite.data.datasets import open_dataset

        return open_dataset(dataset)
    if data:
        return open_table(data, format=format, directory_for_stdin=directory)
    if predictions:
        answers = open_predictions(predictions)
        return dataclasses.replace(
            answers.table, text=answers.text_columns, reference=answers.reference_column
        )
    raise OptionError(
        "There is nothing to evaluate on.", hint="Name a file, or a standard data set: --dataset sst2:dev"
    )


def _text_columns(
    task: Task[Any], table: Table, rows: Sequence[EvaluatedRow], asked: tuple[str, ...], *, needed: bool
) -> tuple[str, ...]:
    """The columns of the text; where none is needed, and none is found, there is just none to show."""
    try:
        return text_columns_of(task, table, list(rows[0].values), asked)
    except NlpsuiteError:
        if needed or asked:
            raise
        return ()


def _first(table: Table, limit: int | None) -> Table:
    """Only the first rows of a table."""
    from itertools import islice

    return table if limit is None else dataclasses.replace(table, read=lambda: islice(table.read(), limit))


def _baseline(
    name: str,
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    columns: tuple[str, ...],
    train: str,
    reference_column: str,
    seed: int,
) -> list[EvaluatedRow]:
    from nlpsuite.evaluation.baselines import predict_baseline

    counted: Sequence[EvaluatedRow] = ()
    if train:
        if name != "majority":
            raise OptionError("--train is for the baseline majority.", hint="Leave it out.")
        counted = rows_of(task, open_table(train), reference_column)
    return predict_baseline(name, task, rows, text_columns=columns, train=counted, seed=seed)


def _by_model(
    task: Task[Any],
    data: str | None,
    table: Table,
    rows: Sequence[EvaluatedRow],
    output: str,
    request: Mapping[str, Any],
    model: dict[str, Any],
) -> tuple[list[EvaluatedRow], dict[str, Any]]:
    from nlpsuite.batch.run import Terminated
    from nlpsuite.batch.score import ScoreRequest
    from nlpsuite.cli.score import ShownJob
    from nlpsuite.evaluation.predict import predict, unnamed_output

    quiet = model.pop("quiet")
    model["threads"] = model["threads"] or 0
    from_stdin = data == "-"  # it was read once already, into a file
    source = str(table.files[0]) if from_stdin else data or ""
    format = str(table.reader["format"]) if from_stdin else request["format"]
    asked = ScoreRequest(
        task=task.name, output=Path(output), input=source, **{**request, "format": format}, **model
    )
    if not output:
        named = sha256_file(table.files[0]) if from_stdin else source
        asked = dataclasses.replace(asked, output=unnamed_output(dataclasses.replace(asked, input=named)))
    shown = ShownJob(quiet)
    try:
        return predict(task, rows, asked, shown)
    except (KeyboardInterrupt, Terminated) as end:
        shown.close()
        click.echo(f"{shown.done:,} of {shown.rows:,} rows are done; the same command goes on.", err=True)
        if isinstance(end, Terminated):
            raise SystemExit(_TERMINATED) from None
        raise
    finally:
        shown.close()


def names_of(metrics: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in metrics.split(",") if name.strip()]


def today() -> str:
    """The date, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def check_targets(*paths: str, overwrite: bool = True) -> None:
    """Raises StorageError if a report could not be written: better now than after hours.

    Args:
        overwrite: what is there may be replaced, as a report may; it applies to the last of the paths.
    """
    for i, name in enumerate(paths):
        path = Path(name)
        if name and path.is_dir():
            raise StorageError(f"{path} is a directory.", hint="Name a file.")
        if name and not path.parent.is_dir():
            raise StorageError(f"There is no directory {path.parent}.", hint="Create it first.")
        if name and i == len(paths) - 1 and path.exists() and not overwrite:
            raise StorageError(f"The output {path} exists.", hint="Use --overwrite to replace it.")


def give_out(
    report: Evaluation | Comparison, made_of: Mapping[str, Any], *, as_json: bool, html: str, markdown: str
) -> None:
    """Print a report and write the files that were asked for."""
    from nlpsuite.evaluation import report as forms

    if html:
        from nlpsuite.evaluation.page import html as page

        atomic_write_text(Path(html), page(report, made_of))
    if markdown:
        atomic_write_text(Path(markdown), forms.markdown(report, made_of))
    if as_json:
        print_json(forms.document(report, made_of))
    else:
        click.echo(forms.text(report, made_of))
