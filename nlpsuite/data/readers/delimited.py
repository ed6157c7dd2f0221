"""Tables of text whose first line names the columns: CSV and TSV. Every value is a text."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from nlpsuite.data.lines import DamagedRow, Values, read_lines, undecoded, without_end
from nlpsuite.errors import InputInvalidError

__all__ = ["read_csv", "read_tsv"]

_CSV_FIELD_LIMIT = 1 << 27  # characters; csv's own limit, 131,072, is less than a long article
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def read_csv(
    path: Path, encoding: str = "utf-8", delimiter: str = "", escape: str = ""
) -> Iterator[tuple[int, Values]]:
    """Rows of RFC 4180. Blank lines are skipped. A misplaced quote ends the reading, because nothing says
    where the next row begins.

    Args:
        delimiter: by default the one of ``, ; tab |`` that divides the first lines evenly.
        escape: of a quote within quotes, usually a backslash; by default quotes are doubled.
    """
    csv.field_size_limit(_CSV_FIELD_LIMIT)  # of the whole process, but only ever to this
    lines = (line for _, line in read_lines(path, encoding, "surrogateescape"))
    sample = list(itertools.islice(lines, _SAMPLE_LINES))
    reader = csv.reader(
        itertools.chain(sample, lines),
        delimiter=delimiter or _sniffed(sample),
        escapechar=escape or None,
        strict=True,
    )
    begins = 1
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputInvalidError(
                f"{path}:{begins}: {error}.",
                hint='Within quotes a quote is written "". If the file has \\" instead: --escape "\\\\".',
            ) from None
        if cells is None:
            return
        if header is None:
            header = _header(path, begins, cells, encoding) if any(cells) else None
        elif cells:
            yield begins, _values(path, begins, header, cells, encoding)
        begins = reader.line_num + 1


def _sniffed(sample: Sequence[str]) -> str:
    """The delimiter that gives most rows as many values as the first; a comma in doubt."""
    best, best_share = ",", 0.5
    for delimiter in _DELIMITERS:
        try:
            widths = [len(cells) for cells in csv.reader(sample, delimiter=delimiter) if cells]
        except csv.Error:
            continue
        share = sum(width == widths[0] for width in widths) / len(widths) if widths else 0
        if widths and widths[0] > 1 and share > best_share:
            best, best_share = delimiter, share
    return best


def read_tsv(path: Path, encoding: str = "utf-8", delimiter: str = "") -> Iterator[tuple[int, Values]]:
    """Rows of lines with tabs between the values, without quoting. Blank lines are skipped, unless there
    is only one column, which is empty then.
    """
    header: list[str] | None = None
    for number, line in read_lines(path, encoding, "surrogateescape"):
        cells = without_end(line).split(delimiter or "\t")
        if header is None:
            header = _header(path, number, cells, encoding) if any(cells) else None
        elif cells != [""] or len(header) == 1:
            yield number, _values(path, number, header, cells, encoding)


def _header(path: Path, line: int, cells: list[str], encoding: str) -> list[str]:
    if damage := undecoded(path, line, "\t".join(cells), encoding):
        raise damage
    names: list[str] = []
    for number, name in enumerate(cells, start=1):
        if not name.strip():  # as spreadsheets write columns that have been cleared
            name = f"column_{number}"
            while name in names or name in cells:
                name += "_"
        if name in names:
            raise InputInvalidError(
                f"{path}:{line}: two columns are called {name!r}.",
                hint="The first line must give each column a name of its own.",
            )
        names.append(name)
    return names


def _values(path: Path, line: int, header: list[str], cells: list[str], encoding: str) -> Values:
    damage = undecoded(path, line, "\t".join(cells), encoding)
    if damage is None and len(cells) == len(header):
        return dict(zip(header, cells))
    readable = {
        name: cell for name, cell in zip(header, cells) if undecoded(path, line, cell, encoding) is None
    }
    if damage is None:
        damage = InputInvalidError(
            f"{path}:{line}: expected {len(header)} values, got {len(cells)}.",
            hint=f"Columns, as the first line names them: {', '.join(map(repr, header))}.",
        )
    return DamagedRow(damage.message, hint=damage.hint, values=readable)
