"""Trivial systems without a model, which any other should beat."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.tokenize import sentences
from nlpsuite.evaluation.rows import EvaluatedRow, text_of
from nlpsuite.tasks.result import Output, Result

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["BASELINES", "predict_baseline"]

BASELINES = ("lead-1", "lead-3", "copy", "majority", "random")
_LEAD = re.compile(r"lead-([1-9]\d{0,2})")
_Predict = Callable[[EvaluatedRow], Output]


def predict_baseline(
    name: str,
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    *,
    text_columns: Sequence[str],
    train: Sequence[EvaluatedRow] = (),
    seed: int = 0,
) -> list[EvaluatedRow]:
    """The rows with the answers of a trivial system.

    ``lead-N`` answers with the first N sentences of the text, ``copy`` with the text itself, ``majority`` with
    the most frequent label, and ``random`` with a random label or sentence of the text.

    Args:
        text_columns: columns of the input.
        train: rows in which ``majority`` counts labels; by default the rows themselves, which makes it slightly
            too good.
        seed: of ``random``; a row's answer depends on its index and not on the other rows.

    Raises:
        OptionError: there is no such baseline, or it doesn't suit the task.
        InputInvalidError: a row has no text.
    """
    predict = _baseline(name, task, rows, text_columns, train, seed)
    return [replace(row, result=Result(predict(row))) for row in rows]


def _baseline(
    name: str,
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    text_columns: Sequence[str],
    train: Sequence[EvaluatedRow],
    seed: int,
) -> _Predict:
    lead = _LEAD.fullmatch(name)
    if lead is None and name not in BASELINES:
        raise OptionError(
            f"There is no baseline {name!r}.",
            hint=f"Baselines: {', '.join(BASELINES)}, and lead-N for any N.",
        )
    if bool(task.labels) if lead or name == "copy" else name == "majority" and not task.labels:
        others = "majority, random" if task.labels else "lead-N, copy, random"
        kind = "gives labels" if task.labels else "gives texts"
        raise OptionError(
            f"The baseline {name} makes no sense for {task.name}, which {kind}.", hint=f"Choose {others}."
        )
    if name == "majority":
        predict = _majority(train or rows)
        return predict if not task.multi_label else lambda row: replace(predict(row), probabilities=None)
    if name == "random" and task.labels:
        return _random_label(sorted(set(task.labels.values())), seed)
    if name == "random":
        return lambda row: Output(_generator(seed, row).choice(_sentences(row, text_columns)))
    if name == "copy":
        return lambda row: Output(_text(row, text_columns))
    assert lead is not None
    return lambda row: Output(" ".join(_sentences(row, text_columns)[: int(lead[1])]))


def _majority(rows: Sequence[EvaluatedRow]) -> _Predict:
    counts = Counter(row.references[0] for row in rows)
    most = min(counts, key=lambda label: (-counts[label], label))
    probabilities = {label: counts[label] / len(rows) for label in sorted(counts)}
    return lambda row: Output(most, most, probabilities)


def _random_label(labels: Sequence[str], seed: int) -> _Predict:
    probabilities = {label: 1 / len(labels) for label in labels}

    def predict(row: EvaluatedRow) -> Output:
        label = _generator(seed, row).choice(labels)
        return Output(label, label, probabilities)

    return predict


def _generator(seed: int, row: EvaluatedRow) -> random.Random:
    return random.Random(f"{seed} {row.index}")


def _text(row: EvaluatedRow, text_columns: Sequence[str]) -> str:
    text = text_of(row, text_columns)
    if not text.strip():
        raise InputInvalidError(f"Row {row.index + 1:,} has no text.", hint="A baseline needs one.")
    return text


def _sentences(row: EvaluatedRow, text_columns: Sequence[str]) -> list[str]:
    """The sentences of a text; a column that holds a list of texts is split already."""
    _text(row, text_columns)
    found: list[str] = []
    for name in text_columns:
        value = row.values.get(name)
        if isinstance(value, list):
            found += [" ".join(str(each).split()) for each in value if str(each).strip()]
        elif value is not None:
            found += [part.strip() for part in sentences(str(value))]
    return found
