"""Files of predictions: written as ``nlpsuite score`` writes them, and read again to be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.tables import Rows, Table, open_table
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.rows import EvaluatedRow, prediction_column_of, prediction_of, rows_of
from nlpsuite.files import atomic_write

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["PredictionFile", "open_predictions", "write_predictions"]

_UNTYPED = ("csv", "tsv")  # files in which a list stands as JSON
_ADDED = ("output", "confidence", "probabilities", "data", "status", "error")


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions and what the job beside it says of it.

    Attributes:
        name: for people.
        manifest: of the job that wrote it; empty if there is none.
    """

    name: str
    table: Table
    manifest: Mapping[str, Any]

    @property
    def task(self) -> str:
        """The task's name; empty where no job says it."""
        return str(self.manifest.get("keys", {}).get("task", ""))

    @property
    def text_columns(self) -> tuple[str, ...]:
        keys = self.manifest.get("keys", {})
        return (
            (keys["messages_column"],) if "messages_column" in keys else tuple(keys.get("text_columns", ()))
        )

    @property
    def reference_column(self) -> str:
        return str(self.manifest.get("reference", ""))

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Of the input that was scored; empty where no job says it."""
        return tuple(self.manifest.get("columns", ()))

    @property
    def column(self) -> str:
        """With the predictions, where the job called it otherwise than usual; else empty."""
        prefix = self.manifest.get("prefix", "")
        return f"{prefix}output" if prefix else ""

    @property
    def model(self) -> dict[str, Any] | None:
        """Name and sha256 of the model that made the predictions."""
        if not self.manifest:
            return None
        return {"name": self.manifest["model"], "sha256": self.manifest["keys"]["model"]["sha256"]}

    def rows(self, task: Task[Any], reference_column: str = "", column: str = "") -> list[EvaluatedRow]:
        """The rows with their predictions; their values are those of the input.

        Args:
            reference_column, column: with the right answers and with the predictions, if they are not the
                usual ones.

        Raises:
            InputInvalidError: a row is damaged or lacks what it needs; names file and line.
        """
        prefix, column = str(self.manifest.get("prefix", "")), column or self.column
        done = []
        for row in rows_of(task, self.table, reference_column or self.reference_column):
            added = {*(prefix + name for name in _ADDED), prediction_column_of(row.values, column)}
            prediction, error = prediction_of(task, row.values, column, f"{self.name}, row {row.index + 1:,}")
            values = {name: value for name, value in row.values.items() if name not in added}
            done.append(dataclasses.replace(row, values=values, prediction=prediction, error=error))
        return done


def open_predictions(source: str, format: str = "") -> PredictionFile:
    """A file of predictions; what it is of stands in ``manifest.json`` of its job, if there is one beside it.

    Raises:
        InputInvalidError, InputNotFoundError: it can't be read.
    """
    table = open_table(source, format=format)
    if table.reader.get("format") in _UNTYPED:
        table = dataclasses.replace(table, read=partial(_with_lists, table.read))
    manifest: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a file of somebody else's
        found = json.loads((Path(source).with_suffix(".job") / "manifest.json").read_bytes())
        if found["format"] == "nlpsuite-job" and "keys" in found:
            manifest = found
    if identity := manifest.get("keys", {}).get("id_column"):
        table = dataclasses.replace(table, id=identity)
    return PredictionFile(source, table, manifest)


def _with_lists(read: Callable[[], Rows]) -> Rows:
    """Rows with the lists of texts, such as several references, that their writer put down as JSON."""
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
    """Write rows with their predictions; the file is there whole or not at all.

    Args:
        schema: of the columns of the input, as ``Table.schema``.

    Raises:
        InputInvalidError: an unsupported type of file, or one that can't hold a value.
        StorageError: the place can't be written.
    """
    from nlpsuite.data.writing import find_writer
    from nlpsuite.plugins.loading import load

    suffix = find_writer(path)
    labels = any(row.answered.probabilities for row in rows)
    data = any(row.answered.data for row in rows)
    left_out = {*(() if labels else ("confidence", "probabilities")), *(() if data else ("data",))}
    added = [name for name in _ADDED if name not in left_out]
    columns = [*dict.fromkeys(name for row in rows for name in row.values if name not in added), *added]

    def values() -> Iterator[Mapping[str, Any]]:
        for row in rows:
            yield {**row.values, **{name: value for name, value in _answer(row).items() if name in added}}

    with atomic_write(path) as file:
        load("writer", suffix)(file, values, columns, schema)


def _answer(row: EvaluatedRow) -> dict[str, Any]:
    prediction = row.prediction
    probabilities = dict(prediction.probabilities) if prediction and prediction.probabilities else None
    return {
        "output": prediction.text if prediction else None,
        "confidence": probabilities.get(row.answered.text) if probabilities else None,
        "probabilities": probabilities,
        "data": (dict(prediction.data) or None) if prediction else None,
        "status": "ok" if prediction else "error",
        "error": None if prediction else row.error,
    }
