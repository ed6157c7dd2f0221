"""ROUGE against the package rouge-score, and where it goes further."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from nlpsuite.evaluation.metrics.rouge import MOST_WORDS, Rouge, rouge_1, rouge_2, rouge_l, rouge_lsum
from nlpsuite.evaluation.metrics.tokenize import sentences
from nlpsuite.tasks.result import Output

METRICS: dict[str, Rouge] = {
    "rouge1": rouge_1,
    "rouge2": rouge_2,
    "rougeL": rouge_l,
    "rougeLsum": rouge_lsum,
}
PACKAGE = RougeScorer(list(METRICS))
FEW_WORDS = st.lists(st.sampled_from("a b B c d e-f it's 7 . \n \n".split(" ")), max_size=16).map(" ".join)
ASCII = st.text(string.printable, max_size=60) | FEW_WORDS


def lines(text: str) -> str:
    """The text as the package wants it: one sentence a line."""
    return "\n".join(sentences(text))


@given(ASCII, ASCII)
def test_on_ascii_it_is_the_package(output: str, reference: str) -> None:
    theirs = PACKAGE.score(reference, output)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert METRICS[name]([output], [reference]) == pytest.approx(theirs[name].fmeasure, abs=1e-12)
    theirs = PACKAGE.score(lines(reference), lines(output))
    assert rouge_lsum([output], [reference]) == pytest.approx(theirs["rougeLsum"].fmeasure, abs=1e-12)


@given(FEW_WORDS, FEW_WORDS)
def test_lines_are_the_sentences_of_the_package(output: str, reference: str) -> None:
    output, reference = f"x\n{output}\ny z", f"x\n{reference}\nx"
    theirs = PACKAGE.score(reference, output)["rougeLsum"].fmeasure
    assert rouge_lsum([output], [reference]) == pytest.approx(theirs, abs=1e-12)


@given(ASCII, st.lists(ASCII.map(lines), min_size=1, max_size=3))
def test_of_several_references_the_best_counts(output: str, references: list[str]) -> None:
    output = lines(output)
    theirs = PACKAGE.score_multi(references, output)
    for name, metric in METRICS.items():
        rows = metric.statistics([Output(output)], [references])
        expected = theirs[name].fmeasure
        if name == "rougeLsum" and any("\n" not in text for text in (output, *references)):
            continue  # a text of one line is cut further
        assert metric.figure(rows.sum(axis=0)) == pytest.approx(expected, abs=1e-12)


def test_the_mean_is_plain() -> None:
    assert rouge_1(["a b", "x", "c"], ["a b", "y", "c d"]) == pytest.approx((1 + 0 + 2 / 3) / 3, abs=1e-15)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_other_scripts_than_latin(metric: Rouge) -> None:
    hindi = "नमस्ते दुनिया। यह एक वाक्य है।"
    assert PACKAGE.score(hindi, hindi)["rouge1"].fmeasure == 0  # it keeps a to z only
    assert metric([hindi], [hindi]) == 1
    assert metric(["这是一个句子。"], ["这是一个句子。"]) == 1


def test_umlauts_are_letters() -> None:
    # The package sees m nner and b ume.
    assert PACKAGE.score("Männer", "mnner")["rouge1"].fmeasure == 0
    assert PACKAGE.score("Männer", "Fenner m nner")["rouge1"].fmeasure > 0
    assert rouge_1(["Fenner m nner"], ["Männer"]) == 0
    assert rouge_1(["MÄNNER fällen Bäume"], ["männer fällen bäume"]) == 1


def test_lsum_finds_sentences_without_line_breaks() -> None:
    output = "Two dogs sleep. The cat ran away. It rains."
    reference = "It rains. The cat ran away. Two dogs sleep."
    assert PACKAGE.score(reference, output)["rougeLsum"].fmeasure == pytest.approx(0.4, abs=0.05)
    assert rouge_lsum([output], [reference]) == 1
    assert rouge_l([output], [reference]) == pytest.approx(4 / 9)
    cut = ['He said "Stop!"', "Then 3.5 km.", "走了。", "好。", "End"]
    assert sentences('He said "Stop!" Then 3.5 km. 走了。好。 End\n') == cut
    assert sentences("One. Two.\nThree.") == ["One. Two.", "Three."]


def test_long_texts_take_no_time() -> None:
    ours = " ".join(str(i * i % 997) for i in range(8_000))
    theirs = " ".join(f"{i * 7 % 997}{'.' * (i % 20 == 0)}" for i in range(8_000))
    start = time.process_time()
    assert 0 < rouge_l([ours], [theirs]) < 1
    assert time.process_time() - start < 1
    assert 0 < rouge_lsum([ours], [theirs]) < 1


def test_what_is_over_the_cap_is_not_read() -> None:
    text = "a " * MOST_WORDS
    assert rouge_1([text + "b c"], [text]) == rouge_lsum([text + "b c"], [text]) == 1
    assert f"cap:{MOST_WORDS}" in rouge_l.signature()
