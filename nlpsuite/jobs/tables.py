"""Tables: rows by column, from a file of any kind, a directory or standard input; and how results are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from nlpsuite.errors import InputInvalidError

__all__ = ["Rows", "Table", "Writer"]

# Line (or number) and values of each row, in order; an error in place of the values of a damaged row.
Rows: TypeAlias = Iterator[tuple[int, Mapping[str, Any] | InputInvalidError]]


@dataclass(frozen=True)
class Table:
    """Rows that can be read again and again.

    Attributes:
        name: for people, as the user gave it.
        files: what is read, in order; their bytes are what the table's identity is made of.
        reader: how, with what else decides the rows: JSON values such as ``{"format": "csv"}``.
        read: gives the rows from the first on, without keeping them.
        schema: the columns' types as an Arrow schema (its serialised bytes) where the file has types of
            its own; empty where values are texts or JSON.
        text, reference, id: columns that a standard data set is known to have; empty where the task or
            the user says so.
        options: of the task, that the data set asks for.
    """

    name: str
    files: tuple[Path, ...]
    reader: Mapping[str, Any]
    read: Callable[[], Rows]
    schema: bytes = b""
    text: tuple[str, ...] = ()
    reference: str = ""
    id: str = ""
    options: Mapping[str, Any] | None = None


class Writer(Protocol):
    """Writes one kind of file: what the hook ``nlpsuite_writer`` returns."""

    def __call__(
        self,
        file: BinaryIO,
        rows: Callable[[], Iterable[Mapping[str, Any]]],
        columns: Sequence[str],
        schema: bytes,
        /,
    ) -> None:
        """Write all rows to an open file.

        The same rows give the same bytes. Memory stays flat however many there are.

        Args:
            rows: gives them from the first on, each time it is called. A row may lack columns (its value
                is then null); values are texts, what JSON has, or, from a file with types, what Arrow
                makes of them in Python.
            columns: of the file, in order.
            schema: of those columns whose types are known, as ``Table.schema``; may be empty.
        """
