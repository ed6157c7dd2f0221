"""The metrics of an evaluation: each looks at the rows once, then gives figures of any part of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.bleu import Bleu
from nlpsuite.evaluation.metrics.labels import MacroF1
from nlpsuite.evaluation.metrics.lengths import count_references
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.evaluation.metrics.resampling import estimate, estimate_functions
from nlpsuite.evaluation.rows import EvaluatedRow, text_of
from nlpsuite.plugins.loading import load_metric, measure
from nlpsuite.plugins.registry import find_plugin
from nlpsuite.tasks.base import Task, default_metrics
from nlpsuite.tasks.result import Output

__all__ = [
    "FUNCTION_RESAMPLES",
    "FunctionMeasure",
    "LengthRatio",
    "Measure",
    "MetricResult",
    "RowMeasure",
    "TaskMacroF1",
    "measure_of",
    "metric_names",
    "metrics_of",
    "task_measure",
]

# A metric without row statistics is computed anew for each resample, so there are fewer of them.
FUNCTION_RESAMPLES = 200
_NOT_RUN = Output("", data={"passed": False})
# A task whose metrics include the first is measured by all of the family: they can disagree.
_ROUGE = ("rouge_1", "rouge_2", "rouge_l", "rouge_lsum")
_INVENTED = ("invented_numbers", "invented_names", "invented_quotes")  # need the rows' texts
_FAMILIES = {**dict.fromkeys(_ROUGE, (*_ROUGE, *_INVENTED)), "bleu": ("bleu", "chrf", "ter")}


@dataclass(frozen=True)
class MetricResult:
    """A metric of some rows.

    Attributes:
        metric: its name.
        value: of the rows.
        low, high: ends of the 95 % interval.
        n: rows that it was computed from.
        scale: the largest value, 1 or 100; None where there is none.
        higher_is_better: None where neither end is best, as for a ratio of lengths.
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
    """Macro F1 over the labels of a task. An answer that is none of them, like that of a row that failed, is
    wrong but doesn't become a further label, which would weigh as much as all the others.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = frozenset(labels)

    def signature(self, references: int | None = 1) -> str:
        return signed(references, case="mixed", strip="no", labels="task", zero="0")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        rows = super().statistics(outputs, references)
        # Three columns for each label that occurs, in alphabetical order.
        occurring = sorted({*(output.answer for output in outputs), *(row[0] for row in references)})
        return rows[
            :, [3 * i + j for i, label in enumerate(occurring) if label in self._labels for j in range(3)]
        ]


class LengthRatio(RowMetric):
    """Words of the outputs over words of the references, of the corpus: 1 where they are equally long. Of
    several references the one closest in length counts, as in BLEU. Columns: words of each.
    """

    name: ClassVar[str] = "length_ratio"
    scale: ClassVar[float] = float("inf")

    def signature(self, references: int | None = 1) -> str:
        return signed(references, unit="words", reference="nearest")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        rows = np.zeros((len(outputs), 2))
        for i, (output, wanted) in enumerate(zip(outputs, references)):
            words = len(output.answer.split())
            rows[i] = words, min((len(text.split()) for text in wanted), key=lambda n: (abs(n - words), n))
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        return ratio(sums[..., 0], sums[..., 1])


def metric_names(
    task: Task[Any], rows: Sequence[EvaluatedRow] = (), text_columns: Sequence[str] = ()
) -> list[str]:
    """The metrics of a task unless the user names others; the first is the main one.

    Args:
        rows: metrics that need more than the outputs' texts are included if some of these rows have it.
        text_columns: columns of the input.
    """
    names = list(task.metrics)
    if task.multi_label:
        return list(dict.fromkeys([*names, *default_metrics(task)]))
    if task.labels:
        names += ["accuracy", "macro_f1"]
        if any(row.output.probabilities for row in rows):
            names.append("ece")
        return list(dict.fromkeys(names))
    if not names:
        names = ["exact_match", "edit_similarity", "chrf"]
    names = [member for name in names for member in _FAMILIES.get(name, (name,))]
    if not any(text_of(row, text_columns).strip() for row in rows):
        names = [name for name in names if name not in _INVENTED]
    if any("passed" in row.output.data for row in rows):
        names.insert(0, "pass_at_k")
    return [*dict.fromkeys(names), LengthRatio.name]


def metrics_of(
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    names: Sequence[str] = (),
    tokenize: str = "",
    text_columns: Sequence[str] = (),
) -> dict[str, Any]:
    """The metrics of an evaluation by name: a ``RowMetric``, or a function of outputs and references.

    Args:
        names: in place of the task's own.
        tokenize: BLEU's tokenizer; by default it suits the language of the references.
        text_columns: columns of the input.

    Raises:
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    references = [row.references for row in rows]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(names) if names else metric_names(task, rows, text_columns):
        metric = LengthRatio() if name == LengthRatio.name else load_metric(name)
        if isinstance(metric, MacroF1) and task.labels:
            metric = TaskMacroF1(list(task.labels.values()))
        if isinstance(metric, Bleu) and tokenize:
            metric = Bleu(tokenize)
        found[name] = metric.for_references(references) if isinstance(metric, RowMetric) else metric
    return found


class RowMeasure:
    """A row metric on the rows of an evaluation.

    Attributes:
        places: indices of the rows that it could be computed from: all, except that a row that failed has no
            probabilities, and that a row may lack the text that the output was made from.
        statistics: of those rows, (n, k).

    Args:
        text_columns: columns of the input.
    """

    def __init__(
        self, metric: RowMetric, rows: Sequence[EvaluatedRow], text_columns: Sequence[str] = ()
    ) -> None:
        self.metric = metric
        outputs = [row.output for row in rows]
        if metric.needs == "data":  # a row that failed was never run, and so passes no test
            outputs = [_NOT_RUN if row.failed else row.output for row in rows]
        wanted = [row.references for row in rows]
        if metric.needs == "source":
            wanted = [(text_of(row, text_columns),) for row in rows]
        self.places = [i for i, output in enumerate(outputs) if _has(metric.needs, output, wanted[i])]
        references = [wanted[i] for i in self.places]
        self.signature = metric.signature(count_references(references))
        self.statistics = np.zeros((0, 1))
        if self.places:
            self.statistics = metric.statistics([outputs[i] for i in self.places], references)
        self._index = {place: i for i, place in enumerate(self.places)}

    def results(self, places: Sequence[int], resamples: int, seed: int) -> list[MetricResult]:
        """The metric of the rows at ``places``; none if it can be computed from none of them."""
        chosen = [self._index[place] for place in places if place in self._index]
        if not chosen:
            return []
        metric, found = self.metric, estimate(self.metric, self.statistics[chosen], resamples, seed)
        # Resamples of a figure that chance can only worsen, such as the calibration error, may all exceed it.
        low, high = min(found.low, found.value), max(found.high, found.value)
        scale = float(metric.scale) if math.isfinite(metric.scale) else None
        directed = None if isinstance(metric, LengthRatio) else metric.higher_is_better
        return [MetricResult(metric.name, found.value, low, high, found.n, scale, directed, self.signature)]

    def notice(self) -> str:
        """What a reader of the figure should know."""
        return self.metric.notice(self.statistics.sum(axis=0)) if self.places else ""


class FunctionMeasure:
    """Functions of outputs and first references, computed anew for each resample."""

    def __init__(
        self,
        compute: Callable[[Sequence[Any], Sequence[str]], Mapping[str, float]],
        outputs: Sequence[Any],
        references: Sequence[str],
        signature: str,
    ) -> None:
        self._compute, self._outputs, self._references = compute, outputs, references
        self._signature = signature

    def results(self, places: Sequence[int], resamples: int, seed: int) -> list[MetricResult]:
        """The figures of the rows at ``places``."""
        outputs, references = ([of[i] for i in places] for of in (self._outputs, self._references))
        few = min(resamples, FUNCTION_RESAMPLES)
        found = estimate_functions(self._compute, outputs, references, few, seed)
        return [
            MetricResult(name, one.value, one.low, one.high, one.n, None, True, self._signature)
            for name, one in found.items()
        ]

    def notice(self) -> str:
        """Nothing: what holds for all of these is said once."""
        return ""


Measure = RowMeasure | FunctionMeasure


def _has(needs: str, output: Output, references: Sequence[str]) -> bool:
    if needs == "probabilities":
        return bool(output.probabilities)
    return needs != "source" or bool(references[0].strip())


def measure_of(
    name: str, metric: Any, rows: Sequence[EvaluatedRow], text_columns: Sequence[str] = ()
) -> Measure:
    """A metric of ``metrics_of`` on rows."""
    if isinstance(metric, RowMetric):
        return RowMeasure(metric, rows, text_columns)

    def compute(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {name: measure(name, outputs, references)}

    plugin = find_plugin("metric", name)
    signature = f"nrefs:1|plugin:{plugin.distribution}|version:{plugin.version}"
    answers = [row.output.answer for row in rows]
    return FunctionMeasure(compute, answers, [row.references[0] for row in rows], signature)


def task_measure(task: Task[Any], options: Any, rows: Sequence[EvaluatedRow]) -> FunctionMeasure:
    """The figures of a task that evaluates its outputs itself."""
    plugin = find_plugin("task", task.name)
    signature = (
        f"nrefs:1|task:{task.name}-{task.version}|plugin:{plugin.distribution}|version:{plugin.version}"
    )
    outputs, references = [row.output for row in rows], [row.references[0] for row in rows]
    return FunctionMeasure(partial(task.evaluate, options=options), outputs, references, signature)
