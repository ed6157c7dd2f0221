"""Rows with answers, for tests of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlpsuite.evaluation.metrics.base import Prediction
from nlpsuite.evaluation.rows import EvaluatedRow

__all__ = ["answer", "labelled", "texts"]


def answer(label: str, probability: float) -> Prediction:
    """A prediction of sentiment."""
    other = "negative" if label == "positive" else "positive"
    return Prediction(label, {label: probability, other: 1 - probability})


def labelled(wanted: str, given: str, sure: float = 0.9, **values: Any) -> list[EvaluatedRow]:
    """A row for each letter: p and n are labels, ``x`` in ``given`` a row that failed."""
    names = {"p": "positive", "n": "negative"}
    rows = []
    for i, (right, said) in enumerate(zip(wanted, given)):
        prediction = None if said == "x" else answer(names[said], sure)
        columns = {"text": f"Text {i}.", **{name: value[i] for name, value in values.items()}}
        error = "The text is empty." if prediction is None else ""
        rows.append(EvaluatedRow(i, i, columns, (names[right],), prediction, error))
    return rows


def texts(pairs: Sequence[tuple[str | None, str]], inputs: Sequence[str] = ()) -> list[EvaluatedRow]:
    """A row for each pair of an answer (None: it failed) and its reference."""
    rows = []
    for i, (said, right) in enumerate(pairs):
        prediction = None if said is None else Prediction(said)
        values = {"text": inputs[i] if inputs else f"Input {i}."}
        rows.append(EvaluatedRow(i, i, values, (right,), prediction, "" if prediction else "too long"))
    return rows
