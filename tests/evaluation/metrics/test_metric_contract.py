"""What holds for every metric of row statistics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics import bleu as sacre
from nlpsuite.evaluation.metrics import calibration, labels, perplexity, rouge, text
from nlpsuite.evaluation.metrics import pass_at_k as samples
from nlpsuite.evaluation.metrics.base import RowMetric
from nlpsuite.plugins.loading import load_metric
from nlpsuite.tasks.result import Output

OFFERED = [
    *(labels.accuracy, labels.macro_f1, calibration.ece, text.exact_match, text.edit_similarity),
    *(sacre.bleu, sacre.chrf, sacre.ter, samples.pass_at_k),
    *(rouge.rouge_1, rouge.rouge_2, rouge.rouge_l, rouge.rouge_lsum),
]
METRICS = [*OFFERED, perplexity.perplexity, perplexity.word_perplexity, perplexity.bits_per_byte]
NAMES = [metric.name for metric in METRICS]
TEXTS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a mat.", "Größe", "\n"]), max_size=8).map(
    " ".join
)


@st.composite
def rows(draw: Any) -> list[tuple[Output, list[str]]]:
    """Rows with all that any metric reads."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        sure = draw(st.floats(0, 1))
        data = {
            "passed": draw(st.integers(0, 3)),
            "samples": 3,
            "log_likelihood": draw(st.floats(-1e4, 0)),
            "tokens": draw(st.integers(0, 9)),
            "words": draw(st.integers(0, 9)),
            "bytes": draw(st.integers(0, 9)),
        }
        prediction = Output(draw(TEXTS), None, {"cat": sure, "dog": 1 - sure}, data)
        found.append((prediction, [draw(TEXTS)]))
    return found


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
@settings(max_examples=30)
@given(rows=rows())
def test_figures_of_many_sums_at_once_are_those_of_each(
    metric: RowMetric, rows: list[tuple[Output, list[str]]]
) -> None:
    table = metric.statistics([prediction for prediction, _ in rows], [wanted for _, wanted in rows])
    assert table.dtype == np.float64 and table.shape[0] == len(rows) and np.isfinite(table).all()
    stack = np.stack([table, table[::-1], 0 * table])  # (3, n, k), with sums of nothing
    figures = metric.figure(stack)
    assert figures.shape == stack.shape[:-1]
    assert np.isfinite(figures).all() and (figures >= 0).all() and (figures <= metric.scale).all()
    for i, j in np.ndindex(*figures.shape):
        assert metric.figure(stack[i, j]) == pytest.approx(figures[i, j], rel=1e-12)
    for j, (prediction, wanted) in enumerate(rows):
        own = metric.statistics([prediction], [wanted])
        assert metric.figure(own.sum(axis=0)) == pytest.approx(figures[0, j], rel=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
def test_signature_and_description(metric: RowMetric) -> None:
    for count, shown in ((1, "1"), (4, "4"), (None, "var")):
        signature = metric.signature(count)
        assert re.fullmatch(rf"nrefs:{shown}(\|\w+:[^|]+)*\|version:[^|]+", signature), signature
    assert re.search(r"\b[01]\b", type(metric).__doc__ or "") and metric.needs in (
        "texts",
        "probabilities",
        "data",
    )
    assert len({metric.signature() for metric in METRICS}) == len(METRICS) - 2  # ROUGE-1, 2 and L cut alike


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
def test_rows_that_do_not_fit_are_refused(metric: RowMetric) -> None:
    with pytest.raises(InputInvalidError, match="2 outputs and 1 references"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputInvalidError, match="nothing"):
        metric([], [])
    if metric.needs != "data":
        with pytest.raises(InputInvalidError, match="Row 2 has no reference"):
            metric.statistics([Output("a", None, {"a": 1.0})] * 2, [["a"], []])
    if metric.needs != "texts":
        with pytest.raises(InputInvalidError, match="needs the"):
            metric(["a"], ["a"])


@pytest.mark.parametrize("metric", OFFERED, ids=[metric.name for metric in OFFERED])
def test_each_is_a_plugin(metric: RowMetric) -> None:
    assert load_metric(metric.name) is metric


@pytest.mark.parametrize(
    "metric", [metric for metric in METRICS if metric.needs == "texts"], ids=lambda m: m.name
)
def test_right_is_better_than_wrong(metric: RowMetric) -> None:
    wanted = ["the crab finds a way", "two dogs sleep"]
    right, wrong = metric(wanted, wanted), metric(["zzz", "qqq"], wanted)
    assert right > wrong if metric.higher_is_better else right < wrong
    if metric.name != "macro_f1":  # of several references the best counts
        several: list[Sequence[str]] = [["nothing", text] for text in wanted]
        best = metric.statistics([Output(text) for text in wanted], several).sum(axis=0)
        assert metric.figure(best) == pytest.approx(right)
