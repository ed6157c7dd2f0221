"""The rows of an evaluation: inputs, reference answers and results."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.conversation import open_question, read_messages
from nlpsuite.data.examples import ReferenceReader, as_text, good_rows, located
from nlpsuite.data.labels import read_label, read_label_set
from nlpsuite.data.lines import shortened
from nlpsuite.errors import InputInvalidError
from nlpsuite.tasks.result import Output, Result

if TYPE_CHECKING:
    from nlpsuite.data.tables import Table
    from nlpsuite.tasks.base import Task

__all__ = [
    "EvaluatedRow",
    "plain",
    "prediction_column_of",
    "result_of",
    "rows_of",
    "same_value",
    "text_of",
    "with_predictions",
]

# Columns of predictions, the likeliest first; the first is that of `nlpsuite score`.
_PREDICTION_COLUMNS = ("output", "prediction", "predicted", "hypothesis", "answer")


@dataclass(frozen=True)
class EvaluatedRow:
    """A row of a data set with its reference answers and its result.

    Attributes:
        index: from 0, in the order of the data set.
        id: value of its id column; else the index.
        values: of the data set's columns.
        references: right answers, one or more; for a task with labels, the label.
        result: of the row; an empty output until there is one, or if the row failed.
    """

    index: int
    id: Any
    values: Mapping[str, Any]
    references: tuple[str, ...]
    result: Result = field(default_factory=Result)

    @property
    def output(self) -> Output:
        """The output; an empty one for a row that failed, which every metric counts as wrong."""
        return self.result.output

    @property
    def failed(self) -> bool:
        return self.result.error is not None


def rows_of(
    task: Task[Any],
    table: Table,
    reference_column: str = "",
    limit: int | None = None,
    text_columns: tuple[str, ...] = (),
) -> list[EvaluatedRow]:
    """The rows of a data set, without results.

    Args:
        reference_column: column of the reference answers; empty for the data set's own or the task's usual one.
        limit: read only the first rows, this many.
        text_columns: that the user names; without them a column of conversations goes first.

    Raises:
        InputInvalidError: there is no such column; or a row can't be read, has no reference or an unknown
            label: names file and line. Every row counts, so none is skipped.
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
        raise InputInvalidError(f"{table.name} has no rows.", hint="Add at least one row.")
    return rows


def text_of(row: EvaluatedRow, text_columns: Sequence[str]) -> str:
    """The input text, for display."""
    parts = []
    for name in text_columns:
        value = row.values.get(name, "")
        with contextlib.suppress(InputInvalidError):  # of a conversation, the question
            value = open_question(read_messages(value)).text
        with contextlib.suppress(InputInvalidError):
            value = as_text(value, name)
        parts.append(str(value))
    return "\n\n".join(parts)


def with_predictions(
    task: Task[Any], rows: Sequence[EvaluatedRow], table: Table, column: str = ""
) -> list[EvaluatedRow]:
    """The rows with predictions from a table, one for each row in the same order.

    Args:
        table: what ``nlpsuite score`` wrote, or any other with a column of predictions.
        column: of the predictions; empty for the usual ones.

    Raises:
        InputInvalidError: there are more or fewer predictions than rows; they belong to other rows (the values
            of a column that both have differ); or there is no such column.
    """
    found = list(good_rows(table, len(rows) + 1))
    if len(found) != len(rows):
        many = f"more than {len(rows):,}" if len(found) > len(rows) else f"{len(found):,}"
        raise InputInvalidError(
            f"There are {len(rows):,} rows and {many} predictions in {table.name}.",
            hint="Give one for each row, in the same order; --limit N evaluates the first N rows.",
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
        done.append(replace(row, result=result_of(task, values, column, place)))
    return done


def same_value(a: Any, b: Any) -> bool:
    """Two values are equal, or would be in a file without types: 1 and "1", a missing value and an empty text."""
    return bool(a == b) or str("" if a is None else a) == str("" if b is None else b)


def result_of(task: Task[Any], values: Mapping[str, Any], column: str = "", place: str = "The row") -> Result:
    """The result that a row of a file of predictions holds.

    Raises:
        InputInvalidError: there is no such column, or its value isn't text.
    """
    column = prediction_column_of(values, column, place)
    prefix = column.removesuffix("output") if column.endswith("output") else ""
    value = values[column]
    if values.get(f"{prefix}status") == "error" or value is None:
        reason = values.get(f"{prefix}error") or "There is no prediction."
        return Result.failed(InputInvalidError(str(reason)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InputInvalidError(
            f"{place}: the prediction {shortened(plain(value))} isn't text.", hint="Name another column."
        )
    data = _object(values.get(f"{prefix}data")) or {}
    if not task.labels:
        return Result(Output(value, data=data))
    probabilities = _object(values.get(f"{prefix}probabilities"))
    known = {**task.labels, **task.label_map}
    numbers = {str(label): float(each) for label, each in (probabilities or {}).items()}
    if task.multi_label:
        label = value.strip() if (read := read_label_set(value, known)) is None else read
        return Result(Output(label, label, numbers or None, data))
    if numbers:
        # The column may hold the label as people read it, with its probability.
        label = max(numbers, key=numbers.__getitem__)
        return Result(Output(label, label, numbers, data))
    label = read_label(value, known) or value.strip()
    return Result(Output(label, label, None, data))


def prediction_column_of(values: Mapping[str, Any], asked: str = "", place: str = "The row") -> str:
    """The column of the predictions: the requested one, else the first usual one, else the only one.

    Raises:
        InputInvalidError: there is none; the hint lists the columns.
    """
    available = ", ".join(map(repr, values)) or "none"
    if asked:
        if asked not in values:
            raise InputInvalidError(f"{place}: there is no column {asked!r}.", hint=f"Columns: {available}.")
        return asked
    for usual in _PREDICTION_COLUMNS:
        if usual in values:
            return usual
    if len(values) == 1:
        return next(iter(values))
    raise InputInvalidError(
        f"{place}: no column is called {' or '.join(_PREDICTION_COLUMNS)}.",
        hint=f"Name the column of the predictions with --prediction-column. Columns: {available}.",
    )


def _object(value: Any) -> Mapping[str, Any] | None:
    """An object, possibly written as JSON in a file without types."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def plain(value: Any) -> Any:
    """A JSON value; any other becomes text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
