"""What tables are read from beside a plain file: two files, a directory, standard input, OpenAI's requests."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from nlpsuite.data.compression import kind_of, open_unpacked, packing_errors
from nlpsuite.data.lines import read_aligned
from nlpsuite.data.reading import find_reader
from nlpsuite.data.tables import OPENAI_BATCH, Rows, Table
from nlpsuite.errors import InputInvalidError, InputNotFoundError, MissingExtraError, OptionError
from nlpsuite.files import atomic_write
from nlpsuite.plugins.discovery import find_plugin

__all__ = ["flat_requests", "keep_stdin", "open_directory", "open_pair", "reader_keys", "schema_of"]

_PIECE_BYTES = 1 << 20
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def reader_keys(suffix: str, path: Path, encoding: str) -> dict[str, Any]:
    """What decides a file's rows beside its bytes and its format."""
    keys: dict[str, Any] = {"encoding": encoding.lower()}
    if packing := kind_of(path.name)[1]:
        keys["packing"] = packing
    plugin = find_plugin("reader", suffix)
    if not plugin.bundled:
        keys["plugin"] = f"{plugin.distribution} {plugin.version}"
    return keys


def schema_of(suffix: str, path: Path) -> bytes:
    """The Arrow schema of a Parquet file, less its metadata; empty for other files."""
    if suffix != "parquet":
        return b""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            f"Reading {path} needs pyarrow.", hint="Install it: pip install 'nlpsuite[data]'."
        ) from None
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputInvalidError(
            f"{path} can't be read: {reason}",
            hint="Is it a whole Parquet file? Then name its kind: --format.",
        ) from None
    fields = [field.remove_metadata() for field in schema]
    data: bytes = pyarrow.schema(fields).serialize().to_pybytes()
    return data


# Two files.


def open_pair(source: str, encoding: str) -> Table:
    """The table of ``a.en,a.de``; see ``open_table``."""
    names = source.split(",")
    if len(names) != 2:
        raise InputInvalidError(
            f"{source} names {len(names)} files; a pair has two.",
            hint="Two text files are named as a.en,a.de.",
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
            "packing": [kind_of(path.name)[1] for path in (texts, references)],
        },
        lambda: read_aligned(texts, references, ("text", "reference"), encoding),
        text=("text",),
        reference="reference",
    )


# A directory.


def open_directory(path: Path, encoding: str) -> Table:
    """The table of the text files below a directory, by name; see ``open_table``.

    Hidden files and directories are left out, and so are jobs and what a killed process left half-written.
    What ends in ``.gz`` or ``.zst`` is unpacked. A file that is no text is a damaged row.
    """
    names = sorted(_files_below(path))
    if not names:
        raise InputNotFoundError(f"There are no files in {path}.", hint="Hidden files are not read.")

    def read() -> Rows:
        for number, name in enumerate(names, start=1):
            try:
                yield number, {"file": name, "text": _text_of(path / name, encoding)}
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


def _files_below(path: Path) -> Iterator[str]:
    def failed(error: OSError) -> None:
        raise InputNotFoundError(f"Can't read {error.filename}: {error.strerror or error}.") from None

    for place, directories, files in os.walk(path, onerror=failed):
        directories[:] = [name for name in directories if not (name.startswith(".") or _is_job(place, name))]
        for name in files:
            file = Path(place, name)
            if not name.startswith(".") and file.is_file():
                yield file.relative_to(path).as_posix()


def _is_job(place: str, name: str) -> bool:
    return name.endswith(".job") and Path(place, name, "manifest.json").exists()


def _text_of(path: Path, encoding: str) -> str:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InputInvalidError(f"The name of {str(path)!a} is not valid UTF-8.", hint="Rename it.") from None
    try:
        with packing_errors(path), open_unpacked(path) as file:
            data = file.read(_PIECE_BYTES)
            mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
            encoding = _MARKS.get(mark, encoding)
            # A picture or film is known by its beginning; it need not be read whole.
            if b"\0" not in data or encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
                data += file.read()
            else:
                raise _binary(path)
    except OSError as error:
        raise InputNotFoundError(f"Can't read {path}: {error.strerror or error}.") from None
    try:
        text = data.decode(encoding)
    except LookupError:
        raise OptionError(
            f"There is no encoding {encoding!r}.", hint="Common ones: utf-8, latin-1, utf-16."
        ) from None
    except UnicodeError as error:
        raise InputInvalidError(
            f"{path} is not a text of {encoding}: {error}.",
            hint="Name its encoding with --encoding, or leave it out.",
        ) from None
    if "\0" in text:
        raise _binary(path)
    return text


def _binary(path: Path) -> InputInvalidError:
    return InputInvalidError(
        f"{path} is not a text file: it has a NUL character.", hint="Convert it to plain text first."
    )


# Standard input.


def keep_stdin(directory: Path | None, format: str) -> Path:
    """Copy standard input to a file of ``directory`` whose name says its format.

    Raises:
        InputInvalidError: there is no directory to keep it, or nothing can read the format.
        StorageError: the file can't be written.
    """
    if directory is None:
        raise InputInvalidError("Standard input can't be read again here.", hint="Put it into a file first.")
    suffix = "jsonl" if format == OPENAI_BATCH else format.removeprefix(".").lower()
    if suffix:
        find_reader(Path(f"stdin.{suffix}"))
    source = cast(io.BufferedReader, sys.stdin.buffer)
    head = b""
    while not suffix:
        piece = source.read1(_PIECE_BYTES)
        head += piece
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if start or not piece:
            suffix = "jsonl" if start == b"{" else "txt"
    target = directory / f"stdin.{suffix}"
    with atomic_write(target) as file:
        file.write(head)
        while piece := source.read(_PIECE_BYTES):
            file.write(piece)
    return target


# Requests of the OpenAI Batch API.


def flat_requests(rows: Rows) -> Rows:
    """Requests with their body's values as columns of their own: what ``openai_batch.read_request`` takes."""
    for line, values in rows:
        yield line, values if isinstance(values, InputInvalidError) else _flat(values)


def _flat(values: Mapping[str, Any]) -> Mapping[str, Any]:
    body = values.get("body")
    if not isinstance(body, dict) or values.keys() & body.keys():
        return values  # it can't be served, which is told where it is tried
    return {**{name: value for name, value in values.items() if name != "body"}, **body}
