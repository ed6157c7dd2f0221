"""What readers of files share: unpacking by name, the lines of a file, and values shown in messages."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import re
from collections.abc import Generator, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias

from nlpsuite.data.compression import open_unpacked, packing_errors
from nlpsuite.errors import InputInvalidError, InputNotFoundError, OptionError

__all__ = [
    "Reader",
    "Values",
    "read_aligned",
    "read_lines",
    "shortened",
    "undecoded",
    "without_end",
]

# What stands in a row, by column; an error in place of the values of a damaged one.
Values: TypeAlias = Mapping[str, Any] | InputInvalidError

_CONVERT = "Convert the file to UTF-8, for example with iconv."
# What `surrogateescape` makes of bytes that are no text.
_ESCAPED = re.compile("[\udc80-\udcff]")
# How the marks of UTF-16 come out; such a file has no line that can be read.
_UTF_16_MARKS = ("\udcff\udcfe", "\udcfe\udcff")


class Reader(Protocol):
    """Reads one kind of file: what the hook ``nlpsuite_reader`` returns."""

    def __call__(self, path: Path, /) -> Iterator[tuple[int, Values]]:
        """Line and values by column of each row, in the file's order. The line, counted from 1, is
        where the row begins; in a file without lines it is the row's number.

        Values are texts, lists of texts, or what JSON has. The name may end in ``.gz`` or ``.zst``;
        ``read_lines`` unpacks that. A reader of text may take a keyword ``encoding`` as well.

        A row that is damaged where the next is not may be told by yielding an InputInvalidError in place of
        its values: training ends at it, a batch job goes on.

        Raises:
            InputInvalidError, InputNotFoundError: the file is damaged or can't be read; names file and
                line.
        """


def read_lines(
    path: Path, encoding: str = "utf-8", errors: Literal["strict", "surrogateescape"] = "strict"
) -> Iterator[tuple[int, str]]:
    """Number, counted from 1, and text of each line of a file, its end included. What ends in ``.gz`` or
    ``.zst`` is unpacked. Only a line feed ends a line. A byte-order mark is left out.

    Args:
        errors: ``surrogateescape`` gives lines that are not of the encoding all the same; ``undecoded``
            finds them. UTF-16 and UTF-32 have no lines then, and raise.

    Raises:
        InputInvalidError: not of the encoding, or damaged; names file and line.
        InputNotFoundError: it can't be read.
        MissingExtraError: it ends in ``.zst``, and zstandard is not installed.
        OptionError: there is no such encoding.
    """
    encoding = _known(encoding)
    number = 0  # of the last line that was given
    try:
        with (
            packing_errors(path),
            open_unpacked(path) as file,
            contextlib.closing(_decoded(file, encoding, errors)) as lines,
        ):
            for line in lines:
                number += 1
                if number == 1:
                    if encoding == "utf-8" and line.startswith(_UTF_16_MARKS):
                        raise _wrong_byte(path, 1, ord(line[0]) & 0xFF, encoding)
                    line = line.removeprefix("\ufeff")
                yield number, line
    except UnicodeError as error:
        if _is_wide(encoding) or not isinstance(error, UnicodeDecodeError):
            raise InputInvalidError(f"{path} is not valid {encoding}: {error}.", hint=_CONVERT) from None
        raise _wrong_byte(path, number + 1, error.object[error.start], encoding) from None
    except OSError as error:
        raise InputNotFoundError(f"Can't read {path}: {error.strerror or error}.") from None


def _known(encoding: str) -> str:
    """An encoding's name as Python has it; byte-order marks are seen to in any case."""
    try:
        name = codecs.lookup(encoding).name.removesuffix("-sig")
        with contextlib.suppress(UnicodeError):
            b"a".decode(name)  # which a codec that is not for text refuses
    except (LookupError, ValueError):
        raise OptionError(
            f"There is no encoding {encoding!r}.", hint="Common ones: utf-8, latin-1, utf-16."
        ) from None
    return name


def _decoded(file: BinaryIO, encoding: str, errors: str) -> Generator[str, None, None]:
    if not _is_wide(encoding):
        yield from (line.decode(encoding, errors) for line in file)
        return
    wrapper = io.TextIOWrapper(file, encoding, newline="\n")
    try:
        yield from (line for line in wrapper)  # not from the wrapper itself, which would be closed
    finally:
        wrapper.detach()


def _is_wide(encoding: str) -> bool:
    """Whether a byte 0x0a need not be the end of a line."""
    return encoding.startswith(("utf-16", "utf-32"))


def undecoded(path: Path, number: int, text: str, encoding: str = "utf-8") -> InputInvalidError | None:
    """The error of a line or value, read with ``surrogateescape``, that is not of the encoding."""
    if text.isascii() or not (found := _ESCAPED.search(text)):
        return None
    return _wrong_byte(path, number, ord(found[0]) - 0xDC00, encoding)


def _wrong_byte(path: Path, number: int, byte: int, encoding: str) -> InputInvalidError:
    name = {"utf-8": "UTF-8"}.get(encoding, encoding)
    return InputInvalidError(
        f"{path}:{number}: byte 0x{byte:02x} is not valid {name}.",
        hint=_CONVERT,
    )


def without_end(line: str) -> str:
    """A line without its ``\\n`` or ``\\r\\n``."""
    return line[:-2] if line.endswith("\r\n") else line.removesuffix("\n")


def read_aligned(
    texts: Path, references: Path, columns: tuple[str, str], encoding: str = "utf-8"
) -> Iterator[tuple[int, Values]]:
    """Rows of two files whose lines belong together, as a ``Reader`` gives them.

    Args:
        columns: what the two values of a row are called.

    Raises:
        InputInvalidError: one file has more lines, or is damaged.
        InputNotFoundError, MissingExtraError, OptionError: as ``read_lines``.
    """
    files = (texts, references)
    for pair in zip_longest(*(read_lines(file, encoding, "surrogateescape") for file in files)):
        left, right = pair
        if left is None or right is None:
            longer, shorter = (references, texts) if left is None else (texts, references)
            number = (left or right)[0]
            raise InputInvalidError(
                f"{longer} has a line {number:,}, {shorter} has only {number - 1:,}.",
                hint="Each line must have its counterpart in the other file.",
            )
        damage = [undecoded(file, number, line, encoding) for file, (number, line) in zip(files, pair)]
        values = {column: without_end(line) for column, (_, line) in zip(columns, pair)}
        yield left[0], damage[0] or damage[1] or values


def shortened(value: Any) -> str:
    """A value as JSON, cut to 40 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"
