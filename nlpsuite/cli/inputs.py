"""Reading a user's input: a file, standard input or a text on the command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nlpsuite.data.record import check_unicode
from nlpsuite.errors import InputInvalidError, InputNotFoundError

__all__ = ["Input", "check_text", "read_input"]

_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Input:
    """A text and where it came from (a path, ``-`` or ``--text``)."""

    source: str
    text: str


def read_input(path: str, encoding: str = "utf-8") -> Input:
    """Read a text file, or standard input for ``-``.

    Raises:
        InputNotFoundError: missing, a directory, or not readable.
        InputInvalidError: binary, wrongly encoded or empty.
    """
    name = "standard input" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except FileNotFoundError:
        raise InputNotFoundError(
            f"There is no file {path}.", hint="Check the name, or use --text TEXT."
        ) from None
    except IsADirectoryError:
        raise InputNotFoundError(
            f"{path} is a directory.", hint=f"Name its files, for example {path.rstrip('/')}/*.txt."
        ) from None
    except (OSError, ValueError) as error:
        raise InputNotFoundError(f"Can't read {name}: {getattr(error, 'strerror', None) or error}.") from None
    for mark, marked_encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            encoding = marked_encoding
    if b"\0" in data and not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise InputInvalidError(
            f"{name} is not a text file: it has a NUL byte at offset {data.index(0):,}.",
            hint="Convert it to plain text first (pdftotext, pandoc), or name its encoding: --encoding utf-16-le.",
        )
    try:
        text = data.decode(encoding)
    except LookupError:
        raise InputInvalidError(
            f"There is no encoding {encoding!r}.", hint="Examples: utf-8, latin-1, cp1252, utf-16."
        ) from None
    except UnicodeDecodeError as error:
        raise InputInvalidError(
            f"{name} is not valid {encoding}: byte 0x{data[error.start]:02x} at offset {error.start:,}.",
            hint="Name its encoding, for example --encoding latin-1 or --encoding cp1252.",
        ) from None
    except UnicodeError as error:  # codecs that decode no text
        raise InputInvalidError(
            f"{name} can't be read as {encoding}: {error}.", hint="Examples: utf-8, latin-1, cp1252, utf-16."
        ) from None
    check_text(text, name)
    return Input(path, text)


def check_text(text: str, name: str) -> None:
    """Raises InputInvalidError if there is nothing but white space, or half a character."""
    check_unicode(text, name)
    if not text.strip():
        raise InputInvalidError(f"{name} is empty.", hint="There must be some text to work on.")
