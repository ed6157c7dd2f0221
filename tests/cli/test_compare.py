"""``nlpsuite compare`` as one types it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest


def predictions(path: Path, said: Sequence[str | None], **more: object) -> Path:
    rows = [
        {
            "text": f"Text {i}.",
            "label": "positive",
            "output": each,
            "status": "ok" if each else "error",
            **more,
        }
        for i, each in enumerate(said)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    a = predictions(tmp_path / "a.jsonl", ["positive", "negative", "negative", "positive"])
    return a, predictions(tmp_path / "b.jsonl", ["positive", "positive", "positive", "negative"])


def job(file: Path, task: str) -> None:
    keys = {"task": task, "text_columns": ["text"], "id_column": "", "model": {"sha256": "ab"}}
    manifest = {"format": "nlpsuite-job", "keys": keys, "reference": "label", "prefix": "", "model": "m",
                "columns": ["text", "label"]}  # fmt: skip
    file.with_suffix(".job").mkdir()
    (file.with_suffix(".job") / "manifest.json").write_text(json.dumps(manifest))


def test_two_files(cli, files: tuple[Path, Path]) -> None:
    outcome = cli("compare", *files, "--task", "sentiment", "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    found = report["differences"][0]
    assert (found["metric"], found["system"], found["difference"]) == ("accuracy", "b", 0.25)
    assert (found["wins"], found["ties"], found["losses"]) == (2, 1, 1)
    assert report["systems"] == ["a", "b"] and len(report["provenance"]["a"]["sha256"]["a.jsonl"]) == 64
    assert report["changes"][0]["text"] == "Text 1."
    shown = cli("compare", *files, "--task", "sentiment").out
    assert "win / tie / loss" in shown and "10,000 trials" in shown


def test_the_job_says_the_task(cli, files: tuple[Path, Path]) -> None:
    job(files[0], "sentiment")
    outcome = cli("compare", *files, "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["task"] == "sentiment" and report["provenance"]["a"]["model"]["name"] == "m"
    job(files[1], "summarize")
    outcome = cli("compare", *files)
    assert outcome.code == 4 and "sentiment, summarize" in outcome.err


def test_other_rows_are_refused(cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    files[1].write_text(files[1].read_text().replace("Text 2.", "Another."))
    outcome = cli("compare", *files, "--task", "sentiment")
    assert outcome.code == 4 and 'Row 3 has "Text 2." as its \'text\' in a and "Another." in b' in outcome.err
    few = predictions(tmp_path / "few.jsonl", ["positive"])
    assert "a has 4 rows and few 1" in cli("compare", files[0], few, "--task", "sentiment").err


def test_what_answers_differ_in_besides_is_no_difference_of_rows(cli, tmp_path: Path) -> None:
    a = predictions(tmp_path / "a.jsonl", ["positive"], confidence=0.9, data={"x": 1})
    b = predictions(tmp_path / "b.jsonl", [None], confidence=None, error="too long")
    outcome = cli("compare", a, b, "--task", "sentiment")
    assert outcome.code == 3 and "Of b, 1 of 1 rows failed" in outcome.out


def test_files_of_others(cli, tmp_path: Path) -> None:
    for name, said in (("a", "positive"), ("b", "negative")):
        (tmp_path / f"{name}.csv").write_text(f"text,label,prediction,model\nx,1,{said},m\n")
    outcome = cli("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--task", "sentiment", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["differences"][0]["difference"] == -1


def test_pages_of_three(cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    c = predictions(tmp_path / "c.jsonl", ["positive"] * 4)
    args = (
        "compare",
        *files,
        c,
        "--task",
        "sentiment",
        "--html",
        tmp_path / "r.html",
        "--markdown",
        tmp_path / "r.md",
    )
    assert cli(*args).code == 0
    page = (tmp_path / "r.html").read_text()
    assert "b against a" in page and "c against a" in page
    assert "p (Holm)" in (tmp_path / "r.md").read_text()


def test_files_of_the_same_name(cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    other = predictions(tmp_path / "x" / "a.jsonl", ["positive"] * 4)
    outcome = cli("compare", files[0], other, "--task", "sentiment", "--json")
    assert json.loads(outcome.out)["systems"] == [str(tmp_path / "a"), str(tmp_path / "x" / "a")]
    assert cli("compare", files[0], files[0], "--task", "sentiment").code == 2


def test_wrong_usage(cli, files: tuple[Path, Path]) -> None:
    assert cli("compare", files[0]).code == 2
    outcome = cli("compare", *files)
    assert outcome.code == 2 and "--task" in outcome.err
    assert cli("compare", files[0], "no.jsonl", "--task", "sentiment").code == 4
