"""Metrics of labels (accuracy, macro F1, ECE), texts (exact match, BLEU, chrF, ROUGE, …) and code (pass@k)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpsuite import hookimpl

if TYPE_CHECKING:
    from nlpsuite.metrics.base import Metric, RowMetric


@hookimpl
def nlpsuite_metric(name: str) -> Metric:
    from nlpsuite.metrics import calibration, labels, rouge, sacre, samples, text

    metrics: tuple[RowMetric, ...] = (
        labels.accuracy,
        labels.macro_f1,
        calibration.ece,
        text.exact_match,
        text.edit_similarity,
        sacre.bleu,
        sacre.chrf,
        sacre.ter,
        rouge.rouge_1,
        rouge.rouge_2,
        rouge.rouge_l,
        rouge.rouge_lsum,
        samples.pass_at_k,
    )
    return next(metric for metric in metrics if metric.name == name)
