"""Parquet, through Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.arrow import as_numbers, require_pyarrow, with_nanoseconds_as_text
from nlpsuite.data.compression import reading_errors, split_suffixes
from nlpsuite.data.lines import Values
from nlpsuite.errors import InputInvalidError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["read_parquet"]

_BATCH_ROWS = 1_024
_BUFFER_BYTES = 1 << 20  # of each column; without it, a whole row group is read at once


def read_parquet(path: Path) -> Iterator[tuple[int, Values]]:
    """Rows with the values that Arrow makes of them in Python; the line is the row's number, from 1.

    Timestamps in nanoseconds, for which Python has no type, become texts in ISO 8601. Other times that
    Python can't represent become whole numbers of their unit, as Arrow stores them.
    """
    pyarrow = require_pyarrow(f"Reading {path}")
    if compression := split_suffixes(path.name)[1]:
        raise InputInvalidError(
            f"{path} is a Parquet file in .{compression}, which can't be read piece by piece.",
            hint="Decompress it: Parquet is compressed inside.",
        )
    number = 0
    try:
        with reading_errors(path), pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            names = file.schema_arrow.names
            for name in names:
                if names.count(name) > 1:
                    raise InputInvalidError(f"{path}: two columns are called {name!r}.")
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                columns = [_python_values(column) for column in batch.columns]
                for i in range(batch.num_rows):
                    number += 1
                    yield number, {name: column[i] for name, column in zip(names, columns)}
    except (pyarrow.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputInvalidError(
            f"{path} can't be read after row {number:,}: {reason}", hint="Is it a complete Parquet file?"
        ) from None


def _python_values(column: pyarrow.Array) -> list[Any]:
    column = column.cast(with_nanoseconds_as_text(column.type))
    values: list[Any]
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        values = column.cast(as_numbers(column.type)).to_pylist()
    return values
