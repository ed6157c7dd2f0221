"""What counts as an overlap of training and evaluation data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nlpsuite.data.overlap import OverlapIndex

ROOT = Path(__file__).parents[2]
SENTENCE = "The old lighthouse keeper counted nine ships before the fog came in that night."


def test_runs_of_words_whatever_their_case_and_spaces() -> None:
    index = OverlapIndex(ngram=6)
    index.add(3, SENTENCE)
    assert index.shares("He said: the  OLD lighthouse\nkeeper counted nine crabs")
    assert not index.shares("the old lighthouse keeper counted ten ships before the mist came in")
    rows = {row for rows, _ in index.found(SENTENCE) for row in rows}
    assert rows == {3} and len(list(index.found(SENTENCE))) == len(index)


def test_a_run_of_the_same_few_signs_is_no_evidence() -> None:
    index = OverlapIndex(ngram=6)
    index.add(0, "[0, 0, 0, 0, 0, 0, 0]")
    assert len(index) == 0


def test_lines_but_for_case_and_punctuation_and_not_the_shortest() -> None:
    index = OverlapIndex(ngram=0)
    index.add(0, "Two dogs play in the snow.\nThank you!")
    assert index.shares("two dogs play, in the snow")
    assert not index.shares("Two dogs play in the snow today.\nThank you!")


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is missing")
def test_the_script_fails_on_overlap(tmp_path: Path) -> None:
    def check(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, str(ROOT / "benchmarks" / "overlap.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    words = SENTENCE.split()
    (tmp_path / "held.jsonl").write_text(json.dumps({"id": 1, "text": SENTENCE, "reference": ["no", "yes"]}))
    rows = [
        {"text": "Nothing of it.", "completion": ""},
        {"text": " ".join(words[:8]), "completion": " " + " ".join(words[8:])},
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    # Only both columns together hold a run of 13 words.
    assert check("train.jsonl", "--against", "held.jsonl")[0] == 0
    code, said = check("train.jsonl", "--against", "held.jsonl", "--join", "text,completion")
    assert code == 1 and "1 of 1 rows (100.00%)" in said and "1 of 2 training rows" in said
    assert check("train.jsonl", "--against", "held.jsonl", "--lines", "--join", "text,completion")[0] == 1
    assert check("nothing.jsonl", "--against", "held.jsonl")[0] == 2
