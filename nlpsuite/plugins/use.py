"""Metrics and readers by name. What a plugin gives is checked, so that its faults are told as its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.plugins.loading import failure, load_plugin

if TYPE_CHECKING:
    from nlpsuite.metrics.base import Metric
    from nlpsuite.tasks.lines import Reader

__all__ = ["load_metric", "measure", "read_rows"]


def load_metric(name: str) -> Metric:
    """The metric of that name, bundled or a third party's.

    Raises:
        UnknownTaskError: no plugin offers it, or it is disabled.
        PluginError: its plugin fails to import, raises, or breaks the contract.
    """
    metric: Metric = load_plugin(find_plugin("metric", name))
    return metric


def measure(name: str, outputs: Sequence[str], references: Sequence[str]) -> float:
    """The figure that a metric gives.

    Raises:
        UnknownTaskError, PluginError: as ``load_metric``; PluginError as well if the figure is no number.
        InputInvalidError: none at all, or not as many references as outputs.
    """
    value = load_metric(name)(outputs, references)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise failure(find_plugin("metric", name), f"its metric gave {value!r} instead of a number")
    return float(value)


def read_rows(suffix: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of each row of a file, by the reader of its kind.

    Raises:
        UnknownTaskError: no plugin reads that kind, or it is disabled.
        PluginError: its plugin fails to import, raises, or breaks the contract.
        InputInvalidError, InputNotFoundError: as the reader says.
    """
    plugin = find_plugin("reader", suffix)
    read: Reader = load_plugin(plugin)
    rows = read(path)
    if not isinstance(rows, Iterator):
        raise failure(plugin, f"its reader returned {type(rows).__name__} instead of an iterator")
    for row in rows:
        if not (
            isinstance(row, tuple) and len(row) == 2 and type(row[0]) is int and isinstance(row[1], Mapping)
        ):
            raise failure(plugin, f"its reader gave a {type(row).__name__} instead of a line and its values")
        yield row
