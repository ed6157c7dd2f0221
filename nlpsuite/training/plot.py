"""The curves of a training run as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite.errors import MissingExtraError
from nlpsuite.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves"]

_BLUE, _ORANGE, _GREEN, _GREY = "#2a6fbb", "#d9622b", "#3a8f5c", "#6b7280"
_SMOOTHED_FROM = 40  # points; fewer are drawn as they are

_Rows = list[dict[str, Any]]


def draw_curves(metrics: _Rows, png: Path) -> None:
    """Plot training and validation loss, learning rate and speed against the step.

    Args:
        metrics: rows with a ``step`` and some of ``loss``, ``validation_loss``, ``lr`` and
            ``tokens_per_second``. Values that aren't finite are skipped.
        png: the picture, written atomically.

    Raises:
        MissingExtraError: matplotlib isn't installed.
        StorageError: ``png`` can't be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise MissingExtraError(
            "Drawing curves needs matplotlib.", hint="Install it: pip install 'nlpsuite[train]'."
        ) from None
    # Not through pyplot, whose state and backend are the user's.
    figure = Figure(figsize=(9, 6.2), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplot_mosaic([["loss", "loss"], ["lr", "speed"]], height_ratios=[2.2, 1])
    _draw_loss(axes["loss"], metrics)
    _draw_one(axes["lr"], metrics, "lr", "learning rate", _GREEN)
    _draw_one(axes["speed"], metrics, "tokens_per_second", "tokens per second", _GREY)
    for ax in axes.values():
        ax.set_xlabel("step")
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes["lr"].yaxis.set_major_formatter("{x:g}")
    axes["speed"].yaxis.set_major_formatter("{x:,.0f}")
    with atomic_write(png) as file:
        figure.savefig(file, format="png")


def _points(rows: _Rows, name: str) -> tuple[list[int], list[float]]:
    """Ascending steps, and the last finite value of ``name`` at each: a resumed run may repeat a step."""
    values = {
        row["step"]: float(row[name])
        for row in rows
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    }
    steps = sorted(values)
    return steps, [values[step] for step in steps]


def _draw_loss(ax: Axes, rows: _Rows) -> None:
    steps, losses = _points(rows, "loss")
    many = len(steps) >= _SMOOTHED_FROM
    if many:
        ax.plot(steps, losses, color=_BLUE, alpha=0.35, linewidth=0.8)
        losses = _smoothed(losses)
    label = "training, smoothed" if many else "training"
    drawn = ax.plot(steps, losses, color=_BLUE, linewidth=1.6, label=label, **_mark(steps)) if steps else []
    steps, losses = _points(rows, "validation_loss")
    if steps:
        drawn += ax.plot(
            steps, losses, color=_ORANGE, linewidth=1.6, marker="o", markersize=4, label="validation"
        )
        best = int(np.argmin(losses))
        ax.annotate(
            f"best {losses[best]:.3f}\nat step {steps[best]:,}",
            (steps[best], losses[best]),
            textcoords="offset points",
            xytext=(0, 14),
            ha="right" if best > len(steps) / 2 else "left",
            fontsize=9,
            color=_ORANGE,
        )
    if drawn:
        ax.legend(frameon=False)
    _style(ax, "loss (nats per token)", empty=not drawn)


def _draw_one(ax: Axes, rows: _Rows, name: str, title: str, colour: str) -> None:
    steps, values = _points(rows, name)
    if steps:
        ax.plot(steps, values, color=colour, linewidth=1.4, **_mark(steps))
        ax.set_ylim(0, 1.08 * max(values) or 1)
    _style(ax, title, empty=not steps)


def _mark(steps: list[int]) -> dict[str, Any]:
    """A single point needs a marker to be seen."""
    return {"marker": "o", "markersize": 4} if len(steps) == 1 else {}


def _style(ax: Axes, title: str, *, empty: bool) -> None:
    ax.set_title(title, loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25, linewidth=0.6)
    ax.tick_params(labelsize=9)
    if empty:
        ax.set_yticks([])
        ax.text(0.5, 0.5, "no values yet", transform=ax.transAxes, ha="center", color=_GREY, fontsize=9)


def _smoothed(values: list[float]) -> list[float]:
    """The mean of each value and its neighbours, over a twentieth of the curve."""
    half = max(1, len(values) // 40)
    sums = np.cumsum([0.0, *values])
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return list((sums[high] - sums[low]) / (high - low))
