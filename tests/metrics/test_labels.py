import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.metrics.labels import accuracy, macro_f1

LABELS = st.sampled_from(["a", "b", "c"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1)


def test_by_hand() -> None:
    given_, wanted = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert accuracy(given_, wanted) == 0.75
    # a: precision 2/3, recall 1, F1 0.8; b: precision 1, recall 1/2, F1 2/3.
    assert macro_f1(given_, wanted) == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_label_that_is_never_right_counts() -> None:
    assert macro_f1(["a", "c"], ["a", "b"]) == pytest.approx(1 / 3)


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
