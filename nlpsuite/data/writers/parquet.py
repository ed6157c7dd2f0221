"""Parquet, through Arrow, with the column types of the input where it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from nlpsuite.data.arrow import from_python, require_pyarrow
from nlpsuite.data.writers.types import Kind, arrow_type, kind_of, unified
from nlpsuite.data.writers.values import as_text, not_unicode
from nlpsuite.errors import InputInvalidError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["write_parquet"]

_Row = Mapping[str, Any]

_GROUP_ROWS = 8_192
_GROUP_CHARACTERS = 1 << 25  # so that rows of long texts stay small in memory as well


def write_parquet(
    file: BinaryIO, rows: Callable[[], Iterable[_Row]], columns: Sequence[str], schema: bytes
) -> None:
    """Write Parquet. The types of columns that ``schema`` doesn't know are found by reading all rows first: a
    column of values of several kinds is written as text.

    Raises:
        MissingExtraError: pyarrow is not installed.
        InputInvalidError: a value isn't of its column's type.
    """
    pyarrow = require_pyarrow("Writing Parquet")
    known = pyarrow.ipc.read_schema(pyarrow.BufferReader(schema)) if schema else pyarrow.schema([])
    types = {field.name: field.type for field in known if field.name in columns}
    kinds = _kinds(rows(), [column for column in columns if column not in types])
    types |= {column: arrow_type(kind) for column, kind in kinds.items()}
    texts = frozenset(column for column, kind in kinds.items() if kind == "mixed")
    # A row that failed has no value where others must have one.
    fields = [pyarrow.field(column, types[column], nullable=True) for column in columns]
    whole = pyarrow.schema(fields)
    number = 0
    with pyarrow.parquet.ParquetWriter(file, whole, compression="zstd", version="2.6") as writer:
        for group in _groups(rows()):
            arrays = [_array(group, field, field.name in texts, number) for field in fields]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=whole), row_group_size=_GROUP_ROWS)
            number += len(group)


def _kinds(rows: Iterable[_Row], columns: Sequence[str]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = dict.fromkeys(columns)
    if columns:
        for row in rows:
            for column in columns:
                kinds[column] = unified(kinds[column], kind_of(row.get(column)))
    return kinds


def _groups(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    group: list[_Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str | list | bytes))
        if len(group) == _GROUP_ROWS or size >= _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _array(group: Sequence[_Row], field: pyarrow.Field, as_texts: bool, before: int) -> pyarrow.Array:
    import pyarrow

    values = [row.get(field.name) for row in group]
    if as_texts:
        values = [None if value is None else as_text(value) for value in values]
    try:
        return from_python(values, field.type)
    except (pyarrow.ArrowException, UnicodeEncodeError, TypeError, ValueError, OverflowError) as error:
        for i, value in enumerate(values):
            try:
                from_python([value], field.type)
            except UnicodeEncodeError:
                raise not_unicode(before + i + 1) from None
            except Exception:
                raise InputInvalidError(
                    f"Row {before + i + 1:,} has a value in {field.name!r} that can't be written as {field.type}: "
                    f"{error}.",
                    hint="Write .jsonl.",
                ) from None
        raise
