"""Metrics: accuracy and macro F1 of labels; exact match, BLEU, chrF and ROUGE-L of texts."""

from __future__ import annotations

from nlpsuite import hookimpl
from nlpsuite.metrics.base import Metric


@hookimpl
def nlpsuite_metric(name: str) -> Metric:
    from nlpsuite.metrics import labels, text

    metrics: dict[str, Metric] = {
        "accuracy": labels.accuracy,
        "macro_f1": labels.macro_f1,
        "exact_match": text.exact_match,
        "bleu": text.bleu,
        "chrf": text.chrf,
        "rouge_l": text.rouge_l,
    }
    return metrics[name]
