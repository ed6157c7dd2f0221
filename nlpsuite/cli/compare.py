"""What ``nlpsuite compare`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.cli.evaluation import FAILED_ROWS, check_targets, give_out, names_of, today
from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.errors import InputInvalidError, NlpsuiteError, OptionError
from nlpsuite.evaluation.compare import compare
from nlpsuite.evaluation.predictions import PredictionFile, open_predictions
from nlpsuite.evaluation.provenance import hash_of, provenance
from nlpsuite.plugins import load_task

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["compare_files"]


def compare_files(
    files: tuple[str, ...],
    *,
    task: str,
    reference_column: str,
    prediction_column: str,
    text_columns: tuple[str, ...],
    metrics: str,
    trials: int,
    resamples: int,
    resample_seed: int,
    as_json: bool,
    html: str,
    markdown: str,
) -> int:
    """Compare and print the report; returns the exit code."""
    if len(files) < 2:
        raise OptionError("A comparison needs two files or more.", hint="nlpsuite compare A.jsonl B.jsonl")
    check_targets(html, markdown)
    opened = [open_predictions(name) for name in files]
    loaded = load_task(_task(opened, task))
    reference = reference_column or next((f.reference_column for f in opened if f.reference_column), "")
    systems = {
        name: file.rows(loaded, reference, prediction_column) for name, file in zip(_names(files), opened)
    }
    known = [set(file.input_columns) for file in opened if file.input_columns]
    first = next(iter(systems.values()))
    report = compare(
        loaded,
        systems,
        metrics=names_of(metrics),
        text_columns=_text_columns(loaded, opened, list(first[0].values), text_columns),
        input_columns=sorted(set.intersection(*known)) if known else None,
        trials=trials,
        resamples=resamples,
        seed=resample_seed,
    )
    made_of: dict[str, Any] = provenance(loaded, None, date=today())
    for name, file in zip(systems, opened):
        made_of[name] = {"file": file.name, "sha256": hash_of(file.table), "model": file.model}
    give_out(report, made_of, as_json=as_json, html=html, markdown=markdown)
    return FAILED_ROWS if any(report.n_errors) else 0


def _task(files: Sequence[PredictionFile], asked: str) -> str:
    """The task that is asked for, else the one that all jobs agree on."""
    if asked:
        return asked
    found = list(dict.fromkeys(file.task for file in files if file.task))
    if not found:
        raise OptionError(
            "No job beside the files says what they are predictions of.",
            hint="Name the task: --task sentiment",
        )
    if len(found) > 1:
        raise InputInvalidError(
            f"The files are of different tasks: {', '.join(found)}.", hint="Compare those of one."
        )
    return found[0]


def _names(files: Sequence[str]) -> list[str]:
    """Short names of the systems: what their files are called, with the directory where that is the same."""
    stems = [Path(name).name.split(".")[0] for name in files]
    if len(set(stems)) == len(stems):
        return stems
    paths = [str(Path(name).with_suffix("")) for name in files]
    if len(set(paths)) == len(paths):
        return paths
    if len(set(files)) < len(files):
        raise OptionError("A file is named twice.", hint="Compare different files.")
    return list(files)


def _text_columns(
    task: Task[Any], files: Sequence[PredictionFile], columns: list[str], asked: tuple[str, ...]
) -> tuple[str, ...]:
    known = asked or next((file.text_columns for file in files if file.text_columns), ())
    try:
        return select_columns(task, files[0].table, columns, Selection(tuple(known))).shown
    except NlpsuiteError:
        if asked:
            raise
        return ()
