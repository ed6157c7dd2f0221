"""What readers of files of examples share: the lines of a file, and values shown in messages."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from nlpsuite.errors import InputInvalidError, InputNotFoundError

__all__ = ["Reader", "read_lines", "shortened"]


class Reader(Protocol):
    """Reads one kind of file: what the hook ``nlpsuite_reader`` returns."""

    def __call__(self, path: Path, /) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Line and values by column of each row, in the file's order. The line, counted from 1, is
        where the row begins; in a file without lines it is the row's number.

        Values are texts, lists of texts, or what JSON has. The name may end in ``.gz``; ``read_lines``
        unpacks that.

        Raises:
            InputInvalidError, InputNotFoundError: the file is damaged or can't be read; names file and
                line.
        """


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, counted from 1, and text of each line of a UTF-8 file, its end included. What ends in
    ``.gz`` is unpacked.

    Raises:
        InputInvalidError: not UTF-8, or damaged; names file and line.
        InputNotFoundError: it can't be read.
    """
    number = 1
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputInvalidError(
            f"{path}:{number}: byte 0x{error.object[error.start]:02x} is not valid UTF-8.",
            hint="Convert the file to UTF-8, for example with iconv.",
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputInvalidError(f"{path} is damaged: {error}.", hint="Download it again.") from None
    except OSError as error:
        raise InputNotFoundError(f"Can't read {path}: {error.strerror or error}.") from None


def shortened(value: Any) -> str:
    """A value as JSON, cut to 40 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"
