"""Examples for training and evaluation: records with reference answers, read from files.

What kinds of files there are, plugins say: ``.csv``, ``.tsv``, ``.jsonl`` and ``.parquet`` come with the
suite (plugins/nlpsuite_readers), those of text with or without ``.gz`` or ``.zst`` behind. Pairs of text files whose lines belong together
(``train.en.gz,train.de.gz``) are read here. Values are taken as they stand:
``007`` and ``NA`` are texts like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.lines import read_aligned, shortened
from nlpsuite.data.reading import find_reader, read_rows
from nlpsuite.data.record import Record, check_unicode
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.runtime.prompt import Message

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["Example", "example_files", "read_examples"]

_FORMS = "Name a .csv, .tsv, .jsonl or .parquet file, or two text files as in a.en,a.de."


@dataclass(frozen=True)
class Example:
    """A record and the answer that is right for it.

    Attributes:
        row: the line of the file on which it begins, counted from 1.
    """

    record: Record
    reference: str
    row: int


@dataclass(frozen=True)
class _Row:
    """Where a row stands, and its values by column."""

    place: str
    line: int
    values: Mapping[str, Any]


def example_files(path: str | Path) -> list[Path]:
    """The files that ``path`` means: itself, or the two of a pair.

    Raises:
        InputNotFoundError: one of them is missing or a directory.
        InputInvalidError: neither a file nor a pair.
    """
    if Path(path).exists() or "," not in str(path):
        names = [str(path)]
    else:
        names = str(path).split(",")
        if len(names) != 2:
            raise InputInvalidError(f"{path} names {len(names)} files; a pair has two.", hint=_FORMS)
    for name in names:
        if Path(name).is_dir():
            raise InputNotFoundError(f"{name} is a directory.", hint=_FORMS)
        if not Path(name).exists():
            raise InputNotFoundError(f"There is no file {name}.", hint="Check the name.")
    return [Path(name) for name in names]


def read_examples(
    path: str | Path,
    task: Task[Any],
    *,
    text_column: str | None = None,
    reference_column: str | None = None,
) -> Iterator[Example]:
    """The examples of a file, in its order; lines without content are passed over.

    Where a value is a list, its strings are joined by spaces to make the text; of several
    references the first is taken. A conversation gives an example for each answer in it.

    Args:
        path: of a file, or of a pair of text files with a comma between them.
        text_column, reference_column: where they stand; by default the first of ``task.columns``
            that the file has.

    Raises:
        InputNotFoundError: no such file.
        InputInvalidError: no such column, an unknown label, an empty or damaged row; names file
            and line.
    """
    files = example_files(path)
    columns = task.columns
    if len(files) == 2:
        rows = _aligned(files[0], files[1], text_column or "text", reference_column or "reference")
        text_column, reference_column = text_column or "text", reference_column or "reference"
    else:
        rows = _rows(files[0])
    found = False
    for row in rows:
        messages = None if text_column or reference_column else _find(row.values, columns.messages)
        try:
            if messages is not None:
                examples = list(_conversation(row, row.values[messages]))
            else:
                text = _column(row, text_column, columns.text, "text", "--text-column")
                answer = _column(row, reference_column, columns.reference, "reference", "--reference-column")
                examples = _pair(task, row, row.values[text], row.values[answer])
        except InputInvalidError as error:
            raise InputInvalidError(f"{row.place}: {error.message}", hint=error.hint) from None
        found = found or bool(examples)
        yield from examples
    if not found:
        raise InputInvalidError(f"{path} has no examples.", hint="Give at least one row with an answer.")


def _pair(task: Task[Any], row: _Row, text: Any, reference: Any) -> list[Example]:
    """The example of a row; none of a row without content."""
    text, reference = _text(text, "text", join=True), _text(reference, "reference", join=False)
    for value, name in ((text, "text"), (reference, "reference")):
        check_unicode(value, f"The {name}")
        if not value.strip():
            if not text.strip() and not reference.strip():
                return []
            raise InputInvalidError(f"The {name} is empty.", hint="Complete the row or remove it.")
    return [Example(Record(text), task.reference(reference), row.line)]


def _find(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of the names that there is a column for, whatever its case."""
    by_name = {name.strip().casefold(): name for name in reversed(list(values))}
    return next((by_name[name] for name in names if name in by_name), None)


def _column(row: _Row, wanted: str | None, usual: Sequence[str], what: str, flag: str) -> str:
    there = ", ".join(repr(name) for name in row.values) or "none"
    if wanted is not None:
        if wanted not in row.values:
            raise InputInvalidError(f"There is no column {wanted!r}.", hint=f"Columns: {there}.")
        return wanted
    if (found := _find(row.values, usual)) is None:
        raise InputInvalidError(
            f"No column is called {' or '.join(usual)}.",
            hint=f"Say which has the {what} with {flag}. Columns: {there}.",
        )
    return found


def _text(value: Any, what: str, *, join: bool) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(item.strip() for item in value) if join else next(iter(value), "")
    if value is None:
        return ""
    if type(value) is int:  # a label's number
        return str(value)
    if not isinstance(value, str):
        raise InputInvalidError(
            f"The {what} is {shortened(value)}, neither a text nor a list of texts.",
            hint="Name another column, or convert the file.",
        )
    return value


def _conversation(row: _Row, messages: Any) -> Iterator[Example]:
    """An example for each answer of the assistant's: what came before it, and the answer."""
    if not isinstance(messages, list) or not messages:
        raise InputInvalidError("The conversation is no list of messages.")
    turns: list[Message] = []
    answers = 0
    for entry in messages:
        role = entry.get("role") if isinstance(entry, dict) else None
        content = entry.get("content") if isinstance(entry, dict) else None
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise InputInvalidError(
                f"The message {shortened(entry)} can't be used.",
                hint='A message is {"role": "system"|"user"|"assistant", "content": "…"}.',
            )
        check_unicode(content, "A message")
        if role == "assistant":
            if not turns or turns[-1].role != "user":
                raise InputInvalidError("An answer follows no question of the user's.")
            yield Example(Record(turns[-1].content, tuple(turns[:-1])), content, row.line)
            answers += 1
        turns.append(Message(role, content))
    if not answers:
        raise InputInvalidError("The conversation has no answer of the assistant's.")


# Files, from bytes to rows.


def _rows(path: Path) -> Iterator[_Row]:
    for line, values in read_rows(find_reader(path), path):
        if values and all(value == "" for value in values.values()):
            continue  # a table's empty row
        yield _Row(f"{path}:{line}", line, values)


def _aligned(texts: Path, references: Path, text: str, reference: str) -> Iterator[_Row]:
    for line, values in read_aligned(texts, references, (text, reference)):
        if isinstance(values, InputInvalidError):
            raise values
        yield _Row(f"{texts}:{line}", line, values)
