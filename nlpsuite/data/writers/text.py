"""Text files in UTF-8, with a line feed after each row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO

from nlpsuite.data.writers.values import as_json, as_text, not_unicode
from nlpsuite.errors import InputInvalidError

__all__ = ["write_csv", "write_json_lines", "write_tsv"]

_Rows = Callable[[], Iterable[Mapping[str, Any]]]

# RFC 4180 asks for quotes around the first four; some programs strip white space at the ends, and read
# U+FEFF in front as a byte order mark.
_QUOTED = re.compile(r'[",\n\r]|\A[\s\ufeff]|\s\Z')
# Where there is only one column, the other usual delimiters would be taken for such.
_QUOTED_ALONE = re.compile(_QUOTED.pattern + r"|[;\t|]")


def write_csv(file: BinaryIO, rows: _Rows, columns: Sequence[str], schema: bytes) -> None:
    """Write CSV (RFC 4180). Null and an empty text are both an empty value."""
    alone = len(columns) == 1
    _write(file, _csv_line(columns, alone), 0)
    for number, row in enumerate(rows(), start=1):
        _write(file, _csv_line([as_text(row.get(column)) for column in columns], alone), number)


def _csv_line(cells: Sequence[str], alone: bool) -> str:
    needed = _QUOTED_ALONE if alone else _QUOTED
    quoted = ['"' + cell.replace('"', '""') + '"' if needed.search(cell) else cell for cell in cells]
    if alone and not quoted[0]:
        return '""\n'  # a blank line is not a row
    return ",".join(quoted) + "\n"


def write_tsv(file: BinaryIO, rows: _Rows, columns: Sequence[str], schema: bytes) -> None:
    """Write tabs between values as they stand. Null is an empty value.

    Raises:
        InputInvalidError: a value has a tab or the end of a line in it.
    """
    _write(file, _tsv_line(columns, columns, 0), 0)
    for number, row in enumerate(rows(), start=1):
        _write(file, _tsv_line([as_text(row.get(column)) for column in columns], columns, number), number)


def _tsv_line(cells: Sequence[str], columns: Sequence[str], row: int) -> str:
    line = "\t".join(cells)
    if line.count("\t") >= len(cells) or "\n" in line or "\r" in line:
        column = next(name for name, cell in zip(columns, cells) if re.search(r"[\t\n\r]", cell))
        place = f"Row {row:,}" if row else "The first line"
        raise InputInvalidError(
            f"{place} has a tab or a line break in {column!r}, which TSV can't hold.",
            hint="Write .csv, .jsonl or .parquet.",
        )
    return line + "\n"


def write_json_lines(file: BinaryIO, rows: _Rows, columns: Sequence[str], schema: bytes) -> None:
    """Write a JSON object a line, with every column in each; only null is null."""
    for number, row in enumerate(rows(), start=1):
        values = {column: as_json(row.get(column)) for column in columns}
        _write(file, json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n", number)


def _write(file: BinaryIO, line: str, row: int) -> None:
    try:
        file.write(line.encode())
    except UnicodeEncodeError:
        raise not_unicode(row) from None
