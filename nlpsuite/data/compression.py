"""Compressed files: recognized by suffix, decompressed as they are read."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from nlpsuite.errors import InputInvalidError, MissingExtraError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["COMPRESSIONS", "decompression_errors", "open_decompressed", "split_suffixes"]

COMPRESSIONS = ("gz", "zst")
"""Suffixes that may follow a file's own."""

# A block is decompressed as a whole, and may grow a hundredfold or more.
_BLOCK_BYTES = 1 << 12


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
        MissingExtraError: it ends in ``.zst``, and zstandard is not installed.
    """
    compression = split_suffixes(path.name)[1]
    if compression == "gz":
        return cast(BinaryIO, gzip.open(path))
    if compression == "zst":
        return cast(BinaryIO, io.BufferedReader(_Zstandard(path), 1 << 16))
    return path.open("rb")


@contextlib.contextmanager
def decompression_errors(name: str | Path) -> Iterator[None]:
    """Turn what decompressing a truncated or corrupt file raises into an InputInvalidError."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, _DamagedError) as error:
        raise InputInvalidError(f"{name} is damaged: {error}.", hint="Download it again.") from None


class _DamagedError(Exception):
    """A file isn't Zstandard, or its end is missing."""


class _Zstandard(io.RawIOBase):
    """The content of a file of one or more Zstandard frames (RFC 8878).

    zstandard's own stream reader doesn't notice that a file ends inside a frame.
    """

    def __init__(self, path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError(
                f"Reading {path} needs zstandard.", hint="Install it: pip install 'nlpsuite[data]'."
            ) from None
        super().__init__()
        self._zstandard = zstandard
        self._frame: Any = None
        self._compressed = b""
        self._ready = memoryview(b"")
        self._file = path.open("rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        while not self._ready and self._advance():
            pass
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self) -> bool:
        """Decompress a block; False at the end."""
        self._compressed = self._compressed or self._file.read(_BLOCK_BYTES)
        if not self._compressed:
            if self._frame is not None:
                raise _DamagedError("it ends too early")
            return False
        if self._frame is None:
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(self._compressed))
        except self._zstandard.ZstdError as error:
            raise _DamagedError(str(error)) from None
        self._compressed = self._frame.unused_data
        if self._frame.eof:
            self._frame = None
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
