"""Files of predictions: read to be evaluated or compared, and written as ``nlpsuite score`` writes them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.merge import RESULT_COLUMNS, check_output_format, write_rows
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.provenance import model_of
from nlpsuite.evaluation.rows import EvaluatedRow, prediction_column_of, result_of, rows_of
from nlpsuite.files import atomic_write

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["PredictionFile", "open_predictions", "shown_columns", "write_predictions"]

_UNTYPED = ("csv", "tsv")  # files that hold a list as JSON


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions, and the manifest of the job beside it.

    Attributes:
        name: as the user gave it.
        manifest: of the job that wrote the file; empty if there is none.
    """

    name: str
    table: Table
    manifest: Mapping[str, Any]

    @property
    def _keys(self) -> Mapping[str, Any]:
        return self.manifest.get("keys", {})  # type: ignore[no-any-return]

    @property
    def task(self) -> str:
        """The task's name; empty without a job."""
        return str(self._keys.get("task", ""))

    @property
    def options(self) -> dict[str, Any]:
        """The options that the task was run with; empty without a job."""
        return dict(self._keys.get("effective_options", {}))

    @property
    def text_columns(self) -> tuple[str, ...]:
        return shown_columns(self._keys)

    @property
    def reference_column(self) -> str:
        return str(self.manifest.get("reference", ""))

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of the input that was scored; empty without a job."""
        return tuple(self.manifest.get("columns", ()))

    @property
    def column(self) -> str:
        """The column of the predictions if the job added a prefix; else empty."""
        prefix = self.manifest.get("prefix", "")
        return f"{prefix}output" if prefix else ""

    @property
    def model(self) -> dict[str, Any] | None:
        """Name and sha256 of the model that made the predictions; None without a job."""
        return model_of(self.manifest) if self.manifest else None

    def rows(self, task: Task[Any], reference_column: str = "", column: str = "") -> list[EvaluatedRow]:
        """The rows with their results; their values are those of the input.

        Args:
            reference_column, column: columns of the right answers and of the predictions, where they aren't
                the usual ones.

        Raises:
            InputInvalidError: a row can't be read or lacks a value; names file and line.
        """
        prefix, column = str(self.manifest.get("prefix", "")), column or self.column
        done = []
        for row in rows_of(task, self.table, reference_column or self.reference_column):
            added = {*(prefix + name for name in RESULT_COLUMNS), prediction_column_of(row.values, column)}
            result = result_of(task, row.values, column, f"{self.name}, row {row.index + 1:,}")
            values = {name: value for name, value in row.values.items() if name not in added}
            done.append(dataclasses.replace(row, values=values, result=result))
        return done


def open_predictions(source: str, format: str = "") -> PredictionFile:
    """Open a file of predictions, and read the manifest of the job beside it if there is one.

    Raises:
        InputInvalidError, InputNotFoundError: it can't be read.
    """
    table = open_table(source, format=format)
    if table.reader.get("format") in _UNTYPED:
        table = dataclasses.replace(table, read=partial(_with_lists, table.read))
    manifest: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not written by a job of ours
        found = json.loads((Path(source).with_suffix(".job") / "manifest.json").read_bytes())
        if found["format"] == "nlpsuite-job" and "keys" in found:
            manifest = found
    if identity := manifest.get("keys", {}).get("id_column"):
        table = dataclasses.replace(table, id=identity)
    return PredictionFile(source, table, manifest)


def shown_columns(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of a job's input text, from the ``keys`` of its manifest."""
    return (keys["messages_column"],) if "messages_column" in keys else tuple(keys.get("text_columns", ()))


def _with_lists(read: Callable[[], Rows]) -> Rows:
    """Rows in which lists of texts, such as several references, are read from JSON."""
    for line, values in read():
        if isinstance(values, InputInvalidError):
            yield line, values
        else:
            yield line, {name: _list(value) for name, value in values.items()}


def _list(value: Any) -> Any:
    if isinstance(value, str) and value.startswith('["') and value.endswith('"]'):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def write_predictions(path: Path, rows: Sequence[EvaluatedRow], schema: bytes = b"") -> None:
    """Write rows with their results atomically.

    Args:
        schema: of the columns of the input, as ``Table.schema``.

    Raises:
        InputInvalidError: the file type can't be written, or can't hold a value.
        StorageError: the file can't be written.
    """
    suffix = check_output_format(path)
    left_out = {"guard"}
    if not any(row.output.probabilities for row in rows):
        left_out |= {"confidence", "probabilities"}
    if not any(row.output.data for row in rows):
        left_out.add("data")
    added = [name for name in RESULT_COLUMNS if name not in left_out]
    columns = dict.fromkeys(name for row in rows for name in row.values if name not in added)
    with atomic_write(path) as file:
        write_rows(
            file,
            suffix,
            lambda: ((row.values, row.result) for row in rows),
            list(columns),
            added,
            schema=schema,
        )
