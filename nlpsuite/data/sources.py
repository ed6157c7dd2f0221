"""Opening what a user names: a file, two files, a folder, standard input or a standard data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpsuite.data.arrow import require_pyarrow
from nlpsuite.data.compression import split_suffixes
from nlpsuite.data.datasets import datasets, open_dataset
from nlpsuite.data.lines import read_aligned
from nlpsuite.data.openai_batch import flat_requests
from nlpsuite.data.reading import find_reader, try_rows
from nlpsuite.data.record import check_unicode
from nlpsuite.data.tables import OPENAI_BATCH, Rows, Table
from nlpsuite.data.text import marked_encoding, read_text, stdin_bytes
from nlpsuite.errors import InputInvalidError, InputNotFoundError, MissingExtraError
from nlpsuite.files import atomic_write
from nlpsuite.plugins.registry import find_plugin

__all__ = ["files_below", "open_table"]

_BLOCK_BYTES = 1 << 20
_DELIMITERS = {"tab": "\t", "\\t": "\t"}


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
    how = {"encoding": encoding, "delimiter": _DELIMITERS.get(delimiter, delimiter), "escape": escape}
    if source == "-":
        path = _save_stdin(directory_for_stdin, format)
        return _open_file("standard input", path, format if format == OPENAI_BATCH else "", how)
    path = Path(source)
    if path.is_dir():
        if format:
            raise InputInvalidError(
                f"{source} is a directory; its files are read as texts.",
                hint="Omit --format, or name a file.",
            )
        return _open_directory(path, encoding)
    if path.is_file():
        return _open_file(source, path, format, how)
    if path.exists():  # a pipe such as /dev/fd/63
        raise InputInvalidError(
            f"{source} can't be read more than once.", hint=f"Pass it as standard input: - < {source}"
        )
    if source.partition("@")[0] in datasets():
        return open_dataset(source)
    if "," in source:
        return _open_pair(source, encoding)
    raise InputNotFoundError(f"There is no file {source}.", hint="Check the name.")


def _open_file(name: str, path: Path, format: str, how: Mapping[str, str]) -> Table:
    """The table of one file; see ``open_table``.

    Args:
        how: ``encoding``, and ``delimiter`` and ``escape`` or empty texts.
    """
    requests = format == OPENAI_BATCH
    suffix = "jsonl" if requests else find_reader(path, format.removeprefix(".").lower())
    reader = {"format": format if requests else suffix, "encoding": how["encoding"].lower()}
    if compression := split_suffixes(path.name)[1]:
        reader["packing"] = compression  # part of the fingerprint of jobs
    reader |= {key: how[key] for key in ("delimiter", "escape") if how[key]}
    plugin = find_plugin("reader", suffix)
    if not plugin.bundled:
        reader["plugin"] = f"{plugin.distribution} {plugin.version}"

    def read() -> Rows:
        rows = try_rows(suffix, path, **how)
        return flat_requests(rows) if requests else rows

    return Table(
        name,
        (path,),
        reader,
        read,
        schema=_schema(path) if suffix == "parquet" else b"",
        text=("messages",) if requests else (),
        id="custom_id" if requests else "",
    )


def _schema(path: Path) -> bytes:
    """The Arrow schema of a Parquet file, less its metadata."""
    pyarrow = require_pyarrow(f"Reading {path}")
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputInvalidError(
            f"{path} can't be read: {reason}",
            hint="Is it a complete Parquet file? If it is of another type, name it: --format.",
        ) from None
    fields = [field.remove_metadata() for field in schema]
    data: bytes = pyarrow.schema(fields).serialize().to_pybytes()
    return data


def _open_pair(source: str, encoding: str) -> Table:
    """The table of ``a.en,a.de``; see ``open_table``."""
    names = source.split(",")
    if len(names) != 2:
        raise InputInvalidError(
            f"{source} names {len(names)} files; a pair has two.",
            hint="Name two text files as a.en,a.de.",
        )
    texts, references = (Path(name) for name in names)
    for path in (texts, references):
        if not path.is_file():
            raise InputNotFoundError(f"There is no file {path}.", hint="Check the name.")
    return Table(
        source,
        (texts, references),
        {
            "format": "pair",
            "encoding": encoding.lower(),
            "packing": [split_suffixes(path.name)[1] for path in (texts, references)],
        },
        lambda: read_aligned(texts, references, ("text", "reference"), encoding),
        text=("text",),
        reference="reference",
    )


def _open_directory(path: Path, encoding: str) -> Table:
    """The table of the text files in a folder, by name; see ``open_table``. Other files are damaged rows."""
    names = files_below(path)
    if not names:
        raise InputNotFoundError(f"There are no files in {path}.", hint="Hidden files are not read.")

    def read() -> Rows:
        for number, name in enumerate(names, start=1):
            try:
                check_unicode(name, f"The name of the file {name!a}")
                yield number, {"file": name, "text": read_text(path / name, encoding)}
            except InputInvalidError as error:
                yield number, error
            except (InputNotFoundError, MissingExtraError) as error:
                yield number, InputInvalidError(error.message, hint=error.hint)

    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    return Table(
        str(path),
        tuple(path / name for name in names),
        {"format": "directory", "encoding": encoding.lower(), "names_sha256": digest},
        read,
        text=("text",),
    )


def files_below(path: Path) -> list[str]:
    """Relative names of the files in a folder, at any depth, sorted. Hidden files and folders are left out,
    and so are jobs.

    Raises:
        InputNotFoundError: a folder can't be read.
    """

    def fail(error: OSError) -> None:
        raise InputNotFoundError(f"Can't read {error.filename}: {error.strerror or error}.") from None

    found = []
    for place, directories, names in os.walk(path, onerror=fail):
        folder = Path(place)
        directories[:] = [
            name
            for name in directories
            if not name.startswith(".")
            and not (name.endswith(".job") and (folder / name / "manifest.json").exists())
        ]
        found += [folder / name for name in names if not name.startswith(".") and (folder / name).is_file()]
    return sorted(file.relative_to(path).as_posix() for file in found)


def _save_stdin(directory: Path | None, format: str) -> Path:
    """Copy standard input to a file of ``directory`` whose suffix says its format.

    Raises:
        InputInvalidError: there is no directory to save it in, or nothing can read the format.
        StorageError: the file can't be written.
    """
    if directory is None:
        raise InputInvalidError(
            "Standard input can't be read more than once here.", hint="Save it to a file first."
        )
    suffix = "jsonl" if format == OPENAI_BATCH else format.removeprefix(".").lower()
    if suffix:
        find_reader(Path(f"stdin.{suffix}"))
    source: Any = stdin_bytes()
    head = b""
    while not suffix:
        block = source.read1(_BLOCK_BYTES)
        head += block
        text = head.decode(marked_encoding(head) or "latin-1", "ignore").lstrip("\ufeff \t\r\n")
        if text or not block:
            suffix = {"{": "jsonl", "[": "json"}.get(text[:1], "txt")
    target = directory / f"stdin.{suffix}"
    with atomic_write(target) as file:
        file.write(head)
        while block := source.read(_BLOCK_BYTES):
            file.write(block)
    return target
