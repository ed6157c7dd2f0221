"""Which columns of a table hold the text, the reference, the id and per-row options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlpsuite.data.lines import shortened
from nlpsuite.data.record import check_unicode
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, OptionError

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["Selection", "id_of", "parse_option_columns", "select_columns"]

_REFERENCE = "reference"  # in every standard data set, and so in what was written of one


@dataclass(frozen=True)
class Selection:
    """Columns by what they hold. A user's leaves empty what the data set or the task decides.

    Attributes:
        text: the input text, or its parts.
        messages: a whole conversation, in place of text and reference.
        reference: right answers; empty where none are needed.
        id: unique ids; empty where a row's number serves.
        options: option of the task to the column with each row's value.
        requests: rows are requests of the OpenAI Batch API.
    """

    text: tuple[str, ...] = ()
    messages: str = ""
    reference: str = ""
    id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    requests: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that hold what was asked."""
        return (self.messages,) if self.messages else self.text


def select_columns(
    task: Task[Any],
    table: Table,
    columns: Sequence[str],
    asked: Selection | None = None,
    *,
    text: bool = True,
    reference: bool = False,
) -> Selection:
    """The user's choice, completed: first by what the data set says, then by the task's usual names, then by
    the only column there is.

    Args:
        columns: of the table.
        text: whether a column of texts, or of conversations, must be found.
        reference: whether one of references must be.

    Raises:
        InputInvalidError: there is no such column; lists those that there are.
    """
    asked = asked or Selection()
    there = ", ".join(map(repr, columns)) or "none"
    wanted = (asked.text or table.text, asked.reference or (table.reference if reference else ""))
    identity = asked.id or table.id
    options = {**table.option_columns, **asked.options}
    for name in (*wanted[0], wanted[1], asked.id, *options.values()):
        if name and name not in columns and not table.is_openai_batch:
            raise InputInvalidError(f"{table.name} has no column {name!r}.", hint=f"Columns: {there}.")
    if table.is_openai_batch:
        return Selection(("messages",), id=identity, options=options, requests=True)
    texts, messages, answers = wanted[0], "", wanted[1]
    if not texts and not answers:
        messages = _first(columns, task.columns.messages)
    if not texts and not messages:
        usual = _first(columns, task.columns.text) or (columns[0] if len(columns) == 1 else "")
        texts = (usual,) if usual else ()
        if text and not texts:
            names = " or ".join((*task.columns.text, *task.columns.messages))
            raise InputInvalidError(
                f"{table.name} has no column called {names}.",
                hint=f"Name the text's: --text-column. Columns: {there}.",
            )
    if reference and not answers and not messages:
        answers = _first(columns, (*task.columns.reference, _REFERENCE))
        if not answers:
            raise InputInvalidError(
                f"{table.name} has no column called {' or '.join(task.columns.reference)}.",
                hint=f"Name the right answers': --reference-column. Columns: {there}.",
            )
    return Selection(texts, messages, answers, identity, options)


def id_of(values: Mapping[str, Any], column: str) -> str | int:
    """The id of a row: a text or a whole number, of which no row may have another's.

    Raises:
        InputInvalidError: it is missing or of another type.
    """
    if column not in values:
        raise InputInvalidError(
            f"there is no {column!r}, and each row needs an id.",
            hint=f"Columns: {', '.join(map(repr, values)) or 'none'}.",
        )
    value = values[column]
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputInvalidError(
            f"the id is {shortened(value) if value != '' else 'empty'}.",
            hint=f"Each row needs a text or a whole number in {column!r}, or omit --id-column.",
        )
    check_unicode(str(value), "the id")
    return value


def _first(columns: Sequence[str], usual: Iterable[str]) -> str:
    """The first of the usual names that there is a column for, whatever its case."""
    by_name = {name.strip().casefold(): name for name in reversed(columns)}
    return next((by_name[name] for name in usual if name in by_name), "")


def parse_option_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Option to column, of ``OPTION=COLUMN`` pairs. Raises OptionError."""
    columns = {}
    for pair in pairs:
        option, equals, column = pair.partition("=")
        if not (option and equals and column):
            raise OptionError(f"--option-column is {pair!r}.", hint="Give OPTION=COLUMN, such as to=lang.")
        columns[option.replace("-", "_")] = column
    return columns
