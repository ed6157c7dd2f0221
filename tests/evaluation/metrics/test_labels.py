import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.labels import NO_LABEL, label_report
from nlpsuite.evaluation.metrics.labels import accuracy, macro_f1
from nlpsuite.tasks.result import Output

LABELS = st.sampled_from(["a", "b", "c"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1)


def test_by_hand() -> None:
    given_, wanted = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert accuracy(given_, wanted) == 0.75
    # a: precision 2/3, recall 1, F1 0.8; b: precision 1, recall 1/2, F1 2/3.
    assert macro_f1(given_, wanted) == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_label_that_is_never_right_counts() -> None:
    assert macro_f1(["a", "c"], ["a", "b"]) == pytest.approx(1 / 3)


def test_macro_f1_of_sums_without_a_label() -> None:
    rows = macro_f1.statistics([Output(label) for label in "aabc"], [["a"], ["b"], ["b"], ["c"]])
    assert rows.shape == (4, 9)
    assert macro_f1.figure(rows[:3].sum(axis=0)) == pytest.approx(2 / 3)  # c does not occur
    assert macro_f1.figure(rows) == pytest.approx([1, 0, 1, 1])
    assert macro_f1.figure(rows.sum(axis=0)) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_a_row_has_one_label() -> None:
    with pytest.raises(InputInvalidError, match="Row 1 has 2 references; this metric takes 1"):
        macro_f1.statistics([Output("a")], [["a", "b"]])
    many = [str(i) for i in range(10_000)]
    with pytest.raises(InputInvalidError, match="10,000 different labels in 10,000 rows"):
        macro_f1(many, many)


def test_a_matrix_of_labels() -> None:
    report = label_report([Output(text) for text in "aabd"], list("abbb"), list("ab"))
    assert (report.labels, report.given) == (("a", "b"), ("a", "b", NO_LABEL))
    assert report.matrix == ((1, 0, 0), (1, 1, 1))


@given(PAIRS)
def test_bounded_and_perfect_on_perfect_output(pairs: list[tuple[str, str]]) -> None:
    outputs, references = [a for a, _ in pairs], [b for _, b in pairs]
    for metric in (accuracy, macro_f1):
        assert 0 <= metric(outputs, references) <= 1
        assert metric(references, references) == pytest.approx(1)
    assert (accuracy(outputs, references) == 1) == (outputs == references)


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_lengths(metric) -> None:
    with pytest.raises(InputInvalidError, match="2 outputs and 1 references"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputInvalidError, match="nothing"):
        metric([], [])
