"""Systems on the same rows."""

from __future__ import annotations

import dataclasses

import pytest
from answers import labelled, texts
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.compare import check_same_rows, compare_rows, holm
from nlpsuite.plugins import load_task


def test_two_systems_by_hand() -> None:
    a, b = labelled("pppp", "ppnn"), labelled("pppp", "pnpp")
    report = compare_rows(load_task("sentiment"), {"a": a, "b": b}, text_columns=["text"], trials=200)
    found = {d.metric: d for d in report.differences}
    accuracy = found["accuracy"]
    assert (accuracy.baseline, accuracy.other, accuracy.difference) == (0.5, 0.75, 0.25)
    assert (accuracy.wins, accuracy.ties, accuracy.losses, accuracy.n) == (2, 1, 1, 4)
    assert accuracy.low <= 0.25 <= accuracy.high and accuracy.p_value > 0.5
    assert accuracy.p_corrected == accuracy.p_value
    assert not found["ece"].higher_is_better and found["ece"].wins is None and "macro_f1" in found
    assert [(c.index, c.change) for c in report.changes] == [(2, 1.0), (3, 1.0), (1, -1.0)]
    assert report.changes[0].baseline == "negative" and report.changes[0].other == "positive"
    assert report.changes[0].text == "Text 2."


def test_a_system_and_itself() -> None:
    rows = texts([("a cat", "a cat sat"), ("the dog", "a dog")])
    report = compare_rows(load_task("summarize"), {"a": rows, "b": list(rows)}, trials=50)
    assert all(d.difference == 0 and d.p_value == 1 and d.ties == 2 for d in report.differences)
    assert report.changes == () and "length_ratio" not in {d.metric for d in report.differences}


def test_a_clear_difference_has_a_small_p() -> None:
    a, b = labelled("p" * 60, "n" * 60), labelled("p" * 60, "p" * 60)
    [accuracy, *_] = compare_rows(load_task("sentiment"), {"a": a, "b": b}, trials=2_000).differences
    assert accuracy.p_value == pytest.approx(1 / 2_001) and accuracy.low > 0


def test_less_is_better_turns_wins_round() -> None:
    a, b = texts([("x y z", "a b")]), texts([("a b", "a b")])
    [ter] = compare_rows(load_task("translate"), {"a": a, "b": b}, metrics=["ter"], trials=10).differences
    assert ter.difference < 0 and (ter.wins, ter.losses) == (1, 0)


def test_several_against_the_first() -> None:
    systems = {"a": labelled("pppp", "nnnn"), "b": labelled("pppp", "pppp"), "c": labelled("pppp", "ppnn")}
    report = compare_rows(load_task("sentiment"), systems, metrics=["accuracy"], trials=500)
    first, second = report.differences
    assert (first.system, second.system) == ("b", "c")
    assert (
        first.p_corrected == pytest.approx(min(1, 2 * first.p_value))
        and second.p_corrected >= first.p_corrected
    )
    assert any("Holm" in note for note in report.notes)


def test_rows_that_failed_are_empty_answers() -> None:
    report = compare_rows(
        load_task("sentiment"), {"a": labelled("pp", "px"), "b": labelled("pp", "pp")}, trials=10
    )
    assert report.n_errors == (1, 0) and report.differences[0].difference == 0.5
    assert "1 of 2 rows of a failed; failed rows count as wrong." in report.notes
    assert any(note.startswith("Not compared: ece, because") for note in report.notes)


def test_numbers_of_rows_are_no_ids() -> None:
    numbered = labelled("pn", "pn")
    named = [dataclasses.replace(row, id=f"r{row.index}") for row in labelled("pn", "nn")]
    assert compare_rows(load_task("sentiment"), {"a": named, "b": numbered}, trials=10).n == 2


def test_other_rows_are_refused() -> None:
    rows = [dataclasses.replace(row, id=f"r{row.index}") for row in labelled("pn", "pn")]
    task = load_task("sentiment")

    def refused(others: list) -> str:
        with pytest.raises(InputInvalidError) as error:
            compare_rows(task, {"a": rows, "b": others})
        assert "same rows" in error.value.hint
        return error.value.message

    assert refused(rows[:1]) == "a has 2 rows and b 1."
    assert 'id is "r1" in a and "r7" in b' in refused([rows[0], dataclasses.replace(rows[1], id="r7")])
    changed = dataclasses.replace(rows[1], values={"text": "Another."})
    assert refused([rows[0], changed]) == 'Row 2: \'text\' is "Text 1." in a and "Another." in b.'
    turned = dataclasses.replace(rows[1], references=("positive",))
    assert "reference" in refused([rows[0], turned])
    with pytest.raises(InputInvalidError, match="two systems"):
        compare_rows(task, {"a": rows})


def test_columns_that_only_one_has_and_types_of_files_do_not_matter() -> None:
    rows = labelled("p", "p", n=[1])
    check_same_rows("a", rows, "b", labelled("p", "n", n=["1"]))
    check_same_rows("a", rows, "b", labelled("p", "n", other=["x"]))
    check_same_rows("a", rows, "b", labelled("p", "n", n=[2]), columns=["text"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [corrected[i] for i in order] == sorted(corrected)
    assert corrected[order[0]] == pytest.approx(min(1, len(p_values) * p_values[order[0]]))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
