"""A metric on rows: its figure, how sure it is, and the figure of each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlpsuite.evaluation.metrics.base import Prediction, RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.labels import MacroF1
from nlpsuite.evaluation.metrics.lengths import count_references
from nlpsuite.evaluation.metrics.resampling import Estimate, estimate, estimate_function
from nlpsuite.evaluation.rows import EvaluatedRow, as_output
from nlpsuite.plugins.discovery import find_plugin
from nlpsuite.plugins.loading import load_metric, measure

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = [
    "FUNCTION_RESAMPLES",
    "LengthRatio",
    "MetricResult",
    "TaskMacroF1",
    "figure_of",
    "figure_of_function",
    "figures_of_task",
    "lengths_of",
    "metric_of",
    "rows_for",
    "statistics_of",
]

# What has no row statistics is computed anew for each resample, so there are fewer of them.
FUNCTION_RESAMPLES = 200
_ENDS = (0.025, 0.975)
_FAILED = Prediction("", None, {"passed": False})


@dataclass(frozen=True)
class MetricResult:
    """What a metric says of some rows.

    Attributes:
        metric: its name.
        value: the figure.
        low, high: ends of the 95 % interval.
        n: rows that it was computed from.
        scale: the largest figure, 1 or 100; None where there is none.
        higher_is_better: None for a figure whose best value is neither end, such as a ratio of lengths.
        signature: how exactly it is computed.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    scale: float | None
    higher_is_better: bool | None
    signature: str


class TaskMacroF1(MacroF1):
    """Macro F1 over the labels of a task. An answer that is none of them, as that of a row that failed, is
    wrong but makes no further label, which would weigh as much as all the others.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = frozenset(labels)

    def signature(self, references: int | None = 1) -> str:
        return signed(references, case="mixed", strip="no", labels="task", zero="0")

    def statistics(
        self, predictions: Sequence[Prediction], references: Sequence[Sequence[str]]
    ) -> Statistics:
        rows = super().statistics(predictions, references)
        # Three columns for each label that occurs, in alphabetical order.
        occurring = sorted({*(p.text for p in predictions), *(row[0] for row in references)})
        kept = [3 * i + j for i, label in enumerate(occurring) if label in self._labels for j in range(3)]
        return rows[:, kept]


class LengthRatio(RowMetric):
    """Words of the outputs over words of the references, of the corpus: 1 where they are as long. Of several
    references the one of the nearest length counts, as in BLEU. Columns: words of each.
    """

    name: ClassVar[str] = "length_ratio"
    scale: ClassVar[float] = float("inf")

    def signature(self, references: int | None = 1) -> str:
        return signed(references, unit="words", reference="nearest")

    def statistics(
        self, predictions: Sequence[Prediction], references: Sequence[Sequence[str]]
    ) -> Statistics:
        rows = np.zeros((len(predictions), 2))
        for i, (prediction, wanted) in enumerate(zip(predictions, references)):
            rows[i] = lengths_of(prediction.text, wanted)
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        words, wanted = sums[..., 0], sums[..., 1]
        return np.divide(words, wanted, out=np.zeros_like(words), where=wanted > 0)


def lengths_of(text: str, references: Sequence[str]) -> tuple[int, int]:
    """Words of a text, and of the reference whose length is nearest; the shorter of two as near."""
    words = len(text.split())
    return words, min((len(wanted.split()) for wanted in references), key=lambda n: (abs(n - words), n))


def metric_of(name: str, task: Task[Any]) -> Any:
    """The metric of that name for a task: a ``RowMetric``, or a function of outputs and references.

    Raises:
        UnknownTaskError, PluginError: no plugin offers it, or it fails.
    """
    if name == LengthRatio.name:
        return LengthRatio()
    metric = load_metric(name)
    return TaskMacroF1(list(task.labels.values())) if isinstance(metric, MacroF1) and task.labels else metric


def rows_for(metric: Any, rows: Sequence[EvaluatedRow]) -> list[EvaluatedRow]:
    """The rows that a metric can be computed from, as it can read them.

    They are all, but for a metric that reads probabilities, which a row that failed has not. A row that
    failed, and so was never run, passes no test.
    """
    needs = getattr(metric, "needs", "texts")
    if needs == "probabilities":
        return [row for row in rows if row.answered.probabilities]
    if needs == "data":
        return [row if row.prediction else replace(row, prediction=_FAILED) for row in rows]
    return list(rows)


def statistics_of(metric: RowMetric, rows: Sequence[EvaluatedRow]) -> Statistics:
    """The metric's statistics of each row, (n, k)."""
    return metric.statistics([row.answered for row in rows], [row.references for row in rows])


def figure_of(metric: RowMetric, rows: Sequence[EvaluatedRow], resamples: int, seed: int) -> MetricResult:
    """The metric's figure on rows that ``rows_for`` gave."""
    found = estimate(metric, statistics_of(metric, rows), resamples, seed)
    signature = metric.signature(count_references([row.references for row in rows]))
    return _figure(metric, found, signature)


def _figure(metric: RowMetric, found: Estimate, signature: str) -> MetricResult:
    scale = float(metric.scale) if math.isfinite(metric.scale) else None
    directed = None if isinstance(metric, LengthRatio) else metric.higher_is_better
    # Resamples of a figure that chance can only worsen, as the calibration error, may all be above it.
    low, high = min(found.low, found.value), max(found.high, found.value)
    return MetricResult(metric.name, found.value, low, high, found.n, scale, directed, signature)


def figure_of_function(name: str, rows: Sequence[EvaluatedRow], resamples: int, seed: int) -> MetricResult:
    """The figure of a third party's metric that is a plain function, against the first references."""
    outputs, references = [row.answered.text for row in rows], [row.references[0] for row in rows]
    few = min(resamples, FUNCTION_RESAMPLES)
    found = estimate_function(partial(measure, name), outputs, references, few, seed)
    plugin = find_plugin("metric", name)
    signature = f"nrefs:1|plugin:{plugin.distribution}|version:{plugin.version}"
    return MetricResult(name, found.value, found.low, found.high, found.n, None, True, signature)


def figures_of_task(
    task: Task[Any], options: Any, rows: Sequence[EvaluatedRow], resamples: int, seed: int
) -> list[MetricResult]:
    """The figures of a task that evaluates its outputs itself, anew for each resample.

    Raises:
        InputInvalidError: as the task says; of a reference that it can't read, say.
    """
    outputs = [as_output(task, row.answered) for row in rows]
    references = [row.references[0] for row in rows]
    values = task.evaluate(outputs, references, options)
    random, n = np.random.default_rng(seed), len(rows)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(min(resamples, FUNCTION_RESAMPLES)):
        chosen = random.integers(0, n, n)
        found = task.evaluate([outputs[i] for i in chosen], [references[i] for i in chosen], options)
        for name in values:
            # A figure of what few rows have, such as a summary, may be missing from a resample.
            if name in found and math.isfinite(found[name]):
                drawn[name].append(found[name])
    plugin = find_plugin("task", task.name)
    signature = (
        f"nrefs:1|task:{task.name}-{task.version}|plugin:{plugin.distribution}|version:{plugin.version}"
    )
    figures = []
    for name, value in values.items():
        low, high = np.quantile(drawn[name] or [value], _ENDS)
        figures.append(MetricResult(name, float(value), float(low), float(high), n, None, True, signature))
    return figures
