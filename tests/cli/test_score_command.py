"""``nlpsuite score`` from the command line."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROWS = ["text,mood", "a fine film,007", "dull,1e5", ",NA", '"the best, of them all",']


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(ROWS) + "\n")
    return path


@pytest.fixture
def score(cli: Any, tiny_bundle: Path) -> Any:
    def run(task: str, *args: Any, stdin: bytes = b"") -> Any:
        more = ("--model", tiny_bundle, "--workers", "1", "--threads", "1")
        return cli("score", task, *args, *more, stdin=stdin)

    return run


def test_score_and_its_summary(score, reviews, tmp_path) -> None:
    output = tmp_path / "scored.csv"
    outcome = score("sentiment", reviews, "-o", output, "--adapter", "none")
    assert outcome.code == 3 and outcome.out == ""
    lines = outcome.err.splitlines()
    assert lines[0] == f"Reading {reviews}"
    assert lines[1] == "4 rows (local, 1 worker of 1 thread)"
    assert lines[-2].startswith(f"{output}: 4 rows, 1 of them failed (4 scored now in ")
    assert "The column 'error' says why" in lines[-1]
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mood"] for row in rows] == ["007", "1e5", "NA", ""]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok"]


def test_quiet_and_json(score, reviews, tmp_path) -> None:
    outcome = score(
        "sentiment", reviews, "-o", tmp_path / "out.jsonl", "--adapter", "none", "--json", "--quiet"
    )
    assert outcome.code == 3 and outcome.err == ""
    report = json.loads(outcome.out)
    assert (report["rows"], report["errors"], report["scored"]) == (4, 1, 4)
    assert report["output"] == str(tmp_path / "out.jsonl") and report["job"] == str(tmp_path / "out.job")


def test_standard_input(score, reviews, tmp_path) -> None:
    arguments = ("sentiment", "-", "--format", "csv", "-o", tmp_path / "out.jsonl", "-q")
    assert score(*arguments, stdin=reviews.read_bytes()).code == 3
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 4
    lines = score("sentiment", "-", "-o", tmp_path / "lines.jsonl", "-q", stdin=b"fine\ndull\n")
    assert lines.code == 0
    texts = [json.loads(line)["text"] for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert texts == ["fine", "dull"]


def test_flags_of_columns(score, tmp_path) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"a": "fine", "b": "x", "most": 1}\n{"a": "dull", "b": "y", "most": "?"}\n'
    )
    outcome = score(
        "translate", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--text-column", "a", "--text-column", "b",
        "--id-column", "b", "--option-column", "max-tokens=most", "--max-tokens", "3", "--prefix", "new_", "-q",
    )  # fmt: skip
    assert outcome.code == 3, outcome.err
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["new_status"] == "ok" and "max_tokens" in second["new_error"]


@pytest.mark.parametrize(
    "arguments, code, said, hint",
    [
        (["reviews.csv"], 2, "Missing option '--output' / '-o'", ""),
        (["-o", "a.csv"], 2, "Name either a file or a --dataset", "reviews.csv"),
        (["no.csv", "-o", "a.csv"], 4, "There is no file no.csv", "Check the name"),
        (["reviews.csv", "-o", "a.xls"], 4, "Unsupported file type", ".parquet"),
        (["reviews.csv", "-o", "no/a.csv"], 7, "no directory no", "Create it"),
        (["reviews.csv", "-o", "reviews.csv"], 2, "also an input", "another name"),
        (["reviews.csv", "-o", "there.csv"], 2, "there.csv exists", "--overwrite"),
        (["reviews.csv", "-o", "a.csv", "--text-column", "x"], 4, "no column 'x'", "'text', 'mood'"),
        (["reviews.csv", "-o", "a.csv", "--id-column", "x"], 4, "no column 'x'", "'text', 'mood'"),
        (["reviews.csv", "-o", "a.csv", "--option-column", "to"], 2, "--option-column is 'to'", "OPTION=COLUMN"),
        (["reviews.csv", "-o", "a.csv", "--max-errors", "x"], 2, "max-errors can't be 'x'", "5%"),
        (["reviews.csv", "-o", "a.csv", "--max-errors", "0"], 3, "allows 0", "--overwrite"),
        (["reviews.csv", "-o", "a.csv", "--engine", "x"], None, "x", "local"),
        (["reviews.csv", "-o", "a.csv", "--encoding", "x"], 2, "no encoding 'x'", "utf-8"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(
    arguments: list[str],
    code: int | None,
    said: str,
    hint: str,
    score: Any,
    reviews: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(reviews.parent)
    Path("there.csv").write_text("mine")
    outcome = score("sentiment", *arguments)
    assert outcome.code == code if code else outcome.code != 0
    assert said in outcome.err and hint in outcome.err and "Traceback" not in outcome.err
    assert Path("there.csv").read_text() == "mine"
    started = "a.job" if "--max-errors" in arguments and "0" in arguments else None
    if code:
        assert [path.name for path in Path().glob("*.job")] == ([started] if started else [])


def test_another_job_is_refused(score, reviews, tmp_path) -> None:
    output = tmp_path / "out.csv"
    score("sentiment", reviews, "-o", output, "-q")
    outcome = score("sentiment", reviews, "-o", output, "-q", "--limit", "2")
    assert outcome.code == 2
    assert "  limit: null in the job, 2 requested" in outcome.err.splitlines()
    assert score("sentiment", reviews, "-o", output, "-q", "--limit", "2", "--overwrite").code == 0


def test_help(cli) -> None:
    outcome = cli("score", "sentiment", "--help")
    assert outcome.code == 0
    for flag in (
        "--text-column COLUMN",
        "-o, --output FILE",
        "--max-errors N|P%",
        "--workers N",
        "--encoding NAME",
    ):
        assert flag in outcome.out
    assert "RANGE" not in outcome.out
    assert "[default: as before]" in cli("jobs", "resume", "--help").out


def test_a_terminal_has_a_bar(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    reviews.write_text("text\n" + "a fine film\n" * 60)
    arguments = ["score", "sentiment", reviews, "-o", tmp_path / "out.csv", "--model", tiny_bundle]
    arguments += ["--chunk-rows", "4", "--workers", "1", "--threads", "1"]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "nlpsuite", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 1 << 16):
            shown += piece
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(master)
    assert process.wait() == 0
    assert b" of 60" in shown and b"\x1b[" in shown
    assert b"60 rows (60 scored now in " in shown
