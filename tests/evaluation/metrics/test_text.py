import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.bleu import bleu, chrf
from nlpsuite.evaluation.metrics.rouge import rouge_1, rouge_2, rouge_l, rouge_lsum
from nlpsuite.evaluation.metrics.text import edit_similarity, exact_match
from nlpsuite.evaluation.metrics.tokenize import words

METRICS = {
    exact_match: 1,
    edit_similarity: 1,
    bleu: 100,
    chrf: 100,
    rouge_1: 1,
    rouge_2: 1,
    rouge_l: 1,
    rouge_lsum: 1,
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4)


@given(PAIRS)
def test_bounded(pairs: list[tuple[str, str]]) -> None:
    outputs, references = [a for a, _ in pairs], [b for _, b in pairs]
    for metric, most in METRICS.items():
        assert 0 <= metric(outputs, references) <= most


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_perfect_on_perfect_output(texts: list[str]) -> None:
    assert exact_match(texts, texts) == edit_similarity(texts, texts) == 1
    # A text without words scores 0 in the package rouge-score.
    assert rouge_l(texts, texts) == pytest.approx(sum(bool(words(text)) for text in texts) / len(texts))
    # Without any character there is no n-gram; below four words there is none of four.
    assert chrf([*texts, "any"], [*texts, "any"]) == pytest.approx(100)
    assert bleu([*texts, "one two three four"], [*texts, "one two three four"]) == pytest.approx(100)


@pytest.mark.parametrize("metric", METRICS)
def test_lengths(metric) -> None:
    with pytest.raises(InputInvalidError, match="2 outputs and 1 references"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputInvalidError, match="nothing"):
        metric([], [])


def test_exact_match_by_hand() -> None:
    assert exact_match([" a\n", "b", "C"], ["a", "b", "c"]) == pytest.approx(2 / 3)


def test_bleu_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, none of 3 fours: smoothed to half a match.
    output, reference = "the cat sat on the mat", "the cat is on the mat"
    expected = 100 * (5 / 6 * 3 / 5 * 1 / 4 * (1 / 2) / 3) ** (1 / 4)
    assert bleu([output], [reference]) == pytest.approx(expected)
    assert bleu(["a b c d"], ["a b c d e f g h"]) == pytest.approx(100 * 2.718281828 ** (1 - 8 / 4))
    assert bleu(["a b"], ["a b"]) == 0


def test_chrf_by_hand() -> None:
    # Two characters have no 3-grams and longer. Of 1-grams a is right, of 2-grams none.
    assert chrf(["ab"], ["ac"]) == pytest.approx(100 * (1 / 2 + 0) / 2)
    assert chrf(["a b"], ["ab"]) == 100


def test_rouge_l_by_hand() -> None:
    assert rouge_l(["the cat sat on the mat"], ["The cat is on the mat."]) == pytest.approx(5 / 6)
    assert rouge_l(["a b c", "x"], ["c a", "y"]) == pytest.approx((2 * 1 / 5 + 0) / 2)
    assert rouge_l(["", "!"], ["word", "?"]) == 0


def test_edit_similarity_by_hand() -> None:
    assert edit_similarity(["kitten"], ["sitting"]) == pytest.approx(1 - 3 / 7)
    assert edit_similarity([" return x\n", "", "ab"], ["return x", "", ""]) == pytest.approx((1 + 1 + 0) / 3)


def test_words_of_any_script() -> None:
    assert words("Größe, it's_x 007") == ["grösse", "it", "s", "x", "007"]
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert words("你好 ok") == ["你", "好", "ok"]


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_rouge_l_finds_the_longest_common_subsequence(output: list[str], reference: list[str]) -> None:
    subsequences = (c for n in range(len(output), 0, -1) for c in itertools.combinations(output, n))

    def within(candidate: tuple[str, ...]) -> bool:
        rest = iter(reference)
        return all(word in rest for word in candidate)

    longest = next((len(candidate) for candidate in subsequences if within(candidate)), 0)
    total = len(output) + len(reference)
    expected = 2 * longest / total if total else 0
    assert rouge_l([" ".join(output)], [" ".join(reference)]) == pytest.approx(expected)


def test_long_texts_take_no_time() -> None:
    text = " ".join(str(i * i % 997) for i in range(20_000))
    assert rouge_l([text], [text]) == 1
