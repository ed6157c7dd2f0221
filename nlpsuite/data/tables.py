"""Tables: rows by column, from a file of any kind, a directory or standard input; and how results are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from nlpsuite.errors import InputInvalidError, InputNotFoundError

__all__ = ["OPENAI_BATCH", "Rows", "Table", "Writer", "open_table"]

OPENAI_BATCH = "openai-batch"
"""The format of the OpenAI Batch API's files."""

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


def open_table(
    source: str, *, format: str = "", directory_for_stdin: Path | None = None, encoding: str = "utf-8"
) -> Table:
    """The table that a user's input names. Nothing is read yet, but a file's schema.

    Args:
        source: a file; two text files whose lines belong together, as ``a.en,a.de`` (columns ``text`` and
            ``reference``); a directory, each text file below which is a row (columns ``file`` and
            ``text``); or ``-`` for standard input.
        format: a suffix that there is a reader for, or ``openai-batch``; by default, what the file's name
            says. Standard input is taken for JSON lines if it begins with ``{``, else for lines of text.
            For packed standard input, name both: ``csv.gz``.
        directory_for_stdin: where standard input is kept, so that it can be read again.
        encoding: of files of text.

    Raises:
        InputInvalidError: of no kind that can be read; lists those that can.
        InputNotFoundError: there is no such file or directory.
    """
    from nlpsuite.data import sources

    if source == "-":
        path = sources.keep_stdin(directory_for_stdin, format)
        return _of_file("standard input", path, "" if format != OPENAI_BATCH else format, encoding)
    path = Path(source)
    if path.is_dir():
        if format:
            raise InputInvalidError(
                f"{source} is a directory; its files are read as texts.",
                hint="Leave --format out, or name a file.",
            )
        return sources.open_directory(path, encoding)
    if not path.exists() and "," in source:
        return sources.open_pair(source, encoding)
    if not path.exists():
        raise InputNotFoundError(f"There is no file {source}.", hint="Check the name.")
    if not path.is_file():  # a pipe such as /dev/fd/63
        raise InputInvalidError(
            f"{source} is no file that can be read again.", hint=f"Give it as standard input: - < {source}"
        )
    return _of_file(source, path, format, encoding)


def _of_file(name: str, path: Path, format: str, encoding: str) -> Table:
    from nlpsuite.data import sources
    from nlpsuite.data.reading import find_reader, try_rows

    batch = format == OPENAI_BATCH
    suffix = "jsonl" if batch else find_reader(path, format.removeprefix(".").lower())
    reader = {"format": format if batch else suffix, **sources.reader_keys(suffix, path, encoding)}

    def read() -> Rows:
        rows = try_rows(suffix, path, encoding)
        return sources.flat_requests(rows) if batch else rows

    return Table(
        name,
        (path,),
        reader,
        read,
        schema=sources.schema_of(suffix, path),
        text=("messages",) if batch else (),
        id="custom_id" if batch else "",
    )
