"""``--guard`` and ``nlpsuite eval bias`` as one types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_plugins import install, nlpsuite

from nlpsuite.cli import _EXIT_CODES
from nlpsuite.evaluation.bias import LIMITS, Counterfactuals
from nlpsuite.tasks.guard import REFUSAL


@pytest.fixture
def flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model says random things; here the guard objects to each of them."""
    from nlpsuite_guard import Screen

    from nlpsuite.tasks.guard import Flag, Screening

    def screen(self: Screen, texts: Any, model: Any) -> list[Screening]:
        return [Screening((Flag("email", 0, 1),), 0.25) for _ in texts]

    monkeypatch.setattr(Screen, "screen", screen)


def test_warn(complete, flagged) -> None:
    outcome, plain = complete("--text", "the sea", "--guard", "warn"), complete("--text", "the sea")
    assert (outcome.code, outcome.out) == (0, plain.out)
    assert outcome.err == "Guard: the output was flagged for email.\n"


def test_warn_in_json(complete, flagged) -> None:
    report = json.loads(complete("--text", "the sea", "--guard", "warn", "--json").out)
    assert report["guard"].pop("plugin")["distribution"] == "nlpsuite"
    assert report["guard"] == {
        "mode": "warn", "blocked": False, "toxicity": 0.25, "version": "1",
        "flags": [{"kind": "email", "start": 0, "end": 1, "field": "text"}],
    }  # fmt: skip
    assert "guard" not in json.loads(complete("--text", "the sea", "--json").out)


def test_block_has_an_exit_code_of_its_own(complete, flagged, tmp_path: Path) -> None:
    outcome = complete("--text", "the sea", "--guard", "block")
    assert (outcome.code, outcome.out) == (3, REFUSAL + "\n")
    assert outcome.err == "Guard: the output was blocked for email.\n"
    assert "  3  some rows failed, or an" in _EXIT_CODES and "output was blocked" in _EXIT_CODES
    report = json.loads(complete("--text", "the sea", "--guard", "block", "--json").out)
    assert report["text"] == REFUSAL and report["guard"]["blocked"]
    assert complete("--text", "the sea", "--guard", "block", "-o", tmp_path / "o").code == 3
    assert (tmp_path / "o").read_text() == REFUSAL + "\n"


def test_an_error_goes_before_a_blocked_output(complete, flagged) -> None:
    assert complete("nowhere.txt", "--text", "the sea", "--guard", "block").code == 4


def test_a_blocked_dialogue(cli, tiny_bundle, flagged) -> None:
    args = ["run", "chat", "--model", tiny_bundle, "--max-tokens", "4", "--guard", "block"]
    outcome = cli(*args, stdin=b"hello\nagain\n")  # a dialogue from a pipe
    assert outcome.code == 3 and outcome.out == f"{REFUSAL}\n" * 2


GUARD = """
from nlpsuite import hookimpl
from nlpsuite.tasks.guard import Flag, Guard, Screening
class Strict(Guard):
    name = "guard"
    def screen(self, texts, model): return [Screening((Flag("speech"),)) for text in texts]
@hookimpl
def nlpsuite_guard(): return Strict()
"""


def put_guard(place: Path, code: str) -> None:
    info = install(place, "unused", code, "strict-guard")
    (info / "entry_points.txt").write_text("[nlpsuite.guards.v1]\nguard = strict_guard\n")


def test_a_third_partys_guard_once_it_is_chosen(tmp_path: Path, tiny_bundle: Path) -> None:
    put_guard(tmp_path, GUARD)
    config = {"NLPSUITE_CONFIG_DIR": str(tmp_path / "config")}
    args = [
        "run",
        "complete",
        "--model",
        str(tiny_bundle),
        "--text",
        "the sea",
        "--max-tokens",
        "3",
        "--guard",
        "block",
    ]
    assert "speech" not in nlpsuite(tmp_path, *args, **config).stderr  # the bundled one goes first
    chosen = nlpsuite(tmp_path, "plugins", "enable", "guard", "--from", "strict-guard", **config)
    assert chosen.returncode == 0, chosen.stderr
    done = nlpsuite(tmp_path, *args, "--json", **config)
    assert done.returncode == 3 and "blocked for speech" in done.stderr
    assert json.loads(done.stdout)["guard"]["plugin"] == {"distribution": "strict-guard", "version": "1.2"}


def test_a_broken_guard_is_named_and_only_where_it_is_used(tmp_path: Path, tiny_bundle: Path) -> None:
    put_guard(tmp_path, GUARD.replace("return [", "return 1 // 0 or ["))
    config = {"NLPSUITE_CONFIG_DIR": str(tmp_path / "config")}
    args = ["run", "complete", "--model", str(tiny_bundle), "--text", "the sea", "--max-tokens", "3"]
    assert (
        nlpsuite(tmp_path, "plugins", "enable", "guard", "--from", "strict-guard", **config).returncode == 0
    )
    assert nlpsuite(tmp_path, *args, **config).returncode == 0
    done = nlpsuite(tmp_path, *args, "--guard", "block", **config)
    assert done.returncode == 6 and done.stdout == "" and "Traceback" not in done.stderr
    assert "strict-guard 1.2" in done.stderr and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    "args", [["eval", "--help"], ["eval", "bias", "--help"], ["run", "complete", "--help"]]
)
def test_help_loads_no_guard_and_nothing_heavy(args: list[str]) -> None:
    code = "import sys; from nlpsuite.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "nlpsuite" in loaded and "nlpsuite_guard" not in loaded
    if args[0] == "eval":
        assert loaded.isdisjoint({"numpy", "onnxruntime", "torch", "tokenizers", "pluggy"})


def test_only_two_modes(complete) -> None:
    assert complete("--text", "a", "--guard", "off").code == 2


SMALL = Counterfactuals(
    ("{person} ran.", "{person} sat."), {"sex": {"her": ["She"], "him": ["He"]}}, "7", "ab"
)


@pytest.fixture
def bias(cli, tiny_bundle, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("nlpsuite_sentiment._EXAMPLES", "")  # they fill the tiny model's context
    monkeypatch.setattr(Counterfactuals, "bundled", classmethod(lambda cls: SMALL))
    return lambda *args: cli("eval", "bias", "--model", tiny_bundle, "--adapter", "none", *args)


def test_bias_as_text(bias) -> None:
    outcome = bias()
    assert outcome.code == 0 and outcome.err.startswith("Measuring 4 sentences")
    lines = outcome.out.splitlines()
    [row] = [line for line in lines if line.startswith("sex")]
    assert "her − him" in row and row.count("[") == 2
    assert [line for line in lines if line.startswith("Note: ")] == [f"Note: {limit}" for limit in LIMITS]
    assert "Largest differences in P(positive)" in lines and "She ran." in outcome.out
    assert outcome.out == bias().out


def test_bias_as_a_page_and_markdown(bias, tmp_path: Path) -> None:
    page, markdown = tmp_path / "bias.html", tmp_path / "bias.md"
    assert bias("--html", page, "--markdown", markdown).code == 0
    assert page.read_text("utf-8").count("<table>") == 3 and "her − him" in page.read_text("utf-8")
    assert markdown.read_text("utf-8").startswith("# ") and "| sex | her − him |" in markdown.read_text(
        "utf-8"
    )


def test_bias_as_json(bias) -> None:
    report = json.loads(bias("--json").out)
    assert report["set"] == {"version": "7", "sha256": "ab", "templates": 2, "sentences": 4}
    assert report["bootstrap"] == {"resamples": 2000, "seed": 0, "interval": 0.95, "unit": "template"}
    [found] = report["comparisons"]
    assert found["axis"] == "sex" and found["groups"] == ["her", "him"] and found["pairs"] == 2
    for measured in ("sentiment", "logprob"):
        value = found[measured]
        assert value["low"] <= value["mean"] <= value["high"] and value["n"] == 2
        assert len(report["largest"][measured]) == 2
    assert report["limits"] and report["model"]["precision"] == "fp32"


def test_eval_lists_its_commands_without_loading_them(cli) -> None:
    outcome = cli("eval", "--help")
    assert outcome.code == 0 and "bias" in outcome.out
    assert "Did you mean 'bias'?" in cli("eval", "biass").err
