"""Answers of no model."""

from __future__ import annotations

from collections import Counter

import pytest
from answers import labelled, texts

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.baselines import predict_baseline
from nlpsuite.evaluation.evaluate import evaluate_rows
from nlpsuite.evaluation.rows import EvaluatedRow
from nlpsuite.plugins import load_task

TEXT = "First one. Second here! A third? And a fourth."


def said(name: str, rows: list[EvaluatedRow], task: str = "summarize", **more: object) -> list[str]:
    done = predict_baseline(name, load_task(task), rows, text_columns=["text"], **more)  # type: ignore[arg-type]
    return [row.output.answer for row in done]


def test_texts() -> None:
    rows = texts([(None, "r")], [TEXT])
    assert said("lead-1", rows) == ["First one."]
    assert said("lead-3", rows) == ["First one. Second here! A third?"]
    assert said("lead-12", rows) == [TEXT] and said("copy", rows) == [TEXT]


def test_a_list_of_sentences_is_taken_as_it_is() -> None:
    row = EvaluatedRow(0, 0, {"text": ["Of e.g. two.", "Second."]}, ("r",))
    assert said("lead-1", [row]) == ["Of e.g. two."]


def test_random_sentences_depend_on_seed_and_row_alone() -> None:
    rows = texts([(None, "r")] * 40, [TEXT] * 40)
    found = said("random", rows)
    assert set(found) == {"First one.", "Second here!", "A third?", "And a fourth."}
    assert said("random", rows[5:]) == found[5:] and said("random", rows, seed=1) != found


def test_majority_counts_in_the_rows_or_elsewhere() -> None:
    rows = labelled("ppn", "xxx")
    assert said("majority", rows, "sentiment") == ["positive"] * 3
    assert said("majority", rows, "sentiment", train=labelled("nnp", "xxx")) == ["negative"] * 3
    report = evaluate_rows(
        load_task("sentiment"), predict_baseline("majority", load_task("sentiment"), rows, text_columns=[])
    )
    figures = {f.metric: f.value for f in report.figures}
    assert (
        figures["accuracy"] == pytest.approx(2 / 3)
        and figures["ece"] == pytest.approx(0)
        and not report.n_errors
    )


def test_random_labels_are_as_likely() -> None:
    rows = labelled("p" * 400, "x" * 400)
    counts = Counter(said("random", rows, "sentiment"))
    assert set(counts) == {"positive", "negative"} and min(counts.values()) > 150


@pytest.mark.parametrize(
    "task, name", [("sentiment", "lead-3"), ("sentiment", "copy"), ("summarize", "majority")]
)
def test_what_makes_no_sense_is_refused(task: str, name: str) -> None:
    with pytest.raises(OptionError, match="makes no sense") as error:
        said(name, texts([(None, "r")]), task)
    assert "random" in error.value.hint


def test_unknown_baselines_and_empty_texts() -> None:
    with pytest.raises(OptionError, match="no baseline 'lead-0'") as error:
        said("lead-0", texts([(None, "r")]))
    assert "lead-1" in error.value.hint
    with pytest.raises(InputInvalidError, match="Row 1 has no text"):
        said("copy", texts([(None, "r")], [" "]))
