"""From a row of a table to a task's record, its references and its options; and examples made of all three.

Values are taken as they stand: ``007`` and ``NA`` are texts like any other. Every verb reads rows through
here, so that a file means the same to all of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.columns import Selection, select_columns
from nlpsuite.data.conversation import answered_turns, last_answer, open_question, read_messages
from nlpsuite.data.lines import shortened
from nlpsuite.data.openai_batch import read_request
from nlpsuite.data.record import Record, check_unicode
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.options import Options, OptionSpec, find_option, option_specs

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = [
    "Example",
    "ReferenceReader",
    "as_text",
    "examples_of",
    "good_rows",
    "is_blank",
    "located",
    "option_value",
    "read_examples",
    "record_of",
    "row_options",
]


@dataclass(frozen=True)
class Example:
    """A record and the answers that are right for it.

    Attributes:
        references: one or more; for a task with labels, the label.
        id: value of the id column; else the row's index, from 0.
        options: of the task, that the row brings.
        values: of the row, by column.
        line: where the row begins, from 1.
    """

    record: Record
    references: tuple[str, ...]
    id: Any = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    line: int = 0

    @property
    def reference(self) -> str:
        """The first reference, which is the one to learn."""
        return self.references[0]


def read_examples(
    source: str | Path, task: Task[Any], asked: Selection | None = None, **how: Any
) -> Iterator[Example]:
    """``examples_of`` the table that ``open_table(source, **how)`` opens."""
    return examples_of(task, open_table(str(source), **how), asked)


def examples_of(task: Task[Any], table: Table, asked: Selection | None = None) -> Iterator[Example]:
    """The examples of a table, in its order. Blank rows are skipped; a conversation gives an example for
    each answer in it.

    Args:
        asked: the columns that the user names.

    Raises:
        InputInvalidError: no such column, no examples, or a row that is damaged, lacks something or has an
            unknown label; names file and line.
        InputNotFoundError, OptionError: as the table's reader says.
    """
    selection: Selection | None = None
    found = False
    for index, (line, values) in enumerate(good_rows(table)):
        if selection is None:
            selection = select_columns(task, table, list(values), asked, reference=True)
            references_of = ReferenceReader(task, selection)
        needed = (selection.messages,) if selection.messages else (*selection.text, selection.reference)
        if all(is_blank(values.get(column)) for column in needed):
            continue
        with located(table, line):
            own = row_options(values, selection, task.options)
            row_id = values.get(selection.id, index) if selection.id else index
            if selection.messages:
                messages = read_messages(values.get(selection.messages), selection.messages)
                answered = answered_turns(messages, selection.messages)
                examples = [Example(record, (said,), row_id, own, values, line) for record, said in answered]
            else:
                right = references_of(values)
                examples = [Example(record_of(values, selection), right, row_id, own, values, line)]
        found = True
        yield from examples
    if not found:
        raise InputInvalidError(
            f"{table.name} has no examples.", hint="Give at least one row with an answer."
        )


def is_blank(value: Any) -> bool:
    """Whether a value is missing or a blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def good_rows(table: Table, limit: int | None = None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of the first rows of a table, or of all; a damaged one is raised with file and line."""
    for line, values in islice(table.read(), limit):
        if isinstance(values, InputInvalidError):
            with located(table, line):
                raise values
        yield line, values


@contextlib.contextmanager
def located(table: Table, line: int) -> Iterator[None]:
    """Name the table and the line in what the body raises about a row."""
    try:
        yield
    except (InputInvalidError, OptionError) as error:
        if error.message.startswith(tuple(f"{name}:{line}:" for name in (table.name, *table.files))):
            raise
        raise InputInvalidError(f"{table.name}:{line}: {error.message}", hint=error.hint) from None


def record_of(values: Mapping[str, Any], selection: Selection) -> Record:
    """The record of a row: a conversation's last question, or the texts of its columns with an empty line
    between them.

    Raises:
        InputInvalidError: a value is missing, empty, or can't be text.
    """
    if selection.requests:
        return read_request(values)[0]
    if selection.messages:
        messages = read_messages(values.get(selection.messages), selection.messages)
        return open_question(messages, selection.messages)
    fields = {name: as_text(values.get(name), name) for name in selection.text}
    text = "\n\n".join(part for part in fields.values() if part.strip())
    if not text:
        raise InputInvalidError("The text is empty.", hint="There must be some text to work on.")
    return Record(text, fields=fields)


def as_text(value: Any, column: str) -> str:
    """A value as text: a number as it is written, a list of texts joined by spaces, bytes as UTF-8."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(item.strip() for item in value)
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    raise InputInvalidError(
        f"The value of {column!r} is not a text: {shortened(value)}.",
        hint="Name another column, or convert the file.",
    )


class ReferenceReader:
    """Reads the references of a table's rows.

    Args:
        selection: with the column of references, or of conversations.
    """

    def __init__(self, task: Task[Any], selection: Selection) -> None:
        self._task, self._selection = task, selection
        # While the labels aren't known, neither is whether a text may have several or none.
        self._lists_labels = task.multi_label or (task.open_labels and not task.labels)
        self._binary: set[str] = set()

    def __call__(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The references of a row, one or more.

        Raises:
            InputInvalidError: it is missing, empty, can't be text, or is not a label of the task.
        """
        if column := self._selection.messages:
            return (last_answer(read_messages(values.get(column), column), column),)
        column = self._selection.reference
        value = values.get(column)
        if self._lists_labels:
            listed = value if isinstance(value, list) else [value]
            return (self._task.reference("\n".join(as_text(entry, column) for entry in listed)),)
        found = []
        for entry in value if isinstance(value, list) and value else [value]:
            if isinstance(entry, bool) and self._task.labels:
                entry = str(entry)
            text = as_text(entry, column)
            if not text.strip():
                what = "missing" if entry is None or entry == [] else "empty"
                raise InputInvalidError(
                    f"The reference in {column!r} is {what}.", hint="Complete the row or remove it."
                )
            check_unicode(text, f"The reference in {column!r}")
            found.append(self._task.reference(text))
            self._check_binary(text.strip())
        return tuple(found)

    def _check_binary(self, text: str) -> None:
        """Where -1 and 0 occur, 0 is likely a third class."""
        known = {**self._task.labels, **self._task.label_map}
        if self._task.labels and "-1" not in known and text in ("-1", "0"):
            self._binary.add(text)
            if len(self._binary) > 1:
                raise InputInvalidError(
                    f"Both -1 and 0 occur in {self._selection.reference!r}.",
                    hint="Say what they mean: --label-map=-1=LABEL,0=LABEL",
                )


def row_options(values: Mapping[str, Any], selection: Selection, options: type[Options]) -> dict[str, Any]:
    """The task's options that a row brings; an empty value leaves the option as it is for the others.

    Raises:
        InputInvalidError, OptionError: a value that the option can't take.
    """
    if not selection.options and not selection.requests:
        return {}
    if selection.requests:
        names = {spec.name for spec in option_specs(options)}
        return {name: value for name, value in read_request(values)[1].items() if name in names}
    given = {find_option(options, name): values.get(column) for name, column in selection.options.items()}
    return {spec.name: option_value(spec, value) for spec, value in given.items() if value not in (None, "")}


def option_value(spec: OptionSpec, value: Any) -> Any:
    """A value from a file without types as the option's type; others are left to be checked.

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
        raise OptionError(f"{spec.public_name} is {value!r}, must be of type {spec.type.__name__}.") from None
