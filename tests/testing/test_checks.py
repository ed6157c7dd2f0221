"""What the checks say and how pytest shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nlpsuite.cli import run_command
from nlpsuite.options import RESERVED_OPTIONS
from nlpsuite.testing import TaskConformance, check_task
from nlpsuite.testing.conformance import CHECKS
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.fuzz import fuzz_texts, fuzz_with_hypothesis, score_rows


def test_every_check_is_a_test_and_says_what_it_expects() -> None:
    for check in CHECKS:
        assert check.__doc__
        assert getattr(TaskConformance, f"test_{check.__name__}").__doc__ == check.__doc__


def test_the_suites_own_flags_are_reserved() -> None:
    task = run_command.command.get_command(click.Context(run_command.command), "complete")  # type: ignore[attr-defined]
    own = {p.name for p in task.params} - {
        "stop",
        "max_tokens",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "suffix",
        "line",
        "block",
        "sentinels",
    }
    assert own - {"repetition_penalty", "seed", "beams"} <= RESERVED_OPTIONS


def test_the_texts_are_the_same_every_time() -> None:
    texts = fuzz_texts("a few words")
    assert texts == fuzz_texts("a few words") and len(set(texts)) > 250
    assert "".join(texts).encode()  # no lone surrogates
    assert all(len(row) == 3 and max(row) <= 0 for row in score_rows(3))


BROKEN = """
from nlpsuite.testing import TaskConformance

class TestSentiment(TaskConformance):
    task = "sentiment"
    test_streams = None

class TestAbsent(TaskConformance):
    task = "absent"
"""


def test_pytest_shows_the_message_alone(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(BROKEN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CI": "1"}
    )
    assert f"{len(CHECKS) - 1} passed" in done.stdout and f"{len(CHECKS)} failed" in done.stdout
    assert "There is no task 'absent'" in done.stdout


def test_importing_the_kit_is_cheap() -> None:
    code = "import sys, nlpsuite.testing; print('numpy' in sys.modules, 'hypothesis' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"


@pytest.mark.parametrize("name", ["sentiment", "summarize"])
def test_without_hypothesis_there_is_still_a_fuzz(name: str) -> None:
    [parsing] = [f for f in check_task(name) if f.check == "parses_anything"]
    assert parsing.ok and parsing.message == "600 answers"


def test_hypothesis_shortens_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(text: str) -> None:
        if "[" in text:
            raise CheckFailed(f"fails on {text!r}", "x.py:1")

    with pytest.raises(CheckFailed, match=r"fails on '\['") as caught:
        fuzz_with_hypothesis(check)
    assert caught.value.where == "x.py:1"
    assert fuzz_with_hypothesis(lambda text: None) >= 100
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert fuzz_with_hypothesis(check) == 0
