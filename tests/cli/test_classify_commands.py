"""``classify`` as one types it: run, score, eval and compare with labels of one's own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

LABELS = ("--labels", "good,bad thing")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("text,category\nthe sea,good\nthe rain,Bad thing\nthe sun,good\n")
    return path


def test_run(cli: Any, tiny_bundle: Path) -> None:
    outcome = cli("run", "classify", "--model", tiny_bundle, *LABELS, "--text", "the sea", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert set(found["probabilities"]) == {"good", "bad thing"} and found["label"] in found["probabilities"]
    outcome = cli(
        "run", "classify", "--model", tiny_bundle, *LABELS, "--multi", "--text", "the sea", "--json"
    )
    assert outcome.code == 0 and set(json.loads(outcome.out)["probabilities"]) == {"good", "bad thing"}


@pytest.mark.parametrize("verb", [("run",), ("score",), ("eval",)])
def test_labels_are_needed_before_a_model(cli: Any, rows: Path, tmp_path: Path, verb: tuple[str]) -> None:
    more = ["-o", tmp_path / "out.csv"] if verb == ("score",) else []
    outcome = cli(*verb, "classify", rows, *more, "--json")
    assert outcome.code == 2 and json.loads(outcome.out)["error"]["code"] == "option-invalid"
    assert "classify needs labels" in outcome.err


def test_score_eval_and_compare(cli: Any, tiny_bundle: Path, rows: Path, tmp_path: Path) -> None:
    model = ("--model", tiny_bundle, "--workers", "1", "--threads", "1")
    scored = tmp_path / "scored.csv"
    assert cli("score", "classify", rows, *LABELS, *model, "-o", scored).code == 0
    with scored.open(newline="") as file:
        assert set(json.loads(next(csv.DictReader(file))["probabilities"])) == {"good", "bad thing"}
    outcome = cli("eval", "classify", rows, *LABELS, *model, "--json")
    assert outcome.code == 0, outcome.err
    direct = json.loads(outcome.out)
    assert direct["labels"]["labels"] == ["good", "bad thing"]  # the user's order
    outcome = cli("eval", "classify", "--predictions", scored, "--json")  # with the labels of the job
    assert outcome.code == 0, outcome.err
    again = json.loads(outcome.out)
    assert again["figures"] == direct["figures"] and again["labels"] == direct["labels"]
    copy = tmp_path / "other.csv"
    copy.write_bytes(scored.read_bytes())
    outcome = cli("compare", scored, copy, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["differences"][0]["difference"] == 0


def test_a_label_that_is_not_asked_for_is_located(cli: Any, tiny_bundle: Path, rows: Path) -> None:
    outcome = cli("eval", "classify", rows, "--labels", "good,other", "--model", tiny_bundle)
    assert outcome.code == 4 and "'Bad thing' is not a label of classify" in outcome.err
    assert f"{rows}:3" in outcome.err
