"""Common subsequences and edit distances, against the textbook."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import lcs_ind

from nlpsuite.evaluation.metrics.alignment import edit_distance, subsequence_length, subsequence_places

WORDS = st.lists(st.sampled_from("abcd"), max_size=20)


def textbook(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@given(st.text("abc", max_size=80), st.text("abc", max_size=80))
def test_edit_distance_of_few_letters(a: str, b: str) -> None:
    assert edit_distance(a, b) == textbook(a, b) == edit_distance(b, a)


@given(st.text(max_size=20), st.text(max_size=20))
def test_edit_distance_of_any_text(a: str, b: str) -> None:
    assert edit_distance(a, b) == textbook(a, b)
    assert edit_distance(a + "x" + b, a + b) == 1 and edit_distance(a, a) == 0


@given(WORDS, WORDS)
def test_the_subsequence_is_that_of_the_package(a: list[str], b: list[str]) -> None:
    places = subsequence_places(a, b)
    assert sorted(places) == sorted(lcs_ind(a, b))
    assert subsequence_length(a, b) == len(places)
