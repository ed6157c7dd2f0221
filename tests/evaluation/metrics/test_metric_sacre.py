"""BLEU, chrF and TER against sacreBLEU's own command line and interface."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError, MissingExtraError, OptionError
from nlpsuite.evaluation.metrics.bleu import Bleu, SacreBleu, bleu, chrf, ter, unspaced_language
from nlpsuite.evaluation.metrics.lengths import count_references
from nlpsuite.tasks.result import Output

METRICS = {"bleu": bleu, "chrf": chrf, "ter": ter}
OUTPUTS = [
    "The cat sat on the mat , and looked at us .",
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "a",
    "two dogs run through the snow after one ball",
    "Ein Mann schläft in einem grünen Raum auf einem Sofa",
]
REFERENCES = [
    ["The cat is on the mat, and looks at us.", "On the mat sits the cat, which is looking at us."],
    ["Zwei junge weiße Männer sind im Freien in der Nähe von Büschen.", "Zwei Männer stehen bei Büschen."],
    ["A b", "b"],
    ["After one ball two dogs run through the snow.", "Two dogs chase a ball in the snow"],
    ["Ein Mann schläft auf einem Sofa in einem grünen Zimmer.", "Ein schlafender Mann auf einem Sofa."],
]
ROWS = [Output(text) for text in OUTPUTS]
SENTENCES = st.lists(st.sampled_from("a b c d Maße , . nein".split()), max_size=9).map(" ".join)


def command_line(directory: Path, references: int) -> dict[str, tuple[float, str]]:
    """Value and signature of each metric as the program sacrebleu tells them."""
    files = {"outputs": OUTPUTS} | {f"r{i}": [row[i] for row in REFERENCES] for i in range(references)}
    for name, lines in files.items():
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = [f"r{i}" for i in range(references)] + ["-i", "outputs", "-m", *METRICS, "-w", "12"]
    done = subprocess.run(
        [sys.executable, "-m", "sacrebleu", *given], cwd=directory, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    return {name: (row["score"], row["signature"]) for name, row in zip(METRICS, found, strict=True)}


@pytest.mark.parametrize("references", [1, 2])
def test_the_program_says_the_same(tmp_path: Path, references: int) -> None:
    wanted = [row[:references] for row in REFERENCES]
    for name, (score, signature) in command_line(tmp_path, references).items():
        metric = METRICS[name]
        assert metric.figure(metric.statistics(ROWS, wanted).sum(axis=0)) == pytest.approx(score, abs=1e-10)
        assert metric.signature(count_references(wanted)) == signature
        if references == 1:
            assert metric(OUTPUTS, [row[0] for row in wanted]) == pytest.approx(score, abs=1e-10)


CHINESE = ["图书馆将于明年秋天开放。", "列车每十分钟一班。", "市长承诺在桥附近新建一个停车场。"]
ANSWERS = ["图书馆明年秋天将开放。", "列车每十分钟一班。", "市长承诺在桥的附近建一个新停车场。"]


def sacrebleu_output(directory: Path, outputs: list[str], references: list[str], *flags: str) -> str:
    """What the program sacrebleu prints for BLEU."""
    (directory / "o").write_text("\n".join(outputs) + "\n", encoding="utf-8")
    (directory / "r").write_text("\n".join(references) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "r", "-i", "o", "-m", "bleu", "-w", "12", *flags]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("flags, tokenize", [(["-l", "en-zh"], ""), (["-tok", "char"], "char")])
def test_chinese_is_tokenized_as_the_program_does(flags: list[str], tokenize: str, tmp_path: Path) -> None:
    theirs = json.loads(sacrebleu_output(tmp_path, ANSWERS, CHINESE, *flags))
    wanted = [[text] for text in CHINESE]
    ours = Bleu(tokenize).for_references(wanted)
    rows = ours.statistics([Output(text) for text in ANSWERS], wanted)
    assert ours.figure(rows.sum(axis=0)) == pytest.approx(theirs["score"], abs=1e-10)
    assert ours.signature() == theirs["signature"] and ours.notice(rows.sum(axis=0)) == ""
    assert Bleu(tokenize)(CHINESE, CHINESE) == 100


def test_a_row_has_the_effective_order_of_the_program(tmp_path: Path) -> None:
    outputs, references = ["Guten Morgen.", "Guten Tag .", "a b c d e", "x"], ["Guten Morgen."] * 3 + ["x"]
    rows = bleu.statistics([Output(text) for text in outputs], [[text] for text in references])
    printed = sacrebleu_output(tmp_path, outputs, references, "--sentence-level").splitlines()
    scores = bleu.row_figures(rows)
    assert scores == pytest.approx([float(line.split(" = ")[1].split()[0]) for line in printed], abs=1e-10)
    assert scores[0] == scores[3] == 100 and scores[2] == 0


@pytest.mark.parametrize(
    "text, language",
    [
        ("图书馆将于明年秋天开放。", "Chinese"),
        ("図書館は来年の秋に開館します。", "Japanese"),
        ("ห้องสมุดจะเปิดในฤดูใบไม้ร่วงปีหน้า", "Thai"),
        ("បណ្ណាល័យនឹងបើកនៅរដូវស្លឹកឈើជ្រុះ", "Khmer"),
        ("도서관은 내년 가을에 문을 엽니다.", ""),
        ("Die Bibliothek öffnet im Herbst.", ""),
        ("The sign says 图书馆.", ""),
        ("", ""),
    ],
)
def test_languages_without_spaces(text: str, language: str) -> None:
    assert unspaced_language(text) == language


def test_a_tokenizer_that_finds_no_words_is_noticed() -> None:
    japanese = ["図書館は来年の秋に開館します。", "列車は十分おきに走ります。"]
    for metric, texts, noticed in [
        (bleu, ["ห้องสมุดจะเปิดในฤดูใบไม้ร่วงปีหน้า"] * 2, "--tokenize char"),
        (Bleu("13a"), CHINESE, "--tokenize char"),
        (Bleu("13a"), japanese, "sacrebleu[ja]"),
        (Bleu("char"), japanese, ""),
        (bleu, ["The cat sat on the mat."], ""),
        (bleu, ["Too short."], "4-gram"),
    ]:
        wanted = [[text] for text in texts]
        chosen = metric.for_references(wanted)
        notice = chosen.notice(chosen.statistics([Output(text) for text in texts], wanted).sum(axis=0))
        assert (noticed in notice) if noticed else not notice, (texts, notice)


def test_japanese_needs_mecab() -> None:
    wanted = [["図書館は来年の秋に開館します。"]]
    installed = all(importlib.util.find_spec(name) for name in ("MeCab", "ipadic"))
    assert ("tok:ja-mecab" in bleu.for_references(wanted).signature()) == installed
    if not installed:
        with pytest.raises(MissingExtraError, match="ja-mecab"):
            Bleu("ja-mecab")(["列車"], ["列車"])
    with pytest.raises(OptionError, match="no tokenizer '13b'"):
        Bleu("13b")(["a"], ["a"])


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_another_number_of_references_each(metric: SacreBleu) -> None:
    wanted = [row[: 1 + i % 2] for i, row in enumerate(REFERENCES)]
    theirs = metric.scorer()
    streams = [[row[0] for row in wanted], [row[1] if len(row) > 1 else None for row in wanted]]
    score = theirs.corpus_score(OUTPUTS, streams).score  # type: ignore[arg-type]
    assert metric.figure(metric.statistics(ROWS, wanted).sum(axis=0)) == pytest.approx(score, abs=1e-10)
    assert metric.signature(count_references(wanted)) == str(theirs.get_signature())
    assert "nrefs:var" in metric.signature(count_references(wanted))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(SENTENCES, st.lists(SENTENCES, min_size=2, max_size=2)), min_size=1, max_size=4)
)
def test_any_sum_has_their_score(metric: SacreBleu, rows: list[tuple[str, list[str]]]) -> None:
    table = metric.statistics([Output(text) for text, _ in rows], [wanted for _, wanted in rows])
    sums = np.array([[2, 0, 1, 3], [1, 1, 1, 1], [0, 1, 0, 0]])[:, : len(rows)] @ table
    for ours, theirs in zip(metric.figure(sums), sums):
        score = metric.scorer()._compute_score_from_stats(list(theirs)).score
        assert ours == pytest.approx(min(score, metric.scale), abs=1e-9)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_what_sacrebleu_would_cut_off_is_refused(metric: SacreBleu) -> None:
    theirs = metric.scorer().corpus_score(["a b c d", "x"], [["a b c d"]]).score
    assert theirs == pytest.approx(0 if metric is ter else 100)  # perfect, though one output is wrong
    with pytest.raises(InputInvalidError, match="2 outputs and 1 references"):
        metric(["a b c d", "x"], ["a b c d"])


def test_ter_has_no_upper_end() -> None:
    assert ter(["a b c d"], ["x"]) == 400
    assert ter(["a", ""], ["", ""]) == 100 and ter([""], [""]) == 0
