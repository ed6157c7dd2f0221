"""The rows of an evaluation: what was asked, what is right, what was answered."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.conversation import open_question, read_messages
from nlpsuite.data.examples import ReferenceReader, as_text, good_rows, located
from nlpsuite.data.labels import read_label
from nlpsuite.data.lines import shortened
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.base import Prediction

if TYPE_CHECKING:
    from nlpsuite.data.tables import Table
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.result import Output

__all__ = [
    "EvaluatedRow",
    "as_output",
    "plain",
    "predicted",
    "prediction_column_of",
    "prediction_of",
    "rows_of",
    "same_value",
    "text_of",
    "with_predictions",
]

# Columns that hold what a system answered, the likeliest first; the first is that of `nlpsuite score`.
_PREDICTION_COLUMNS = ("output", "prediction", "predicted", "hypothesis", "answer")


@dataclass(frozen=True)
class EvaluatedRow:
    """A row of a data set with its reference answers, and what a system said.

    Attributes:
        index: from 0, in the order of the data set.
        id: value of its id column; else the index.
        values: of the data set's columns.
        references: right answers, one or more; for a task with labels, the label.
        prediction: None for a row that failed.
        error: why it failed.
    """

    index: int
    id: Any
    values: Mapping[str, Any]
    references: tuple[str, ...]
    prediction: Prediction | None = None
    error: str = ""

    @property
    def answered(self) -> Prediction:
        """The prediction; an empty one for a row that failed, which no metric takes for right."""
        return self.prediction or Prediction("")


def rows_of(
    task: Task[Any],
    table: Table,
    reference_column: str = "",
    limit: int | None = None,
    text_columns: tuple[str, ...] = (),
) -> list[EvaluatedRow]:
    """The rows of a data set, without predictions.

    Args:
        reference_column: empty for the data set's own, or the first that the task usually has.
        limit: read only so many rows.
        text_columns: that the user names; without them a column of conversations goes first.

    Raises:
        InputInvalidError: no such column, a damaged row, one without reference or with an unknown label;
            names file and line. Each row counts, so none can be left out.
    """
    rows: list[EvaluatedRow] = []
    selection: Selection | None = None
    for line, values in good_rows(table, limit):
        if selection is None:
            asked = Selection(text_columns, reference=reference_column)
            selection = select_columns(task, table, list(values), asked, text=False, reference=True)
            references_of = ReferenceReader(task, selection)
        with located(table, line):
            references = references_of(values)
        row_id = values.get(table.id) if table.id else None
        rows.append(EvaluatedRow(len(rows), len(rows) if row_id is None else row_id, values, references))
    if not rows:
        raise InputInvalidError(f"{table.name} has no rows.", hint="There must be something to evaluate.")
    return rows


def text_of(row: EvaluatedRow, text_columns: Sequence[str]) -> str:
    """The input text, to be shown to people."""
    parts = []
    for name in text_columns:
        value = row.values.get(name, "")
        with contextlib.suppress(InputInvalidError):  # of a conversation, the question
            value = open_question(read_messages(value)).text
        with contextlib.suppress(InputInvalidError):
            value = as_text(value, name)
        parts.append(str(value))
    return "\n\n".join(parts)


# Predictions.


def predicted(task: Task[Any], output: Output) -> Prediction:
    """What a metric sees of an output of the task."""
    if task.labels:
        return Prediction(output.label or "", output.probabilities, output.data)
    return Prediction(output.text, None, output.data)


def as_output(task: Task[Any], prediction: Prediction) -> Output:
    """An output that metrics of the task itself can read."""
    from nlpsuite.tasks.result import Output

    label = prediction.text if task.labels else None
    return Output(prediction.text, label, prediction.probabilities, prediction.data)


def with_predictions(
    task: Task[Any], rows: Sequence[EvaluatedRow], table: Table, column: str = ""
) -> list[EvaluatedRow]:
    """The rows with predictions that were made earlier, one for each in the same order.

    Args:
        table: what ``nlpsuite score`` wrote, or any other with a column of answers.
        column: that the answers are in; empty for the usual ones.

    Raises:
        InputInvalidError: there are more or fewer, they belong to another input (a column that both have
            differs), or there is no such column.
    """
    found = list(good_rows(table, len(rows) + 1))
    if len(found) != len(rows):
        many = f"more than {len(rows):,}" if len(found) > len(rows) else f"{len(found):,}"
        raise InputInvalidError(
            f"There are {len(rows):,} rows and {many} predictions in {table.name}.",
            hint="There must be one for each row, in the same order; --limit N takes the first N of the data.",
        )
    done = []
    for row, (line, values) in zip(rows, found):
        place = f"{table.name}:{line}"
        answers = prediction_column_of(values, column, place)
        for name in row.values:
            if name in values and name != answers and not same_value(values[name], row.values[name]):
                raise InputInvalidError(
                    f"{place}: {name!r} is {shortened(plain(values[name]))}, in the data set "
                    f"{shortened(plain(row.values[name]))}.",
                    hint="The predictions belong to other rows.",
                )
        prediction, error = prediction_of(task, values, column, place)
        done.append(replace(row, prediction=prediction, error=error))
    return done


def same_value(a: Any, b: Any) -> bool:
    """Two values are equal, or would be in a file without types: 1 and "1", nothing and an empty text."""
    return bool(a == b) or _bare(a) == _bare(b)


def _bare(value: Any) -> str:
    return "" if value is None else str(value)


def prediction_of(
    task: Task[Any], values: Mapping[str, Any], column: str = "", place: str = "The row"
) -> tuple[Prediction | None, str]:
    """What a row of a file of predictions says, or why it failed.

    Raises:
        InputInvalidError: there is no such column, or its value is no text.
    """
    column = prediction_column_of(values, column, place)
    prefix = column.removesuffix("output") if column.endswith("output") else ""
    if values.get(f"{prefix}status") == "error":
        return None, str(values.get(f"{prefix}error") or "unknown")
    value = values[column]
    if value is None:
        return None, "there is no prediction"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InputInvalidError(
            f"{place}: the prediction {shortened(plain(value))} is no text.", hint="Name another column."
        )
    probabilities = _object(values.get(f"{prefix}probabilities"))
    data = _object(values.get(f"{prefix}data")) or {}
    if not task.labels:
        return Prediction(value, None, data), ""
    if probabilities:
        # `score` writes a label as people read it, with its probability behind.
        numbers = {str(label): float(each) for label, each in probabilities.items()}
        return Prediction(max(numbers, key=numbers.__getitem__), numbers, data), ""
    return Prediction(read_label(value, task.labels) or value.strip(), None, data), ""


def prediction_column_of(values: Mapping[str, Any], asked: str = "", place: str = "The row") -> str:
    """The column with the predictions: the one asked for, else the first usual one, else the only one.

    Raises:
        InputInvalidError: there is none; lists those that there are.
    """
    there = ", ".join(map(repr, values)) or "none"
    if asked:
        if asked not in values:
            raise InputInvalidError(f"{place}: there is no column {asked!r}.", hint=f"Columns: {there}.")
        return asked
    for usual in _PREDICTION_COLUMNS:
        if usual in values:
            return usual
    if len(values) == 1:
        return next(iter(values))
    raise InputInvalidError(
        f"{place}: no column is called {' or '.join(_PREDICTION_COLUMNS)}.",
        hint=f"Say which has the predictions with --prediction-column. Columns: {there}.",
    )


def _object(value: Any) -> Mapping[str, Any] | None:
    """An object, also one that stands as JSON in a file without types."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def plain(value: Any) -> Any:
    """A value that JSON has; what it has not becomes a text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
