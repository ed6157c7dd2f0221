"""Parquet, through Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlpsuite.data.compression import kind_of
from nlpsuite.data.lines import Values
from nlpsuite.errors import InputInvalidError, InputNotFoundError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["read_parquet"]

_BATCH_ROWS = 1_024
_BUFFER_BYTES = 1 << 20  # of each column; without it, a whole row group is read at once


def read_parquet(path: Path) -> Iterator[tuple[int, Values]]:
    """Rows with the values that Arrow makes of them in Python; the line is the row's number, from 1.

    Points of time in nanoseconds, which Python has no type for, are texts in ISO 8601.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            f"Reading {path} needs pyarrow.", hint="Install it: pip install 'nlpsuite[data]'."
        ) from None
    if packing := kind_of(path.name)[1]:
        raise InputInvalidError(
            f"{path} is a Parquet file in .{packing}, which can't be read piece by piece.",
            hint="Unpack it: Parquet is compressed inside.",
        )
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            names = file.schema_arrow.names
            for name in names:
                if names.count(name) > 1:
                    raise InputInvalidError(f"{path}: two columns are called {name!r}.")
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                for values in _exact_times(batch).to_pylist():
                    number += 1
                    yield number, values
    except (pyarrow.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputInvalidError(
            f"{path} can't be read behind row {number:,}: {reason}", hint="Is it a whole Parquet file?"
        ) from None
    except OSError as error:
        if error.errno is None:  # what Arrow says of a damaged page
            raise InputInvalidError(f"{path} is damaged: {error}", hint="Download it again.") from None
        raise InputNotFoundError(f"Can't read {path}: {error.strerror or error}.") from None


def _exact_times(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    import pyarrow

    for i, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            texts = batch.column(i).cast(pyarrow.string())
            batch = batch.set_column(i, field.name, texts)
    return batch
