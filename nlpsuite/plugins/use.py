"""Metrics by name. Their results are checked, so that a fault is reported as the plugin's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.plugins.loading import failure, load_plugin

if TYPE_CHECKING:
    from nlpsuite.evaluation.metrics.base import Metric

__all__ = ["load_metric", "measure"]


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
