"""Plots as inline SVG, coloured by the page's style sheet.

All functions return SVG with escaped texts. Lengths are in units of its view box, which the page scales to its
width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlpsuite.evaluation.metrics.calibration import Bin
    from nlpsuite.evaluation.report_evaluation import Point

__all__ = ["Mark", "forest", "reliability", "scatter"]

_WIDTH = 720
_ROW = 30
_NAMES = 190  # of the names to the left of a forest
_VALUES = 190  # of the figures to its right
_TREND = 8  # groups of equal size, for the line through a scatter


@dataclass(frozen=True)
class Mark:
    """A figure with its interval: one line of a forest plot.

    Attributes:
        shown: figure and interval as text.
        strong: highlighted.
    """

    name: str
    value: float
    low: float
    high: float
    shown: str
    strong: bool = True


def forest(marks: Sequence[Mark], *, low: float, high: float, line: float | None = None) -> str:
    """A forest plot: a line for each figure with its interval.

    Args:
        low, high: ends of the axis.
        line: position of a vertical line for reference.
    """
    height = len(marks) * _ROW + 34
    left, right = _NAMES, _WIDTH - _VALUES
    bottom = len(marks) * _ROW + 6

    def x(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return left + min(max(share, 0.0), 1.0) * (right - left)

    parts = []
    for tick in _ticks(low, high):
        parts.append(_line(x(tick), 4, x(tick), bottom, "grid"))
        parts.append(_text(x(tick), bottom + 18, _number(tick), "tick", "middle"))
    if line is not None and low <= line <= high:
        parts.append(_line(x(line), 4, x(line), bottom, "guide"))
    for i, mark in enumerate(marks):
        y = i * _ROW + 20
        kind = "strong" if mark.strong else "weak"
        parts.append(_text(left - 14, y + 4, _cut(mark.name, 26), "name", "end", mark.name))
        parts.append(_line(x(mark.low), y, x(mark.high), y, f"whisker {kind}"))
        parts.append(f'<circle cx="{x(mark.value):.1f}" cy="{y}" r="4.5" class="dot {kind}"/>')
        parts.append(_text(right + 14, y + 4, mark.shown, "value", "start"))
    return _svg(_WIDTH, height, parts, "Figures with their 95 % intervals")


def reliability(bins: Sequence[Bin]) -> str:
    """How often predictions were right by how confident they were, above a histogram of their confidence."""
    left, top, side, below = 52, 10, 300, 64
    counts_top = top + side + 34
    most = max((b.n for b in bins), default=1) or 1

    def x(value: float) -> float:
        return left + value * side

    def y(value: float) -> float:
        return top + (1 - value) * side

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(left, y(tick), left + side, y(tick), "grid"))
        parts.append(_text(left - 8, y(tick) + 4, f"{tick:.2f}", "tick", "end"))
        parts.append(_text(x(tick), top + side + 16, f"{tick:.2f}", "tick", "middle"))
    for b in bins:
        if not b.n:
            continue
        wide = (b.high - b.low) * side - 2
        title = f"{b.low:.2f} to {b.high:.2f}: {b.n:,} predictions, {b.accuracy:.1%} right, mean confidence {b.confidence:.1%}"
        parts.append(
            f'<g><title>{escape(title)}</title>'
            + _rect(x(b.low) + 1, y(b.accuracy), wide, b.accuracy * side, "bar")
            + _rect(x(b.low) + 1, min(y(b.accuracy), y(b.confidence)), wide,
                    abs(b.accuracy - b.confidence) * side, "gap")
            + _rect(x(b.low) + 1, counts_top + below * (1 - b.n / most), wide, below * b.n / most, "count")
            + "</g>"
        )  # fmt: skip
    parts.append(_line(x(0), y(0), x(1), y(1), "guide"))
    parts.append(_line(left, counts_top + below, left + side, counts_top + below, "axis"))
    parts.append(_text(left - 8, counts_top + 8, f"{most:,}", "tick", "end"))
    parts.append(_text(left - 8, counts_top + below, "0", "tick", "end"))
    parts.append(
        _text(left + side / 2, counts_top + below + 20, "confidence; below: predictions", "tick", "middle")
    )
    return _svg(left + side + 12, counts_top + below + 28, parts, "Reliability diagram")


def scatter(points: Sequence[Point], score: str) -> str:
    """Length against score: a dot for each row, and a line through the means of groups of equal size."""
    left, top, wide, high = 58, 12, _WIDTH - 70, 280
    words = [max(1, p.words) for p in points]
    scores = [p.figure for p in points]
    first, last = min(words), max(words)
    logarithmic = last / first > 20
    bottom, ceiling = min(0.0, min(scores)), max(scores)
    if ceiling <= bottom:
        ceiling = bottom + 1

    def scaled(value: float) -> float:
        return math.log10(value) if logarithmic else value

    span = (scaled(last) - scaled(first)) or 1.0

    def x(value: float) -> float:
        return left + (scaled(value) - scaled(first)) / span * wide

    def y(value: float) -> float:
        return top + (1 - (value - bottom) / (ceiling - bottom)) * high

    parts = []
    for tick in _ticks(bottom, ceiling):
        parts.append(_line(left, y(tick), left + wide, y(tick), "grid"))
        parts.append(_text(left - 8, y(tick) + 4, _number(tick), "tick", "end"))
    for tick in _powers(first, last) if logarithmic else _ticks(first, last):
        parts.append(_text(x(tick), top + high + 18, f"{tick:,.0f}", "tick", "middle"))
    parts.append(_line(left, top + high, left + wide, top + high, "axis"))
    radius = 2.6 if len(points) > 100 else 4.5
    parts += [
        f'<circle cx="{x(w):.1f}" cy="{y(s):.1f}" r="{radius}" class="point"/>' for w, s in zip(words, scores)
    ]
    if trend := _trend(words, scores):
        path = " ".join(f"{x(w):.1f},{y(s):.1f}" for w, s in trend)
        parts.append(f'<polyline points="{path}" class="trend"/>')
    parts.append(
        _text(left + wide / 2, top + high + 38, f"words of the input; up: {score}", "tick", "middle")
    )
    return _svg(_WIDTH, top + high + 48, parts, "Length against score")


def _trend(words: Sequence[float], scores: Sequence[float]) -> list[tuple[float, float]]:
    """Mean length and mean score of groups of equal size, the shortest first; empty for few rows."""
    if len(words) < 4 * _TREND:
        return []
    order = sorted(range(len(words)), key=lambda i: (words[i], i))
    found = []
    for group in range(_TREND):
        some = order[group * len(order) // _TREND : (group + 1) * len(order) // _TREND]
        found.append((sum(words[i] for i in some) / len(some), sum(scores[i] for i in some) / len(some)))
    return found


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    if high <= low:
        return [low]
    rough = (high - low) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, … from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10**p for p in powers for m in (1, 2, 5) if low <= m * 10**p <= high]


def _number(value: float) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    return "0" if text in ("-0", "") else text.replace("-", "−")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(x: float, y: float, text: str, kind: str, anchor: str, title: str = "") -> str:
    tip = f"<title>{escape(title)}</title>" if title and title != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{tip}{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{max(height, 0):.1f}" class="{kind}"/>'


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}" '
    return f'{head}style="max-width:{width:.0f}px">{"".join(parts)}</svg>'
