"""What readers of text share: the lines of a file, damaged rows, and values shortened for messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from nlpsuite.data.text import Errors, read_blocks
from nlpsuite.errors import InputInvalidError

__all__ = [
    "DamagedRow",
    "Reader",
    "Values",
    "read_aligned",
    "read_lines",
    "shortened",
    "undecoded",
    "without_end",
]

# What stands in a row, by column; an error in place of a damaged row's values.
Values: TypeAlias = Mapping[str, Any] | InputInvalidError

# What `surrogateescape` makes of invalid bytes.
_ESCAPED = re.compile("[\udc80-\udcff]")


class DamagedRow(InputInvalidError):
    """A row that can't be used as a whole.

    Attributes:
        values: what could be read of it, by column; results keep it.
    """

    def __init__(self, message: str, *, hint: str = "", values: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.values: Mapping[str, Any] = values or {}


class Reader(Protocol):
    """Reads one kind of file: what the hook ``nlpsuite_reader`` returns."""

    def __call__(self, path: Path, /) -> Iterator[tuple[int, Values]]:
        """Line and values by column of each row, in the file's order. The line, counted from 1, is
        where the row begins; in a file without lines it is the row's number.

        Values are texts, lists of texts, or JSON values. The name may end in ``.gz`` or ``.zst``;
        ``read_lines`` decompresses it. A reader may also take keywords that users can set: ``encoding``,
        ``delimiter`` (between values) and ``escape`` (in front of a quote within quotes).

        In place of a damaged row's values it may yield an InputInvalidError, or a DamagedRow with what can
        be read of it: training stops there, a batch job reports the row and continues.

        Raises:
            InputInvalidError, InputNotFoundError: the file is damaged or can't be read; names file and
                line.
        """


def read_lines(path: Path, encoding: str = "utf-8", errors: Errors = "strict") -> Iterator[tuple[int, str]]:
    """Number, counted from 1, and text of each line, which ends in ``\\n`` or ``\\r\\n``; the last may not.

    The file is decompressed by its suffix and decoded as ``read_blocks`` says. A line feed ends a line; in
    a file whose first line ends in a lone carriage return, as old Macs wrote, a carriage return does.

    Args:
        errors: ``surrogateescape`` also yields lines that aren't valid in the encoding; ``undecoded``
            finds them.

    Raises:
        InputInvalidError: not valid in the encoding, or damaged; names file and line.
        InputNotFoundError, MissingExtraError, OptionError: as ``read_blocks``.
    """
    for number, line in enumerate(_lines(read_blocks(path, encoding, "surrogateescape")), start=1):
        if errors == "strict" and (damage := undecoded(path, number, line, encoding)):
            raise damage
        yield number, line


def _lines(blocks: Iterable[str]) -> Iterator[str]:
    end = ""
    parts: list[str] = []  # of the line that is not complete yet
    for block in blocks:
        if not end:
            block = "".join([*parts, block])
            parts = []
            end = "\n" if "\n" in block else "\r" if "\r" in block[:-1] else ""
        first, *others = block.split(end) if end else [block]
        parts.append(first)
        for other in others:
            yield "".join(parts) + "\n"
            parts = [other]
    if rest := "".join(parts):
        yield rest[:-1] + "\n" if not end and rest.endswith("\r") else rest


def undecoded(path: Path, number: int, text: str, encoding: str = "utf-8") -> InputInvalidError | None:
    """The error of a line or value, read with ``surrogateescape``, that isn't valid text."""
    if text.isascii() or not (found := _ESCAPED.search(text)):
        return None
    return InputInvalidError(
        f"{path}:{number}: byte 0x{ord(found[0]) - 0xDC00:02x} is not valid {encoding.replace('utf', 'UTF')}.",
        hint="Name its encoding, for example --encoding latin-1 or --encoding cp1252.",
    )


def without_end(line: str) -> str:
    """A line without its ``\\n`` or ``\\r\\n``."""
    return line[:-2] if line.endswith("\r\n") else line.removesuffix("\n")


def read_aligned(
    texts: Path, references: Path, columns: tuple[str, str], encoding: str = "utf-8"
) -> Iterator[tuple[int, Values]]:
    """Rows of two files whose lines correspond, as a ``Reader`` gives them.

    Args:
        columns: names of a row's two values.

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
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:40] + "…"
