"""Tables: rows by column from a file of any kind, two files, a folder, standard input or a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from nlpsuite.data.lines import Values
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.files import sha256_file

__all__ = ["OPENAI_BATCH", "Rows", "Table", "Writer", "open_table"]

OPENAI_BATCH = "openai-batch"
"""The format of the OpenAI Batch API's files."""

# Line (or number) and values of each row, in order; an error in place of a damaged row's values.
Rows: TypeAlias = Iterator[tuple[int, Values]]

_DELIMITERS = {"tab": "\t", "\\t": "\t"}


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

    @property
    def is_openai_batch(self) -> bool:
        return self.reader.get("format") == OPENAI_BATCH

    def sha256(self) -> str:
        """One sha256 for the bytes of the files, in order. Raises OSError."""
        digests = [sha256_file(file) for file in self.files]
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


def open_table(
    source: str,
    *,
    format: str = "",
    encoding: str = "utf-8",
    delimiter: str = "",
    escape: str = "",
    directory_for_stdin: Path | None = None,
) -> Table:
    """The table that a user's input names. Only a file's schema is read yet.

    Args:
        source: a file; two text files whose lines correspond, as ``a.en,a.de`` (columns ``text`` and
            ``reference``); a folder, each text file in which is a row (columns ``file`` and ``text``);
            ``-`` for standard input; or the name of a standard data set such as ``sst2:dev``.
        format: a suffix that there is a reader for, or ``openai-batch``; by default the file's own suffix.
            Standard input is taken for JSON if it begins with ``{`` or ``[``, else for lines of text. For
            compressed standard input, give both suffixes: ``csv.gz``.
        encoding: of text files; a byte order mark takes precedence.
        delimiter: between the values of a CSV or TSV file, ``tab`` for a tab; by default it is detected.
        escape: of quotes in a CSV file, if they aren't doubled.
        directory_for_stdin: where standard input is saved, so that it can be read more than once.

    Raises:
        InputInvalidError: an unsupported type; lists the supported ones.
        InputNotFoundError: there is no such file or folder.
        OptionError: an unknown encoding, or an option that the reader doesn't take.
    """
    from nlpsuite.data import sources
    from nlpsuite.data.datasets import datasets, open_dataset

    how = {"encoding": encoding, "delimiter": _DELIMITERS.get(delimiter, delimiter), "escape": escape}
    if source == "-":
        path = sources.save_stdin(directory_for_stdin, format)
        return sources.open_file("standard input", path, format if format == OPENAI_BATCH else "", how)
    path = Path(source)
    if path.is_dir():
        if format:
            raise InputInvalidError(
                f"{source} is a directory; its files are read as texts.",
                hint="Omit --format, or name a file.",
            )
        return sources.open_directory(path, encoding)
    if path.is_file():
        return sources.open_file(source, path, format, how)
    if path.exists():  # a pipe such as /dev/fd/63
        raise InputInvalidError(
            f"{source} can't be read more than once.", hint=f"Pass it as standard input: - < {source}"
        )
    if source.partition("@")[0] in datasets():
        return open_dataset(source)
    if "," in source:
        return sources.open_pair(source, encoding)
    raise InputNotFoundError(f"There is no file {source}.", hint="Check the name.")
