"""Figures of predictions against references."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
from answers import answer, answered, labelled, texts
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError, OptionError, UnknownTaskError
from nlpsuite.evaluation.evaluate import evaluate_rows
from nlpsuite.evaluation.labels import NO_LABEL
from nlpsuite.evaluation.measure import metric_names
from nlpsuite.evaluation.report_evaluation import Evaluation
from nlpsuite.evaluation.rows import EvaluatedRow
from nlpsuite.plugins import load_task
from nlpsuite.tasks.result import Output, Result


def values(report: Evaluation) -> dict[str, float]:
    return {figure.metric: figure.value for figure in report.figures}


def test_labels_by_hand() -> None:
    # 4 of 6 right; positive: 2 right, 3 given, 3 wanted; negative the same.
    report = evaluate_rows(load_task("sentiment"), labelled("pppnnn", "ppnnnp"))
    found = values(report)
    assert list(found) == ["accuracy", "macro_f1", "ece"]
    assert found["accuracy"] == pytest.approx(4 / 6) and found["macro_f1"] == pytest.approx(2 / 3)
    assert found["ece"] == pytest.approx(0.9 - 4 / 6)
    labels = report.labels
    assert labels is not None and labels.labels == labels.given == ("negative", "positive")
    assert labels.matrix == ((2, 1), (1, 2))
    assert [(c.precision, c.recall, c.n) for c in labels.classes] == [(2 / 3, 2 / 3, 3)] * 2
    [full] = [b for b in labels.bins if b.n]
    assert (full.n, full.accuracy) == (6, pytest.approx(4 / 6)) and full.low < 0.9 <= full.high


def test_a_row_that_failed_counts_as_wrong_and_is_told() -> None:
    report = evaluate_rows(load_task("sentiment"), labelled("ppnn", "pxnn"))
    found = values(report)
    assert report.n == 4 and report.n_errors == 1
    assert found["accuracy"] == pytest.approx(3 / 4)
    # Two labels, not three: positive 2·1/(1 + 2), negative 2·2/(2 + 2).
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert report.labels is not None and report.labels.given[-1] == NO_LABEL
    assert report.labels.matrix == ((2, 0, 0), (0, 1, 1)) and report.labels.without == 1
    assert "1 of 4 rows failed; failed rows count as wrong." in report.notes
    assert "ece covers the 3 rows that have probabilities." in report.notes
    assert report.worst[0].index == 1 and report.worst[0].error == "The text is empty."


def test_all_rows_failed() -> None:
    report = evaluate_rows(load_task("sentiment"), labelled("pn", "xx"))
    assert values(report) == {"accuracy": 0, "macro_f1": 0} and report.n_errors == 2
    found = values(evaluate_rows(load_task("summarize"), texts([(None, "a b"), (None, "c")])))
    assert set(found.values()) == {0.0}


def test_an_interval_without_width_is_explained() -> None:
    report = evaluate_rows(load_task("sentiment"), labelled("pn" * 30, "pn" * 30), metrics=["accuracy"])
    assert report.figures[0].low == report.figures[0].high == 1
    assert report.notes == (
        "accuracy: all 60 rows agree, so the interval has no width. By the rule of three the true figure may "
        "still be 0.050 off.",
    )


def test_what_is_no_label_is_wrong_and_is_told() -> None:
    rows = labelled("pn", "pn")
    rows[1] = answered(rows[1], Output("no idea", "no idea"))
    report = evaluate_rows(load_task("sentiment"), rows)
    assert values(report)["accuracy"] == 0.5
    assert "1 prediction isn't a label of sentiment and counts as wrong." in report.notes


@pytest.mark.parametrize(
    "task, expected",
    [
        ("summarize", ["rouge_1", "rouge_2", "rouge_l", "rouge_lsum", "chrf", "length_ratio"]),
        ("translate", ["bleu", "chrf", "ter", "length_ratio"]),
        ("complete", ["exact_match", "edit_similarity", "chrf", "length_ratio"]),
    ],
)
def test_metrics_of_the_tasks(task: str, expected: list[str]) -> None:
    report = evaluate_rows(load_task(task), texts([("a cat sat", "a cat sat"), ("the dog", "the dog")]))
    assert list(values(report)) == expected
    for figure in report.figures:
        best = 0.0 if figure.metric == "ter" else figure.scale or 1.0
        # sacreBLEU gives 0 for texts without any 4-gram.
        assert figure.value == pytest.approx(0 if figure.metric == "bleu" else best)
        assert figure.n == 2 and figure.signature.startswith("nrefs:1|")


def test_several_references() -> None:
    row = EvaluatedRow(0, 0, {}, ("something else", "a cat sat down"), Result(Output("a cat sat down")))
    found = evaluate_rows(load_task("summarize"), [row])
    assert values(found)["rouge_l"] == pytest.approx(1) and values(found)["length_ratio"] == 1
    assert "nrefs:2" in found.figures[0].signature


def test_length_ratio_is_of_the_corpus_and_has_no_better_end() -> None:
    report = evaluate_rows(
        load_task("translate"), texts([("a b c", "a"), ("a", "a b c")]), metrics=["length_ratio"]
    )
    [figure] = report.figures
    assert figure.value == 1 and figure.higher_is_better is None and figure.scale is None


def test_pass_at_k_where_programs_were_run() -> None:
    task = load_task("complete")
    rows = texts([("a", "b"), ("c", "d"), (None, "e"), ("f", "g")])
    passed = [True, False, None, True]
    rows = [
        row if row.failed else answered(row, Output("", data={"passed": ok}))
        for row, ok in zip(rows, passed)
    ]  # fmt: skip
    found = evaluate_rows(task, rows)
    assert (
        found.figures[0].metric == "pass_at_k" and found.figures[0].value == 0.5 and found.figures[0].n == 4
    )
    problem = [dataclasses.replace(texts([("a", "b")])[0], values={"test": "", "entry_point": "f"})]
    report = evaluate_rows(task, problem)
    assert "pass_at_k" not in values(report) and any("--execute" in note for note in report.notes)


def test_slices() -> None:
    rows = labelled("ppnnpp", "pnnnxp", where=["a", "a", "b", "b", "b", ""])
    report = evaluate_rows(load_task("sentiment"), rows, by=["where"])
    assert [(s.value, s.n, s.n_errors) for s in report.slices] == [
        ("b", 3, 1),
        ("a", 2, 0),
        ("(empty)", 1, 0),
    ]
    assert [s.figures[0].value for s in report.slices] == [pytest.approx(2 / 3), 0.5, 1.0]
    assert [s.figures[0].n for s in report.slices] == [3, 2, 1]
    with pytest.raises(InputInvalidError, match="'color'") as error:
        evaluate_rows(load_task("sentiment"), rows, by=["color"])
    assert "'where'" in error.value.hint


def test_a_column_of_ids_makes_no_slices() -> None:
    with pytest.raises(InputInvalidError, match="60 different values"):
        evaluate_rows(load_task("sentiment"), labelled("p" * 60, "p" * 60), by=["text"])


def test_worst_rows_of_labels_are_those_that_are_surest_and_wrong() -> None:
    rows = labelled("pppp", "pppp")
    rows = [
        answered(row, answer(label, sure))
        for row, label, sure in zip(
            rows, ("negative", "positive", "negative", "positive"), (0.6, 0.7, 0.99, 0.9)
        )
    ]
    report = evaluate_rows(load_task("sentiment"), rows, text_columns=["text"])
    assert [row.index for row in report.worst] == [2, 0, 1, 3]
    assert report.worst[0].figure == pytest.approx(0.01) and report.worst[0].text == "Text 2."
    assert [(p.words, round(p.figure, 2)) for p in report.points] == [(2, 0.4), (2, 0.7), (2, 0.01), (2, 0.9)]


def test_worst_rows_of_texts_are_judged_by_what_tells_them_apart() -> None:
    pairs = [("the cat sat on it", "the cat sat on the mat"), ("x", "the cat sat"), ("a dog", "a dog")]
    report = evaluate_rows(load_task("translate"), texts(pairs))
    assert report.row_metric == "bleu" and [row.index for row in report.worst] == [1, 0, 2]
    # BLEU of a row uses the effective order, or short rows that are right would score 0.
    assert report.worst[0].figure == 0 and report.worst[-1].figure == 100


def test_a_metric_where_less_is_better_ranks_the_other_way() -> None:
    report = evaluate_rows(load_task("translate"), texts([("a b", "a b"), ("x y z", "a b")]), metrics=["ter"])
    assert not report.row_metric_rises and report.worst[0].index == 1


def test_many_points_are_sampled_by_the_seed() -> None:
    rows = labelled("pn" * 1_100, "pn" * 1_100)
    one, same = (
        evaluate_rows(load_task("sentiment"), rows, text_columns=["text"], resamples=2) for _ in range(2)
    )
    other = evaluate_rows(load_task("sentiment"), rows, text_columns=["text"], resamples=2, seed=1)
    assert len(one.points) == 2_000 and one.points == same.points != other.points


def test_a_task_that_evaluates_itself_keeps_its_figures() -> None:
    task: Any = load_task("review")
    data = {"findings": [{"file": None, "line": 1, "rule": "x"}]}
    row = EvaluatedRow(0, 0, {}, ("1, 2",), Result(Output("", data=data)))
    rows = [row, dataclasses.replace(row, index=1, references=("1",))]
    report = evaluate_rows(task, rows, resamples=50)
    outputs = [row.output for row in rows]
    assert values(report) == task.evaluate(outputs, ["1, 2", "1"], task.options())
    assert all(f.low <= f.value <= f.high and "task:review" in f.signature for f in report.figures)
    assert any("at most 200 resamples" in note for note in report.notes)


def test_a_third_partys_function_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpsuite.evaluation import measure
    from nlpsuite.plugins import loading

    monkeypatch.setattr(measure, "load_metric", lambda name: lambda outputs, references: 0.25)
    monkeypatch.setattr(loading, "load_metric", lambda name: lambda outputs, references: 0.25)
    [figure] = evaluate_rows(
        load_task("summarize"), texts([("a", "b")] * 3), metrics=["bleu"], resamples=10
    ).figures
    assert (figure.value, figure.low, figure.high, figure.n) == (0.25, 0.25, 0.25, 3)
    assert "plugin:nlpsuite" in figure.signature


@given(
    st.integers(0, 2**32), st.lists(st.sampled_from(["pp", "pn", "np", "nn", "px"]), min_size=2, max_size=40)
)
def test_the_order_of_rows_changes_no_figure_and_intervals_hold_their_figures(
    seed: int, pairs: list[str]
) -> None:
    task = load_task("sentiment")
    rows = labelled("".join(p[0] for p in pairs), "".join(p[1] for p in pairs), where=[p[0] for p in pairs])
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    one, two = (evaluate_rows(task, some, by=["where"], resamples=20) for some in (rows, shuffled))
    assert one.labels == two.labels
    for a, b in zip(one.figures, two.figures):
        assert a.value == pytest.approx(b.value) and (a.metric, a.n) == (b.metric, b.n)
    for ours, theirs in zip(one.slices, two.slices):
        assert (ours.value, ours.n) == (theirs.value, theirs.n)
        assert [f.value for f in ours.figures] == pytest.approx([f.value for f in theirs.figures])
    for figure in [*one.figures, *(f for s in one.slices for f in s.figures)]:
        assert figure.low <= figure.value <= figure.high and math.isfinite(figure.low + figure.high)
    assert {row.index for row in one.worst} <= set(range(len(rows)))


def test_seeds_make_intervals_repeatable() -> None:
    rows = labelled("pn" * 30, "pp" * 30)
    one, same, other = (evaluate_rows(load_task("sentiment"), rows, seed=seed) for seed in (0, 0, 5))
    assert one == same and one.figures[0].low != other.figures[0].low


def test_nothing_unknown_or_no_resamples_is_refused() -> None:
    task = load_task("sentiment")
    with pytest.raises(InputInvalidError, match="nothing to evaluate"):
        evaluate_rows(task, [])
    with pytest.raises(OptionError, match="resamples"):
        evaluate_rows(task, labelled("p", "p"), resamples=0)
    with pytest.raises(UnknownTaskError):
        evaluate_rows(task, labelled("p", "p"), metrics=["acuracy"])


def test_metric_names_are_each_once() -> None:
    names = metric_names(load_task("translate"))
    assert len(names) == len(set(names))
