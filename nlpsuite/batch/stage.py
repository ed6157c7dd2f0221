"""Staging a job's input: its rows are read once, in order, and written in chunks.

Workers read only these chunks. So an engine needs no access to the input, compressed files and standard input
work like any other, and a file that changes while the job runs has no effect.
"""

from __future__ import annotations

import array
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nlpsuite.batch.job import write_staged
from nlpsuite.batch.storage import job_errors
from nlpsuite.data.lines import shortened
from nlpsuite.data.record import check_unicode
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError
from nlpsuite.files import sha256_file

__all__ = ["Staged", "hash_files", "stage", "stamps"]


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


def hash_files(files: tuple[Path, ...]) -> list[str]:
    """The sha256 of each file."""
    digests = []
    for file in files:
        with job_errors(file):
            digests.append(sha256_file(file))
    return digests


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
        id_column: column of unique ids; without one a row's id is its index.
        on_rows: called after each chunk with the number of rows read so far, and their columns.

    Raises:
        InputInvalidError: there are no rows, an id is missing, or two rows have the same; names the lines.
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
    if id_column:
        _check_ids(seen.ids, lambda: table.read(), id_column, table.name)
    return Staged(seen.rows, tuple(seen.columns), seen.damaged)


def _rows(rows: Rows, id_column: str, name: str, seen: _Seen) -> Iterator[dict[str, Any]]:
    known: Set[str] = frozenset()
    for line, values in rows:
        row_id: Any = seen.rows
        seen.rows += 1
        if isinstance(values, InputInvalidError):
            seen.damaged += 1
            row_id = None if id_column else row_id
            yield {"line": line, "id": row_id, "error": {"message": values.message, "hint": values.hint}}
            continue
        if values.keys() != known:
            for column in values:
                seen.columns.setdefault(column)
            known = values.keys()
        if id_column:
            row_id = _id(values, id_column, f"{name}:{line}")
            seen.ids.append(_hash(row_id))
        yield {"line": line, "id": row_id, "values": dict(values)}


def _id(values: Mapping[str, Any], column: str, place: str) -> str | int:
    if column not in values:
        raise InputInvalidError(
            f"{place}: there is no {column!r}, and each row needs its id.",
            hint=f"Columns: {', '.join(map(repr, values)) or 'none'}.",
        )
    value = values[column]
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputInvalidError(
            f"{place}: the id is {shortened(value) if value != '' else 'empty'}.",
            hint=f"Each row needs a text or a whole number in {column!r}, or leave --id-column out.",
        )
    check_unicode(str(value), f"{place}: the id")
    return value


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
        value = None if isinstance(row, InputInvalidError) else row.get(column)
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
