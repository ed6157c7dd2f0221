"""Tables: rows by column, read from anywhere and written to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from nlpsuite.data.lines import Values
from nlpsuite.files import sha256_file

__all__ = ["OPENAI_BATCH", "Rows", "Table", "Writer", "joint_sha256"]

OPENAI_BATCH = "openai-batch"
"""The format of the OpenAI Batch API's files."""

# Line (or number) and values of each row, in order; an error in place of a damaged row's values.
Rows: TypeAlias = Iterator[tuple[int, Values]]


@dataclass(frozen=True)
class Table:
    """Rows that can be read any number of times.

    Attributes:
        name: for messages, as the user gave it.
        files: what is read, in order; their bytes identify the table.
        reader: format, encoding and whatever else decides the rows, as JSON values.
        read: yields the rows from the first on, without keeping them.
        schema: the columns' types as a serialized Arrow schema, where the file has types of its own; empty
            where values are texts or JSON.
        text, reference, id: columns that a data set is known to have; empty where the task or the user
            says so.
        options: of the task, that the data set asks for.
        option_columns: option of the task to the column that holds its value, where a data set has such.
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
    option_columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_openai_batch(self) -> bool:
        return self.reader.get("format") == OPENAI_BATCH

    def digests(self) -> list[str]:
        """The sha256 of each file, in order. Raises OSError."""
        return [sha256_file(file) for file in self.files]

    def sha256(self) -> str:
        """One sha256 for the bytes of all files. Raises OSError."""
        return joint_sha256(self.digests())


def joint_sha256(digests: Sequence[str]) -> str:
    """One sha256 for several: of one, itself."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


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
            rows: yields them from the first on, each time it is called. A row may lack columns, whose
                value is then null; values are texts, JSON values, or, from a file with types, what Arrow
                makes of them in Python.
            columns: of the file, in order.
            schema: of those columns whose types are known, as ``Table.schema``; may be empty.

        Raises:
            InputInvalidError: the kind of file can't hold a value.
        """
