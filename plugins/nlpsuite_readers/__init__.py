"""Read files of examples: CSV, TSV as GLUE writes it (no quoting), and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nlpsuite import hookimpl
from nlpsuite.errors import InputInvalidError
from nlpsuite.tasks.lines import Reader, read_lines, shortened

Row: TypeAlias = tuple[int, Mapping[str, Any]]

_CSV_FIELD_LIMIT = 1 << 27  # characters; csv's own limit, 131,072, is less than a long article


@hookimpl
def nlpsuite_reader(suffix: str) -> Reader:
    return {"csv": _csv_rows, "tsv": _tsv_rows, "jsonl": _json_rows, "ndjson": _json_rows}[suffix]


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_CSV_FIELD_LIMIT)  # of the whole process, but only ever to this
    reader = csv.reader((line for _, line in read_lines(path)), strict=True)
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
        if any(cells):
            if header is None:
                header = _header(path, begins, cells)
            else:
                yield _row(path, begins, header, cells)
        begins = reader.line_num + 1


def _tsv_rows(path: Path) -> Iterator[Row]:
    header: list[str] | None = None
    for number, line in read_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if not any(cells):
            continue
        if header is None:
            header = _header(path, number, cells)
        else:
            yield _row(path, number, header, cells)


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    for i, name in enumerate(cells):
        if name in cells[:i]:
            raise InputInvalidError(
                f"{path}:{line}: two columns are called {name!r}.",
                hint="The first line must name the columns, each by its own name.",
            )
    return cells


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise InputInvalidError(
            f"{path}:{line}: there are {len(cells)} values for {len(header)} columns.",
            hint=f"Columns, as the first line names them: {', '.join(map(repr, header))}.",
        )
    return line, dict(zip(header, cells))


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputInvalidError(
                f"{path}:{number}: not valid JSON: {error}.", hint="Each line must be one JSON object."
            ) from None
        if not isinstance(values, dict):
            raise InputInvalidError(
                f"{path}:{number}: {shortened(values)} is no JSON object.",
                hint='Each line must be one, as in {"text": "…"}.',
            )
        yield number, values
