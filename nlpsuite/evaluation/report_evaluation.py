"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nlpsuite.batch.run import pluralize
from nlpsuite.evaluation.labels import LabelReport
from nlpsuite.evaluation.measure import MetricResult
from nlpsuite.evaluation.metrics.resampling import RESAMPLES
from nlpsuite.evaluation.plots import Mark, forest, reliability, scatter
from nlpsuite.evaluation.report import Report, excerpt
from nlpsuite.evaluation.tables import Section, arrowed, shown, shown_interval

__all__ = ["Evaluation", "Point", "Slice", "WorstRow"]

_WIDEST_MATRIX = 12  # labels; the page and the JSON have every matrix whole
_CONFUSIONS = 20


@dataclass(frozen=True)
class Slice:
    """The rows that have the same value in a column.

    Attributes:
        n, n_errors: rows, and those among them that failed.
        figures: without metrics that none of the rows can be measured with.
    """

    column: str
    value: str
    n: int
    n_errors: int
    figures: tuple[MetricResult, ...]


@dataclass(frozen=True)
class WorstRow:
    """One of the worst rows.

    Attributes:
        figure: of this row alone, by ``Evaluation.row_metric``.
        prediction: empty for a row that failed.
    """

    index: int
    id: Any
    figure: float
    text: str
    references: tuple[str, ...]
    prediction: str
    error: str


@dataclass(frozen=True)
class Point:
    """The length of an input, in words, and how good its output is."""

    index: int
    words: int
    figure: float


@dataclass(frozen=True)
class Evaluation(Report):
    """How good outputs are.

    Attributes:
        task: its name.
        n, n_errors: rows, and those among them that failed, which count as empty answers.
        figures: of all rows, the main metric first.
        slices: by column, in the requested order; those with most rows first.
        labels: for a task with labels.
        row_metric: what single rows are judged by: the probability of the right label, or a metric.
        row_metric_rises: higher is better.
        worst: the worst rows by it, the worst first.
        points: length against score, of all rows or a sample of them.
        notes: what a reader of the figures should know.
        resamples, seed: of the intervals.
        provenance: all that is needed to get the same figures: task, plugin, model and data with their sha256.
    """

    schema: ClassVar[str] = "nlpsuite-evaluation"
    template: ClassVar[str] = "evaluation.html"

    task: str
    n: int
    n_errors: int
    figures: tuple[MetricResult, ...]
    slices: tuple[Slice, ...] = ()
    labels: LabelReport | None = None
    row_metric: str = ""
    row_metric_rises: bool = True
    worst: tuple[WorstRow, ...] = ()
    points: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()
    resamples: int = RESAMPLES
    seed: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def origin(self) -> Mapping[str, Any]:
        return self.provenance

    def headline(self) -> str:
        data = (self.provenance.get("dataset") or {}).get("name", "")
        failed = f", {self.n_errors:,} failed" if self.n_errors else ""
        return f"{self.task}{f' on {data}' if data else ''}: {pluralize(self.n, 'row')}{failed}"

    def signatures(self) -> dict[str, str]:
        return {figure.metric: figure.signature for figure in self.figures}

    def sections(self) -> list[Section]:
        rows = [(_name(f), shown(f.value, f.scale), _interval(f), f"{f.n:,}") for f in self.figures]
        slices = [self._slice_section(column) for column in self.slice_columns()]
        labels = [] if self.labels is None else list(_label_sections(self.labels))
        return [Section("", ("metric", "value", "95 % interval", "n"), rows), *slices, *labels]

    def slice_columns(self) -> list[str]:
        """The columns of the slices."""
        return list(dict.fromkeys(part.column for part in self.slices))

    def _slice_section(self, column: str) -> Section:
        parts = [part for part in self.slices if part.column == column]
        names = dict.fromkeys(f.metric for part in parts for f in part.figures)
        lines = []
        for part in parts:
            cells = {f.metric: f"{shown(f.value, f.scale)} {_interval(f)}" for f in part.figures}
            values = [cells.get(name, "–") for name in names]
            lines.append((part.value, *values, f"{part.n:,}", f"{part.n_errors:,}"))
        return Section(f"By {column}", (column, *names, "n", "failed"), lines)

    def examples(self) -> Section | None:
        if not self.worst:
            return None
        rows = [
            (str(w.id), shown(w.figure, None), excerpt(w.text), excerpt(w.references),
             f"(failed) {excerpt(w.error)}" if w.error else excerpt(w.prediction))
            for w in self.worst
        ]  # fmt: skip
        header = ("id", "score", "input", "reference", "prediction")
        return Section(f"Worst rows, by {self.row_metric}", header, rows)

    def plots(self) -> dict[str, Any]:
        axes = []
        for scale in dict.fromkeys(f.scale for f in self.figures):  # metrics of one scale share an axis
            some = [f for f in self.figures if f.scale == scale]
            end = scale if scale is not None else max(f.high for f in some) * 1.05
            axes.append(forest([_mark(_name(f), f) for f in some], low=0, high=end or 1.0))
        return {
            "figures": axes,
            "falls": any(figure.higher_is_better is False for figure in self.figures),
            "slices": {column: self._slice_plot(column) for column in self.slice_columns()},
            "reliability": reliability(self.labels.bins) if self.labels and self.labels.bins else "",
            "scatter": scatter(self.points, self.row_metric) if len(self.points) > 1 else "",
        }

    def _slice_plot(self, column: str) -> str:
        """The main metric of each slice, and of all rows as a line."""
        main = self.figures[0]
        marks = [
            _mark(f"{part.value} ({part.n:,})", figure)
            for part in self.slices
            if part.column == column
            for figure in part.figures
            if figure.metric == main.metric
        ]
        low = min(main.low, *(mark.low for mark in marks))
        high = max(main.high, *(mark.high for mark in marks))
        margin = (high - low) * 0.08 or 0.05
        return forest(marks, low=max(0.0, low - margin), high=high + margin, line=main.value)


def _label_sections(found: LabelReport) -> Iterator[Section]:
    yield Section(
        "By label",
        ("label", "precision", "recall", "F1", "n"),
        [
            (c.label, shown(c.precision, 1), shown(c.recall, 1), shown(c.f1, 1), f"{c.n:,}")
            for c in found.classes
        ],
    )
    if len(found.matrix) > _WIDEST_MATRIX:
        yield Section("Most frequent confusions", ("right label", "prediction", "n"), _confusions(found))
    elif found.matrix:
        yield Section(
            "Confusion matrix: right label down, prediction across",
            ("", *found.given),
            [(label, *(f"{n:,}" for n in row)) for label, row in zip(found.labels, found.matrix)],
        )
    if bins := [b for b in found.bins if b.n]:
        yield Section(
            "Reliability: how often predictions of a confidence are right",
            ("confidence", "mean", "right", "n"),
            [
                (f"{b.low:.2f}–{b.high:.2f}", shown(b.confidence, 1), shown(b.accuracy, 1), f"{b.n:,}")
                for b in bins
            ],
        )


def _confusions(found: LabelReport) -> list[tuple[str, ...]]:
    """The most frequent pairs of a right label and another that was predicted."""
    wrong = [
        (n, label, given)
        for label, row in zip(found.labels, found.matrix)
        for given, n in zip(found.given, row)
        if n and given != label
    ]
    wrong.sort(key=lambda entry: -entry[0])
    return [(label, given, f"{n:,}") for n, label, given in wrong[:_CONFUSIONS]]


def _name(figure: MetricResult) -> str:
    return arrowed(figure.metric, figure.higher_is_better)


def _interval(figure: MetricResult) -> str:
    return shown_interval(figure.low, figure.high, figure.scale)


def _mark(name: str, figure: MetricResult) -> Mark:
    text = f"{shown(figure.value, figure.scale)} {_interval(figure)}"
    return Mark(name, figure.value, figure.low, figure.high, text)
