"""How well keywords agree with those of a person: precision, recall and F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlpsuite import Output, hookimpl
from nlpsuite.plugins import RowMetric, Statistics, check_references
from nlpsuite_keywords.phrases import listed

__all__ = ["METRICS", "KeywordScore"]


class KeywordScore(RowMetric):
    """Of the keywords as sets without regard to case, 0 to 1: the mean over the texts, each by exact match (as
    in Hulth 2003, Improved automatic keyword extraction). Two empty lists agree. Of several references the best
    counts.
    """

    def signature(self, references: int | None = 1) -> str:
        count = "var" if references is None else references
        return f"nrefs:{count}|case:folded|match:exact|average:texts|version:nlpsuite-keywords-1"

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        """(n, 2): the text's score, and 1 to count it."""
        check_references(outputs, references)
        scores = [
            max(self._score(_keywords(given.text), _keywords(text)) for text in wanted)
            for given, wanted in zip(outputs, references)
        ]
        return np.array([(score, 1.0) for score in scores]).reshape(-1, 2)

    def figure(self, sums: Statistics) -> Statistics:
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1.0))

    def _score(self, given: set[str], wanted: set[str]) -> float:
        if not given or not wanted:
            return float(given == wanted)
        return len(given & wanted) / self._of(given, wanted)

    def _of(self, given: set[str], wanted: set[str]) -> float:
        """What the number of keywords in both is divided by."""
        return (len(given) + len(wanted)) / 2


class KeywordF1(KeywordScore):
    __doc__ = f"Twice the keywords that agree, of those on both lists. {KeywordScore.__doc__}"
    name = "keyword_f1"


class KeywordPrecision(KeywordScore):
    __doc__ = f"The share of the output's keywords that are right. {KeywordScore.__doc__}"
    name = "keyword_precision"

    def _of(self, given: set[str], wanted: set[str]) -> float:
        return len(given)


class KeywordRecall(KeywordScore):
    __doc__ = f"The share of the reference's keywords that are found. {KeywordScore.__doc__}"
    name = "keyword_recall"

    def _of(self, given: set[str], wanted: set[str]) -> float:
        return len(wanted)


METRICS = {cls.name: cls for cls in (KeywordF1, KeywordPrecision, KeywordRecall)}


def _keywords(text: str) -> set[str]:
    return {keyword.casefold() for keyword in listed(text)}


@hookimpl
def nlpsuite_metric(name: str) -> KeywordScore:
    return METRICS[name]()
