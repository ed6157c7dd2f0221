"""Text from a file or standard input: decompressed, decoded, whole or in blocks.

Every verb reads text through here, so a compression suffix, a byte order mark and an encoding mean the
same everywhere.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from nlpsuite.data.compression import open_decompressed, reading_errors
from nlpsuite.data.record import check_unicode
from nlpsuite.errors import InputInvalidError, InputNotFoundError, OptionError

__all__ = ["Errors", "Input", "check_text", "display_name", "known_encoding", "marked_encoding", "read_blocks",
           "read_input", "read_text", "stdin_bytes"]  # fmt: skip

Errors = Literal["strict", "surrogateescape"]

_BLOCK_BYTES = 1 << 16
# UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Input:
    """A text and where it came from: a path, ``-`` or ``--text``."""

    source: str
    text: str


def read_input(source: str, encoding: str = "utf-8") -> Input:
    """``read_text`` of something that must not be empty. Raises as ``read_text`` and ``check_text``."""
    if source != "-" and not Path(source).exists():
        raise InputNotFoundError(f"There is no file {source}.", hint="Check the name, or use --text TEXT.")
    text = read_text(source, encoding)
    check_text(text, display_name(source))
    return Input(source, text)


def check_text(text: str, name: str) -> None:
    """Raises InputInvalidError if a text is blank or has a lone surrogate."""
    check_unicode(text, name)
    if not text.strip():
        raise InputInvalidError(f"{name} is empty.", hint="There must be some text to work on.")


def read_text(source: str | Path, encoding: str = "utf-8") -> str:
    """The whole text of a file, or of standard input for ``-``. Raises as ``read_blocks``."""
    return "".join(read_blocks(source, encoding))


def read_blocks(
    source: str | Path, encoding: str = "utf-8", errors: Errors = "strict"
) -> Generator[str, None, None]:
    """The text of a source in blocks of any length, line ends as they are, without a byte order mark.

    Args:
        source: a file, decompressed by its suffix; ``-`` for standard input.
        encoding: a byte order mark takes precedence over it.
        errors: ``surrogateescape`` also yields what isn't valid in the encoding, and NUL, for callers that
            report single lines; invalid UTF-16 and UTF-32 raise all the same.

    Raises:
        InputNotFoundError: it doesn't exist or can't be read.
        InputInvalidError: it is binary, not valid in the encoding, or damaged.
        MissingExtraError: it ends in ``.zst``, and pyarrow is not installed.
        OptionError: there is no such encoding.
    """
    name = display_name(source)
    encoding = known_encoding(encoding)
    decoder: codecs.IncrementalDecoder | None = None
    offset = 0
    try:
        with reading_errors(name), _opened(source) as file:
            while True:
                block = file.read(_BLOCK_BYTES)
                if decoder is None:
                    encoding = marked_encoding(block) or encoding
                    decoder = codecs.getincrementaldecoder(encoding)(errors)
                    wide = encoding.startswith(("utf-16", "utf-32"))
                    if not wide and _looks_like_utf16(block):
                        raise InputInvalidError(
                            f"{name} looks like UTF-16 without a byte order mark.",
                            hint="Name its encoding: --encoding utf-16-le or utf-16-be.",
                        )
                if errors == "strict" and not wide and (at := block.find(0)) >= 0:
                    raise InputInvalidError(
                        f"{name} is not a text file: it has a NUL byte at offset {offset + at:,}.",
                        hint="Convert it to plain text first (pdftotext, pandoc), or name its encoding: "
                        "--encoding utf-16-le.",
                    )
                text = decoder.decode(block, final=not block)
                yield text.removeprefix("\ufeff") if offset == 0 else text
                offset += len(block)
                if not block:
                    return
    except UnicodeDecodeError as error:
        # The decoder's object begins with what was left over from the block before.
        at = max(0, offset + len(block) - len(error.object) + error.start)
        raise InputInvalidError(
            f"{name} is not valid {encoding}: byte 0x{error.object[error.start]:02x} at offset {at:,}.",
            hint="Name its encoding, for example --encoding latin-1 or --encoding cp1252.",
        ) from None
    except UnicodeError as error:
        raise InputInvalidError(
            f"{name} is not valid {encoding}: {error}.", hint="Name its encoding: --encoding utf-16-le."
        ) from None


def display_name(source: str | Path) -> str:
    """What messages call a source."""
    return "standard input" if str(source) == "-" else str(source)


def known_encoding(encoding: str) -> str:
    """Python's name of a text encoding, without the suffix for a byte order mark, which is always handled.

    Raises:
        OptionError: there is no such encoding.
    """
    try:
        name = codecs.lookup(encoding).name.removesuffix("-sig")
        with contextlib.suppress(UnicodeError):
            b"a".decode(name)  # refused by codecs that are not for text
    except (LookupError, ValueError):
        raise OptionError(
            f"There is no encoding {encoding!r}.", hint="Common ones: utf-8, latin-1, cp1252, utf-16."
        ) from None
    return name


def marked_encoding(data: bytes) -> str:
    """The encoding that a byte order mark at the start of ``data`` announces; empty without one."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "")


def _looks_like_utf16(data: bytes) -> bool:
    head = data[:64]
    return len(head) >= 16 and any(not any(head[start::2]) for start in (0, 1))


def stdin_bytes() -> BinaryIO:
    """Standard input; an empty stream where it is closed."""
    return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()


@contextlib.contextmanager
def _opened(source: str | Path) -> Iterator[BinaryIO]:
    if str(source) == "-":
        yield stdin_bytes()
        return
    try:
        file = open_decompressed(Path(source))
    except FileNotFoundError:
        raise InputNotFoundError(f"There is no file {source}.", hint="Check the name.") from None
    except IsADirectoryError:
        raise InputNotFoundError(
            f"{source} is a directory.", hint=f"Name its files, for example {str(source).rstrip('/')}/*.txt."
        ) from None
    except ValueError as error:  # a NUL in the name
        raise InputNotFoundError(f"Can't read {source}: {error}.") from None
    with file:
        yield file
