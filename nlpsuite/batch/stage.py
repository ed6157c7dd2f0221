"""Staging a job's input: its rows are read once, in order, and written in chunks.

Workers read only these chunks. So an engine needs no access to the input, compressed files and standard input
work like any other, and a file that changes while the job runs has no effect.
"""

from __future__ import annotations

import array
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nlpsuite.batch.job import write_staged
from nlpsuite.batch.storage import job_errors
from nlpsuite.data.columns import id_of
from nlpsuite.data.lines import DamagedRow
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError

__all__ = ["Staged", "stage", "stamps"]


@dataclass(frozen=True)
class Staged:
    """The staged input.

    Attributes:
        rows: in all.
        columns: in the order in which they first appeared.
        damaged: rows that could not be read.
    """

    rows: int
    columns: tuple[str, ...]
    damaged: int


@dataclass
class _Seen:
    """Columns, and a hash of each id: all that stays in memory is eight bytes a row."""

    columns: dict[str, None] = field(default_factory=dict)
    ids: array.array[int] = field(default_factory=lambda: array.array("Q"))
    rows: int = 0
    damaged: int = 0
    first_damage: InputInvalidError | None = None


def stage(
    table: Table,
    directory: Path,
    *,
    chunk_rows: int,
    id_column: str = "",
    limit: int | None = None,
    on_rows: Callable[[int, Sequence[str]], None] = lambda rows, columns: None,
) -> Staged:
    """Write a table's rows to ``directory/input``.

    Args:
        id_column: column of unique ids; a row without one is damaged. Without the column a row's id is its
            index.
        on_rows: called after each chunk with the number of rows read so far, and their columns.

    Raises:
        InputInvalidError: there are no rows, or none that can be used, with the reason of the first; or an id
            occurs twice, with both lines.
        InputNotFoundError, JobStorageError: a file can't be read or written.
    """
    seen = _Seen()
    rows = _rows(itertools.islice(table.read(), limit), id_column, table.name, seen)
    for chunk in itertools.count():
        part = list(itertools.islice(rows, chunk_rows))
        if not part:
            break
        write_staged(directory, chunk, part, typed=bool(table.schema))
        on_rows(seen.rows, tuple(seen.columns))
    if not seen.rows:
        raise InputInvalidError(f"{table.name} has no rows.", hint="Add at least one row.")
    if seen.first_damage and seen.damaged == seen.rows:
        raise InputInvalidError(
            f"No row of {table.name} can be used. The first: {seen.first_damage.message}",
            hint=seen.first_damage.hint,
        )
    if id_column:
        _check_ids(seen.ids, lambda: table.read(), id_column, table.name)
    return Staged(seen.rows, tuple(seen.columns), seen.damaged)


def _rows(rows: Rows, id_column: str, name: str, seen: _Seen) -> Iterator[dict[str, Any]]:
    known: Set[str] = frozenset()
    for index, (line, values) in enumerate(rows):
        row: dict[str, Any] = {"line": line, "id": None if id_column else index}
        damage: InputInvalidError | None = None
        if isinstance(values, InputInvalidError):
            damage = values
            values = values.values if isinstance(values, DamagedRow) else {}
        if values.keys() != known:
            for column in values:
                seen.columns.setdefault(column)
            known = values.keys()
        if id_column:
            try:
                row["id"] = id_of(values, id_column)
                seen.ids.append(_hash(row["id"]))
            except InputInvalidError as error:
                damage = damage or InputInvalidError(f"{name}:{line}: {error.message}", hint=error.hint)
        row["values"] = dict(values)
        if damage:
            seen.damaged += 1
            seen.first_damage = seen.first_damage or damage
            row["error"] = {"message": damage.message, "hint": damage.hint}
        seen.rows += 1
        yield row


def _hash(value: str | int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=8).digest(), "little")


def _check_ids(hashes: array.array[int], read: Callable[[], Rows], column: str, name: str) -> None:
    """Look at rows whose hashes are equal: two ids may share a hash of 64 bits, two rows must not share an id."""
    values = np.sort(np.frombuffer(hashes, dtype=np.uint64)) if hashes else np.zeros(0, np.uint64)
    doubled = {int(value) for value in values[1:][values[1:] == values[:-1]]}
    if not doubled:
        return
    first: dict[str | int, int] = {}
    for line, row in read():
        readable = row.values if isinstance(row, DamagedRow) else row
        value = None if isinstance(readable, InputInvalidError) else readable.get(column)
        if isinstance(value, (str, int)) and _hash(value) in doubled:
            if value in first:
                raise InputInvalidError(
                    f"{name}:{line}: the id {value!r} is also that of line {first[value]}.",
                    hint="Ids must differ; leave --id-column out to number the rows.",
                )
            first[value] = line


def stamps(files: tuple[Path, ...]) -> list[tuple[int, int]]:
    """Size and modification time of each file."""
    found = []
    for file in files:
        with job_errors(file):
            status = os.stat(file)
        found.append((status.st_size, status.st_mtime_ns))
    return found
