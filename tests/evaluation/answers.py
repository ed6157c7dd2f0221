"""Rows with answers, for tests of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.rows import EvaluatedRow
from nlpsuite.tasks.result import Output, Result

__all__ = ["answer", "answered", "failed", "labelled", "texts"]


def answer(label: str, probability: float) -> Output:
    """An output of sentiment."""
    other = "negative" if label == "positive" else "positive"
    return Output(label, label, {label: probability, other: 1 - probability})


def answered(row: EvaluatedRow, output: Output) -> EvaluatedRow:
    """The row with another output."""
    return replace(row, result=Result(output))


def failed(reason: str) -> Result:
    """The result of a row that failed."""
    return Result.failed(InputInvalidError(reason))


def labelled(wanted: str, given: str, sure: float = 0.9, **values: Any) -> list[EvaluatedRow]:
    """A row for each letter: p and n are labels, ``x`` in ``given`` a row that failed."""
    names = {"p": "positive", "n": "negative"}
    rows = []
    for i, (right, said) in enumerate(zip(wanted, given)):
        result = failed("The text is empty.") if said == "x" else Result(answer(names[said], sure))
        columns = {"text": f"Text {i}.", **{name: value[i] for name, value in values.items()}}
        rows.append(EvaluatedRow(i, i, columns, (names[right],), result))
    return rows


def texts(pairs: Sequence[tuple[str | None, str]], inputs: Sequence[str] = ()) -> list[EvaluatedRow]:
    """A row for each pair of an answer (None: it failed) and its reference."""
    rows = []
    for i, (said, right) in enumerate(pairs):
        result = failed("too long") if said is None else Result(Output(said))
        values = {"text": inputs[i] if inputs else f"Input {i}."}
        rows.append(EvaluatedRow(i, i, values, (right,), result))
    return rows
