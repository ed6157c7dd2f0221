"""The public functions as a Python user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.batch.job import Job
from nlpsuite.batch.score import score
from nlpsuite.errors import OptionError
from nlpsuite.evaluation.compare import compare
from nlpsuite.evaluation.perplexity import evaluate_lm
from nlpsuite.evaluation.run import evaluate


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def translations(path: Path, pairs: list[tuple[str, str]]) -> Path:
    return write(path, [{"text": "x", "reference": right, "output": said} for said, right in pairs])


GREETINGS = ["Guten Morgen.", "Danke schön.", "Das Museum ist montags geschlossen.", "Ja."]


def test_score_then_evaluate_then_compare(tiny_bundle: Path, tmp_path: Path, isolated_cache: Path) -> None:
    before = set(isolated_cache.glob("evaluations/*"))
    rows = [{"text": "A fine film.", "label": "positive"}, {"text": "Dull.", "label": "negative"}]
    data = write(tmp_path / "data.jsonl", rows)
    settings: dict[str, Any] = {
        "options": {"examples": False}, "model": str(tiny_bundle), "workers": 1, "threads": 1,
    }  # fmt: skip
    report = score("sentiment", data, tmp_path / "a.jsonl", **settings)
    assert (report.rows, report.errors, report.exit_code) == (2, 0, 0)
    assert report.output == tmp_path / "a.jsonl"
    of_file = evaluate("sentiment", predictions=tmp_path / "a.jsonl")
    of_model = evaluate("sentiment", data, **settings)
    assert of_file.figures == of_model.figures and of_file.n == 2
    assert of_model.provenance["dataset"]["name"] == str(data)
    model_sha256 = Job.open(report.job).manifest["keys"]["model"]["sha256"]
    assert of_model.provenance["model"]["sha256"] == of_file.provenance["model"]["sha256"] == model_sha256
    assert set((isolated_cache / "evaluations").iterdir()) <= before  # interrupted ones of other tests
    with pytest.raises(OptionError, match="needs an output"):
        score("sentiment", data)
    same = compare(tmp_path / "a.jsonl", write(tmp_path / "b.jsonl", _read(tmp_path / "a.jsonl")))
    assert same.task == "sentiment" and all(difference.ties in (2, None) for difference in same.differences)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_evaluation_shows_itself(tmp_path: Path) -> None:
    good = translations(tmp_path / "good.jsonl", [(text, text) for text in GREETINGS])
    report = evaluate("translate", predictions=good, by=["reference"])
    assert str(report).startswith(f"translate on {good}: 4 rows")
    assert json.loads(report.to_json())["provenance"]["dataset"]["name"] == str(good)
    assert report.to_markdown().startswith("# translate on ")
    assert report.to_html().startswith("<!doctype html>")
    shown = report._repr_html_()
    assert "<table>" in shown and "<th>metric</th>" in shown and "By reference" in shown


def test_exact_matches_are_not_among_the_worst_rows(tmp_path: Path) -> None:
    pairs = [(text, text) for text in GREETINGS] + [("Etwas ganz anderes.", "Gute Nacht.")]
    report = evaluate("translate", predictions=translations(tmp_path / "a.jsonl", pairs), metrics=["bleu"])
    assert report.row_metric == "bleu"
    assert [row.figure for row in report.worst[1:]] == [100.0] * 4 and report.worst[0].index == 4


def test_exact_matches_win_in_a_comparison(tmp_path: Path) -> None:
    bad = translations(tmp_path / "bad.jsonl", [("xxx yyy", text) for text in GREETINGS])
    good = translations(tmp_path / "good.jsonl", [(text, text) for text in GREETINGS])
    report = compare(bad, good, task="translate", trials=50, resamples=50)
    assert {d.metric: (d.wins, d.ties, d.losses) for d in report.differences}["bleu"] == (4, 0, 0)


def test_bleu_follows_the_language(tmp_path: Path) -> None:
    chinese = ["图书馆将于明年秋天开放。", "列车每十分钟一班。", "博物馆周一闭馆。"]
    path = translations(tmp_path / "zh.jsonl", [(text, text) for text in chinese])
    for tokenize, expected in (("", "tok:zh"), ("char", "tok:char")):
        [bleu] = evaluate("translate", predictions=path, metrics=["bleu"], tokenize=tokenize).figures
        assert (bleu.value, expected in bleu.signature) == (100, True)
        [difference] = compare(
            path, write(tmp_path / "same.jsonl", _read(path)), task="translate", metrics=["bleu"],
            tokenize=tokenize, trials=10, resamples=10,
        ).differences  # fmt: skip
        assert difference.baseline == 100 and expected in difference.signature
    report = evaluate("translate", predictions=path, metrics=["bleu"], tokenize="13a")
    assert report.figures[0].value < 100 and any("--tokenize" in note for note in report.notes)


def test_slices_share_the_tokenizer(tmp_path: Path) -> None:
    rows = [
        {"text": "x", "reference": text, "output": text, "kind": kind}
        for kind, text in [
            ("a", "图书馆将于明年秋天开放。"),
            ("a", "列车每十分钟一班。"),
            ("b", "Hello there."),
        ]
    ]
    report = evaluate(
        "translate", predictions=write(tmp_path / "a.jsonl", rows), metrics=["bleu"], by=["kind"]
    )
    signatures = {figure.signature for part in report.slices for figure in part.figures}
    assert signatures == {report.figures[0].signature} and "tok:zh" in report.figures[0].signature


def test_a_language_model(tiny_bundle: Path) -> None:
    report = evaluate_lm(["The sea is wide.", "So is the sky."], name="two texts", model=str(tiny_bundle))
    assert report.texts == 2 and [figure.metric for figure in report.figures] == [
        "perplexity", "word_perplexity", "bits_per_byte",
    ]  # fmt: skip
    assert json.loads(report.to_json())["data"] == "two texts" and "2 texts" in str(report)
    with pytest.raises(OptionError, match="one of the two"):
        evaluate_lm()
    with pytest.raises(OptionError, match="single string"):
        evaluate_lm("book.txt")


def test_a_language_model_on_files(tiny_bundle: Path, tmp_path: Path) -> None:
    texts = ["The sea is wide.", "So is the sky."]
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(files, texts):
        path.write_text(text, encoding="utf-16")  # with a byte order mark
    report = evaluate_lm(files=files, model=str(tiny_bundle))
    assert report.data == [str(path) for path in files]
    assert report.figures == evaluate_lm(texts, model=str(tiny_bundle)).figures
    assert "perplexity (tokens)" in report.to_markdown() and "<table>" in report._repr_html_()
    assert report.to_html().startswith("<!doctype html>") and "bits per byte" in report.to_html()
    with pytest.raises(OptionError, match="one of the two"):
        evaluate_lm(texts, files=files)
