"""Comparing systems: paired tests on the same rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.lines import shortened
from nlpsuite.errors import InputInvalidError, NlpsuiteError, OptionError
from nlpsuite.evaluation.evaluate import best_row_metric
from nlpsuite.evaluation.measure import LengthRatio, RowMeasure, measure_of, metrics_of
from nlpsuite.evaluation.metrics.resampling import RESAMPLES, TRIALS, Difference, paired
from nlpsuite.evaluation.predictions import PredictionFile, open_predictions
from nlpsuite.evaluation.provenance import hash_of, provenance
from nlpsuite.evaluation.report_comparison import Change, Comparison
from nlpsuite.evaluation.rows import EvaluatedRow, plain, rows_of, same_value, text_of
from nlpsuite.plugins import load_task
from nlpsuite.tasks.learned import complete_options

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["check_same_rows", "compare", "compare_rows", "holm"]

_MOST_CHANGED = 10


def compare(
    *files: str | os.PathLike[str],
    task: str | None = None,
    reference_column: str = "",
    prediction_column: str = "",
    text_columns: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tokenize: str = "",
    trials: int = TRIALS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare files of predictions for the same rows.

    Args:
        files: written by ``score`` or ``evaluate``, or any others with a column of predictions and one of
            references. The first is the baseline.
        task: its name, where no job beside the files says so.
        reference_column, prediction_column: where they aren't the usual ones.
        text_columns: columns of the input, shown with the rows that changed most.
        metrics: names, in place of the task's own.
        tokenize: BLEU's tokenizer; by default it suits the language of the references.
        trials: of the paired tests.
        resamples: of the intervals.
        seed: of both.

    Raises:
        OptionError: fewer than two files, one is named twice, or the task is unknown.
        InputInvalidError, InputNotFoundError: a file can't be read; or the files' tasks or rows aren't the
            same: names the first difference.
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    if len(files) < 2:
        raise OptionError("A comparison needs two files or more.", hint="nlpsuite compare A.jsonl B.jsonl")
    opened = [open_predictions(os.fspath(name)) for name in files]
    loaded = load_task(task or _common_task(opened))
    reference = reference_column or next((f.reference_column for f in opened if f.reference_column), "")
    names = _names([file.name for file in opened])
    if loaded.open_labels:
        loaded, _ = complete_options(
            loaded,
            next((file.options for file in opened if file.options), {}),
            lambda unlabelled: (
                row.references[0] for file in opened for row in rows_of(unlabelled, file.table, reference)
            ),
        )
    systems = {name: file.rows(loaded, reference, prediction_column) for name, file in zip(names, opened)}
    known = [set(file.input_columns) for file in opened if file.input_columns]
    columns = list(systems[names[0]][0].values)
    found = compare_rows(
        loaded,
        systems,
        metrics=metrics,
        tokenize=tokenize,
        text_columns=_text_columns(loaded, opened, columns, text_columns),
        input_columns=sorted(set.intersection(*known)) if known else None,
        trials=trials,
        resamples=resamples,
        seed=seed,
    )
    made_of = provenance(loaded)
    for name, file in zip(names, opened):
        made_of[name] = {"file": file.name, "sha256": hash_of(file.table), "model": file.model}
    return replace(found, provenance=made_of)


def compare_rows(
    task: Task[Any],
    systems: Mapping[str, Sequence[EvaluatedRow]],
    *,
    metrics: Sequence[str] = (),
    tokenize: str = "",
    text_columns: Sequence[str] = (),
    input_columns: Sequence[str] | None = None,
    trials: int = TRIALS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two or more systems on the same rows.

    Args:
        systems: rows with their results by name; the first is the baseline.
        input_columns: that must be equal row by row; None for all that all have.
        metrics, tokenize, text_columns, trials, resamples, seed: as for ``compare``.

    Raises:
        InputInvalidError: there are fewer than two systems; their rows aren't the same (names the first
            difference); or an output lacks what a metric needs.
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    if len(systems) < 2:
        raise InputInvalidError(
            "A comparison needs two systems or more.", hint="nlpsuite compare A.jsonl B.jsonl"
        )
    names, each = list(systems), list(systems.values())
    for name in names[1:]:
        check_same_rows(names[0], each[0], name, systems[name], input_columns)
    every = [row for rows in each for row in rows]
    measures: list[RowMeasure] = []
    left_out: list[str] = []
    for name, metric in metrics_of(task, every, metrics, tokenize, text_columns).items():
        if isinstance(metric, LengthRatio):
            continue
        measured = measure_of(name, metric, every, text_columns) if _usable(metric, every) else None
        if isinstance(measured, RowMeasure) and len(measured.places) == len(every):
            measures.append(measured)
        else:
            left_out.append(name)
    row_metric, rises, scores = best_row_metric(measures, len(every), len(each), ("texts", "data"))
    errors = tuple(sum(row.failed for row in rows) for rows in each)
    notes = [
        f"{failed:,} of {len(each[0]):,} rows of {name} failed; failed rows count as wrong."
        for name, failed in zip(names, errors)
        if failed
    ]
    notes += filter(None, (measured.notice() for measured in measures))
    if left_out:
        notes.append(f"Not compared: {', '.join(left_out)}, because some rows lack what they need.")
    if len(names) > 2:
        notes.append(
            f"All systems are compared with {names[0]}; p is corrected by Holm's method within each metric."
        )
    return Comparison(
        task=task.name,
        systems=tuple(names),
        n=len(each[0]),
        n_errors=errors,
        differences=tuple(
            difference
            for measured in measures
            for difference in _differences(measured, names, trials, resamples, seed)
        ),
        row_metric=row_metric,
        row_metric_rises=rises,
        changes=tuple(_changes(systems, scores, text_columns)) if row_metric else (),
        notes=tuple(notes),
        trials=trials,
        resamples=resamples,
        seed=seed,
    )


def check_same_rows(
    first: str,
    rows: Sequence[EvaluatedRow],
    second: str,
    others: Sequence[EvaluatedRow],
    columns: Sequence[str] | None = None,
) -> None:
    """Raises InputInvalidError unless two systems answered the same rows in the same order.

    Args:
        first, second: names of the two.
        columns: that must be equal; None for all that both have.
    """
    hint = "Only systems that answered the same rows, in the same order, can be compared."
    if len(rows) != len(others):
        raise InputInvalidError(f"{first} has {len(rows):,} rows and {second} {len(others):,}.", hint=hint)
    # Without an id column, as in a baseline's file, the ids are the rows' numbers.
    with_ids = not any(all(row.id == row.index for row in some) for some in (rows, others))
    for row, other in zip(rows, others):
        pairs = [("id", row.id, other.id)] if with_ids else []
        for column in row.values if columns is None else columns:
            if column in other.values:
                pairs.append((repr(column), row.values.get(column), other.values[column]))
        if row.references != other.references:
            pairs.append(("reference", row.references[0], other.references[0]))
        for what, ours, theirs in pairs:
            if what == "reference" or not same_value(ours, theirs):
                shown, other_shown = shortened(plain(ours)), shortened(plain(theirs))
                raise InputInvalidError(
                    f"Row {row.index + 1:,}: {what} is {shown} in {first} and {other_shown} in {second}.",
                    hint=hint,
                )


def _usable(metric: Any, rows: Sequence[EvaluatedRow]) -> bool:
    """Whether outcomes of running programs, if the metric needs them, are there."""
    return getattr(metric, "needs", "") != "data" or all(
        row.failed or "passed" in row.output.data for row in rows
    )


def _differences(
    measured: RowMeasure, names: Sequence[str], trials: int, resamples: int, seed: int
) -> list[Difference]:
    base, *others = np.split(measured.statistics, len(names))
    found = [
        paired(
            measured.metric, part, base, trials, resamples, seed, system=name, signature=measured.signature
        )
        for name, part in zip(names[1:], others)
    ]
    corrected = holm([difference.p_value for difference in found])
    return [replace(difference, p_corrected=p) for difference, p in zip(found, corrected)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), so that they bound the chance of any false alarm."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def _changes(
    systems: Mapping[str, Sequence[EvaluatedRow]], scores: Sequence[Any], text_columns: Sequence[str]
) -> list[Change]:
    (_, base), *others = systems.items()
    changes = []
    for (name, rows), own in zip(others, scores[1:]):
        change = (own - scores[0]).tolist()
        rose = sorted((i for i in range(len(rows)) if change[i] > 0), key=lambda i: (-change[i], i))
        fell = sorted((i for i in range(len(rows)) if change[i] < 0), key=lambda i: (change[i], i))
        half = _MOST_CHANGED // 2  # of each kind, where there are as many
        for i in rose[: max(half, _MOST_CHANGED - len(fell))] + fell[: max(half, _MOST_CHANGED - len(rose))]:
            row, text = rows[i], text_of(rows[i], text_columns)
            before, after = base[i].output.answer, row.output.answer
            changes.append(Change(name, row.index, row.id, change[i], text, row.references, before, after))
    return changes


def _common_task(files: Sequence[PredictionFile]) -> str:
    """The task that all jobs beside the files agree on."""
    found = list(dict.fromkeys(file.task for file in files if file.task))
    if not found:
        raise OptionError(
            "The task of these predictions is unknown: there is no job beside the files.",
            hint="Name it: --task sentiment",
        )
    if len(found) > 1:
        raise InputInvalidError(
            f"The files belong to different tasks: {', '.join(found)}.", hint="Compare files of one task."
        )
    return found[0]


def _names(files: Sequence[str]) -> list[str]:
    """Short names of the systems: the files' stems, or their paths where two stems are the same."""
    for names in (
        [Path(name).name.split(".")[0] for name in files],
        [str(Path(name).with_suffix("")) for name in files],
        list(files),
    ):
        if len(set(names)) == len(names):
            return names
    raise OptionError("A file is named twice.", hint="Compare different files.")


def _text_columns(
    task: Task[Any], files: Sequence[PredictionFile], columns: list[str], requested: Sequence[str]
) -> tuple[str, ...]:
    known = requested or next((file.text_columns for file in files if file.text_columns), ())
    try:
        return select_columns(task, files[0].table, columns, Selection(tuple(known))).shown
    except NlpsuiteError:
        if requested:
            raise
        return ()
