"""Predictions without a model: what any system must be better than."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.base import Prediction
from nlpsuite.evaluation.metrics.tokenize import sentences
from nlpsuite.evaluation.rows import EvaluatedRow, text_of

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["BASELINES", "predict_baseline"]

BASELINES = ("lead-1", "lead-3", "copy", "majority", "random")
_LEAD = re.compile(r"lead-([1-9]\d{0,2})")
_Predict = Callable[[EvaluatedRow], Prediction]


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

    ``lead-N`` gives the first N sentences of the text, ``copy`` the text itself, ``majority`` the most
    frequent label, ``random`` a label or a sentence of the text, all as likely.

    Args:
        text_columns: with the input.
        train: rows that ``majority`` counts in; without any it counts in the rows themselves, which is a
            little better than one may be.
        seed: of ``random``; what a row gets depends on its place and not on the other rows.

    Raises:
        OptionError: no such baseline, or none for such a task.
        InputInvalidError: a row has no text.
    """
    predict = _baseline(name, task, rows, text_columns, train, seed)
    return [replace(row, prediction=predict(row), error="") for row in rows]


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
            f"There is no baseline {name!r}.", hint=f"Baselines: {', '.join(BASELINES)}; lead-N for any N."
        )
    if bool(task.labels) if lead or name == "copy" else name == "majority" and not task.labels:
        others = "majority, random" if task.labels else "lead-N, copy, random"
        kind = "gives labels" if task.labels else "gives texts"
        raise OptionError(
            f"The baseline {name} makes no sense for {task.name}, which {kind}.", hint=f"Choose {others}."
        )
    if name == "majority":
        return _majority(train or rows)
    if name == "random" and task.labels:
        return _random_label(sorted(set(task.labels.values())), seed)
    if name == "random":
        return lambda row: Prediction(_generator(seed, row).choice(_sentences(row, text_columns)))
    if name == "copy":
        return lambda row: Prediction(_text(row, text_columns))
    assert lead is not None
    return lambda row: Prediction(" ".join(_sentences(row, text_columns)[: int(lead[1])]))


def _majority(rows: Sequence[EvaluatedRow]) -> _Predict:
    counts = Counter(row.references[0] for row in rows)
    most = min(counts, key=lambda label: (-counts[label], label))
    probabilities = {label: counts[label] / len(rows) for label in sorted(counts)}
    return lambda row: Prediction(most, probabilities)


def _random_label(labels: Sequence[str], seed: int) -> _Predict:
    probabilities = {label: 1 / len(labels) for label in labels}
    return lambda row: Prediction(_generator(seed, row).choice(labels), probabilities)


def _generator(seed: int, row: EvaluatedRow) -> random.Random:
    return random.Random(f"{seed} {row.index}")


def _text(row: EvaluatedRow, text_columns: Sequence[str]) -> str:
    text = text_of(row, text_columns)
    if not text.strip():
        raise InputInvalidError(f"Row {row.index + 1:,} has no text.", hint="A baseline needs one.")
    return text


def _sentences(row: EvaluatedRow, text_columns: Sequence[str]) -> list[str]:
    """The sentences of a text; a list of texts in a column is one already."""
    _text(row, text_columns)
    found: list[str] = []
    for name in text_columns:
        value = row.values.get(name)
        if isinstance(value, list):
            found += [" ".join(str(each).split()) for each in value if str(each).strip()]
        elif value is not None:
            found += [part.strip() for part in sentences(str(value))]
    return found
