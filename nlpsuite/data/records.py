"""From a row of a table to a record of a task, and the options that the row brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpsuite.data.lines import shortened
from nlpsuite.data.openai_batch import read_request
from nlpsuite.data.record import Record
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.options import Options, OptionSpec, option_specs

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["option_value", "record_of", "row_options", "text_columns_of"]

OPENAI_BATCH = "openai-batch"


def text_columns_of(
    task: Task[Any], table: Table, columns: Sequence[str], asked: Sequence[str]
) -> tuple[str, ...]:
    """The columns that the text is in: those asked for, else the data set's, else the first that the task
    usually has its text in, else the only column there is.

    Args:
        columns: of the table.

    Raises:
        InputInvalidError: there is no such column; lists those that there are.
    """
    there = ", ".join(map(repr, columns)) or "none"
    for name in asked:
        if name not in columns:
            raise InputInvalidError(f"{table.name} has no column {name!r}.", hint=f"Columns: {there}.")
    if asked:
        return tuple(asked)
    if table.text:
        return table.text
    by_name = {name.strip().casefold(): name for name in reversed(columns)}
    for usual in task.columns.text:
        if usual in by_name:
            return (by_name[usual],)
    if len(columns) == 1:
        return (columns[0],)
    raise InputInvalidError(
        f"{table.name} has no column called {' or '.join(task.columns.text)}.",
        hint=f"Say which has the text with --text-column. Columns: {there}.",
    )


def record_of(values: Mapping[str, Any], text_columns: Sequence[str], format: str = "") -> Record:
    """The record of a row: the texts of its columns, with an empty line between them.

    Raises:
        InputInvalidError: a value is missing, empty, or no text.
    """
    if format == OPENAI_BATCH:
        return read_request(values)[0]
    fields = {name: _text(values.get(name), name) for name in text_columns}
    text = "\n\n".join(part for part in fields.values() if part.strip())
    if not text:
        raise InputInvalidError("The text is empty.", hint="There must be some text to work on.")
    return Record(text, fields=fields)


def _text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(item.strip() for item in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise InputInvalidError(f"The value of {column!r} is no text: {shortened(value)}.")


def row_options(
    values: Mapping[str, Any], option_columns: Mapping[str, str], options: type[Options], format: str = ""
) -> dict[str, Any]:
    """The task's options that a row brings; an empty value leaves the option as it is for the others.

    Args:
        option_columns: option to the column that it is in.

    Raises:
        InputInvalidError, OptionError: a value that the option can't take.
    """
    if format == OPENAI_BATCH:
        known = {spec.name for spec in option_specs(options)}
        return {name: value for name, value in read_request(values)[1].items() if name in known}
    specs = {spec.name: spec for spec in option_specs(options)}
    given = {name: values.get(column) for name, column in option_columns.items()}
    return {
        name: option_value(specs[name], value) for name, value in given.items() if value not in (None, "")
    }


def option_value(spec: OptionSpec, value: Any) -> Any:
    """A value as a file without types has it, as the option's type; others are left to be checked.

    Raises:
        OptionError: the text can't be of that type.
    """
    if not isinstance(value, str) or spec.type is str:
        return value
    try:
        if spec.type is bool:
            return {"true": True, "false": False, "1": True, "0": False}[value.strip().casefold()]
        return spec.type(value)
    except (KeyError, ValueError):
        raise OptionError(f"{spec.name} is {value!r}, must be of type {spec.type.__name__}.") from None
