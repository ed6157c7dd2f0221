"""An evaluation or a comparison as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nlpsuite.evaluation.compare import Comparison
from nlpsuite.evaluation.evaluate import Evaluation, Slice
from nlpsuite.evaluation.measure import MetricResult
from nlpsuite.evaluation.plots import Mark, forest, reliability, scatter
from nlpsuite.evaluation.report import about, figure_name, headline, sections
from nlpsuite.evaluation.tables import shown, shown_interval, shown_p

__all__ = ["html"]

_MOST_CHARACTERS = 800
_MAIN = 6  # figures in large type
_INDENTED = re.compile(r"^(?: {2,}|\t)\S", re.M)


def html(report: Evaluation | Comparison, provenance: Mapping[str, Any]) -> str:
    """The page's text. What comes from data is escaped."""
    environment = Environment(
        loader=PackageLoader("nlpsuite.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(number=shown, interval=shown_interval, p=shown_p, cut=_cut)
    environment.tests["code"] = lambda text: bool(_INDENTED.search(text))
    several = isinstance(report, Comparison)
    style = environment.get_template("style.css").render()
    return environment.get_template("comparison.html" if several else "evaluation.html").render(
        report=report,
        title=headline(report, provenance),
        style=Markup(style),
        about=about(provenance),
        tables=sections(report),
        plots=_of_comparison(report) if isinstance(report, Comparison) else _of_evaluation(report),
        figure_name=figure_name,
        most=_MAIN,
    )


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[:_MOST_CHARACTERS]}… ({len(text) - _MOST_CHARACTERS:,} characters more)"


def _of_evaluation(report: Evaluation) -> dict[str, Any]:
    columns = list(dict.fromkeys(part.column for part in report.slices))
    points = report.points
    return {
        "figures": [Markup(forest(marks, low=0, high=high)) for high, marks in _by_scale(report.figures)],
        "falls": any(figure.higher_is_better is False for figure in report.figures),
        "slices": {column: Markup(_slices(report, column)) for column in columns},
        "reliability": Markup(reliability(report.labels.bins))
        if report.labels and report.labels.bins
        else "",
        "scatter": Markup(scatter(points, report.row_metric)) if len(points) > 1 else "",
    }


def _by_scale(figures: Sequence[MetricResult]) -> Iterator[tuple[float, list[Mark]]]:
    """Figures that share an axis from 0 to its end."""
    for scale in dict.fromkeys(f.scale for f in figures):
        some = [f for f in figures if f.scale == scale]
        # What has no end of its own gets the axis that it needs, a percentage at least 100.
        end = scale if scale is not None else max(f.high for f in some) * 1.05
        yield end or 1.0, [_mark(figure_name(f), f) for f in some]


def _mark(name: str, figure: MetricResult, *, strong: bool = True) -> Mark:
    value = shown(figure.value, figure.scale)
    text = f"{value} {shown_interval(figure.low, figure.high, figure.scale)}"
    return Mark(name, figure.value, figure.low, figure.high, text, strong)


def _slices(report: Evaluation, column: str) -> str:
    """The main figure of each slice, and of all rows as a line."""
    main = report.figures[0]
    parts: list[tuple[Slice, MetricResult]] = [
        (part, figure)
        for part in report.slices
        if part.column == column
        for figure in part.figures
        if figure.metric == main.metric
    ]
    marks = [_mark(f"{part.value} ({part.n:,})", figure) for part, figure in parts]
    low = min(min(mark.low for mark in marks), main.low)
    high = max(max(mark.high for mark in marks), main.high)
    room = (high - low) * 0.08 or 0.05
    return forest(marks, low=max(0.0, low - room), high=high + room, line=main.value)


def _of_comparison(report: Comparison) -> dict[str, Any]:
    plots = {}
    for system in report.systems[1:]:
        some = [d for d in report.differences if d.system == system]
        drawn = []
        for scale in dict.fromkeys(d.scale for d in some):
            marks = [
                Mark(
                    d.metric if d.higher_is_better else f"{d.metric} ↓",
                    d.difference,
                    d.low,
                    d.high,
                    f"{shown(d.difference, scale, signed=True)} {shown_interval(d.low, d.high, scale, signed=True)}",
                    strong=d.low > 0 or d.high < 0,
                )
                for d in some
                if d.scale == scale
            ]
            end = max(max(abs(mark.low), abs(mark.high)) for mark in marks) * 1.1 or 1.0
            drawn.append(Markup(forest(marks, low=-end, high=end, line=0)))
        plots[system] = drawn
    return plots
