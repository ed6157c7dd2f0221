"""Compressed files: recognized by suffix, decompressed as they are read."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nlpsuite.data.arrow import require_pyarrow
from nlpsuite.errors import InputInvalidError, InputNotFoundError

__all__ = ["COMPRESSIONS", "open_decompressed", "reading_errors", "split_suffixes"]

COMPRESSIONS = ("gz", "zst")
"""Suffixes that may follow a file's own."""


def split_suffixes(name: str) -> tuple[str, str]:
    """A file's suffix without its dot, in lower case, and its compression: ``csv`` and ``gz`` of
    ``a.CSV.gz``. Either may be empty.
    """
    name = name.lower().replace("\\", "/").rpartition("/")[2]
    compression = name.rpartition(".")[2]
    if compression in COMPRESSIONS and "." in name:
        name = name.removesuffix(f".{compression}")
    else:
        compression = ""
    return name.rpartition(".")[2] if "." in name else "", compression


def open_decompressed(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed if its suffix says so.

    Raises:
        OSError: it can't be opened.
        MissingExtraError: it ends in ``.zst``, and pyarrow is not installed.
    """
    compression = split_suffixes(path.name)[1]
    if compression == "gz":
        return cast(BinaryIO, gzip.open(path))
    if compression == "zst":
        pyarrow = require_pyarrow(f"Reading {path}")
        stream = pyarrow.CompressedInputStream(path.open("rb"), "zstd")
        return cast(BinaryIO, io.BufferedReader(stream, 1 << 16))
    return path.open("rb")


@contextlib.contextmanager
def reading_errors(name: str | Path) -> Iterator[None]:
    """Turn what reading a file raises into an InputInvalidError if the file is damaged, else into an
    InputNotFoundError.
    """
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        # gzip and Arrow report damage as an OSError without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise InputNotFoundError(f"Can't read {name}: {error.strerror}.") from None
        raise InputInvalidError(f"{name} is damaged: {error}.", hint="Download it again.") from None
