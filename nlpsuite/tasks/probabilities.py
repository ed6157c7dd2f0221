"""Probabilities of labels, for tasks that choose among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.result import Output

__all__ = ["mean_probabilities", "softmax"]


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1, from scores that are log-probabilities up to a constant."""
    most = max(scores)
    weights = [math.exp(score - most) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def mean_probabilities(outputs: Sequence[Output], parts: Sequence[Part]) -> Mapping[str, float]:
    """The labels' probabilities in the parts of a text, averaged by the parts' lengths."""
    total = sum(len(part.text) for part in parts)
    mean: dict[str, float] = {}
    for output, part in zip(outputs, parts):
        for label, probability in (output.probabilities or {}).items():
            mean[label] = mean.get(label, 0.0) + probability * len(part.text) / total
    return mean
