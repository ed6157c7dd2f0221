"""Compressed files: known by the end of their name, unpacked while they are read."""

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

__all__ = ["PACKINGS", "kind_of", "open_unpacked", "packing_errors"]

PACKINGS = ("gz", "zst")
"""Suffixes that may stand behind a file's own."""

# A piece is unpacked as a whole, and may become a hundred times as long and more.
_PIECE_BYTES = 1 << 12


def kind_of(name: str) -> tuple[str, str]:
    """A file's suffix without its dot, in lower case, and the packing behind it: ``csv`` and ``gz`` of
    ``a.CSV.gz``. Either may be empty.
    """
    name = name.lower().replace("\\", "/").rpartition("/")[2]
    packing = ""
    for known in PACKINGS:
        if name.endswith(f".{known}"):
            name, packing = name.removesuffix(f".{known}"), known
            break
    return name.rpartition(".")[2] if "." in name else "", packing


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if its name says that it is packed.

    Raises:
        OSError: it can't be opened.
        MissingExtraError: it ends in ``.zst``, and zstandard is not installed.
    """
    packing = kind_of(path.name)[1]
    if packing == "gz":
        return cast(BinaryIO, gzip.open(path))
    if packing == "zst":
        return cast(BinaryIO, io.BufferedReader(_Zstandard(path), 1 << 16))
    return path.open("rb")


@contextlib.contextmanager
def packing_errors(path: Path) -> Iterator[None]:
    """Turn what unpacking fails with, in a torn or damaged file, into an InputInvalidError."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, _DamagedError) as error:
        raise InputInvalidError(f"{path} is damaged: {error}.", hint="Download it again.") from None


class _DamagedError(Exception):
    """A file is no Zstandard, or its end is missing."""


class _Zstandard(io.RawIOBase):
    """The content of a file of one or more Zstandard frames (RFC 8878).

    zstandard's own stream reader takes the end of the file for the end of the content, even inside a frame.
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
        self._packed = b""
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
        """Unpack a piece; False at the end."""
        self._packed = self._packed or self._file.read(_PIECE_BYTES)
        if not self._packed:
            if self._frame is not None:
                raise _DamagedError("it ends too early")
            return False
        if self._frame is None:
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(self._packed))
        except self._zstandard.ZstdError as error:
            raise _DamagedError(str(error)) from None
        self._packed = self._frame.unused_data
        if self._frame.eof:
            self._frame = None
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
