"""Tables of text whose first line names the columns: CSV and TSV. Every value is a text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from nlpsuite.data.lines import Values, read_lines, undecoded, without_end
from nlpsuite.errors import InputInvalidError

__all__ = ["read_csv", "read_tsv"]

_CSV_FIELD_LIMIT = 1 << 27  # characters; csv's own limit, 131,072, is less than a long article


def read_csv(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Rows of RFC 4180. Blank lines are passed over. A misplaced quote ends the reading: where the next
    row begins, nobody can say then.
    """
    csv.field_size_limit(_CSV_FIELD_LIMIT)  # of the whole process, but only ever to this
    lines = read_lines(path, encoding, "surrogateescape")
    reader = csv.reader((line for _, line in lines), strict=True)
    begins = 1
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputInvalidError(
                f"{path}:{begins}: {error}.", hint='A quoted value ends with " and has "" for a quote in it.'
            ) from None
        if cells is None:
            return
        if header is None:
            header = _header(path, begins, cells, encoding) if any(cells) else None
        elif cells:
            yield begins, _values(path, begins, header, cells, encoding)
        begins = reader.line_num + 1


def read_tsv(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Rows of lines with tabs between the values, as they stand. Blank lines are passed over, unless there
    is but one column, which is empty then.
    """
    header: list[str] | None = None
    for number, line in read_lines(path, encoding, "surrogateescape"):
        cells = without_end(line).split("\t")
        if header is None:
            header = _header(path, number, cells, encoding) if any(cells) else None
        elif cells != [""] or len(header) == 1:
            yield number, _values(path, number, header, cells, encoding)


def _header(path: Path, line: int, cells: list[str], encoding: str) -> list[str]:
    if damage := undecoded(path, line, "\t".join(cells), encoding):
        raise damage
    for i, name in enumerate(cells):
        if name in cells[:i]:
            raise InputInvalidError(
                f"{path}:{line}: two columns are called {name!r}.",
                hint="The first line must name the columns, each by its own name.",
            )
    return cells


def _values(path: Path, line: int, header: list[str], cells: list[str], encoding: str) -> Values:
    if damage := undecoded(path, line, "\t".join(cells), encoding):
        return damage
    if len(cells) != len(header):
        return InputInvalidError(
            f"{path}:{line}: there are {len(cells)} values for {len(header)} columns.",
            hint=f"Columns, as the first line names them: {', '.join(map(repr, header))}.",
        )
    return dict(zip(header, cells))
