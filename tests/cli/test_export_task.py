"""``nlpsuite export --task`` as a user types it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from embed import schema_errors
from templates import needs_torch
from tiny import LLAMA, LSTM, write_tiny_checkpoint

import nlpsuite
from nlpsuite.errors import OptionError

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]  # torch's own

COMMON = ("--precision", "fp32", "--no-verify", "-o", "out")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = dataclasses.replace(LLAMA, max_position_embeddings=2_048)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny", config=config)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(here: Path, place: str = "out") -> Any:
    file = json.loads((here / place / "task.json").read_text("utf-8"))
    assert schema_errors(file) == []
    return file


def test_the_tasks_options_are_flags(cli, base: Path, here: Path) -> None:
    outcome = cli(
        "export", base, "--task", "classify", "--labels", "good,bad", "--no-calibrate",
        "--golden-text", "It was fine.", *COMMON,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{here / 'out'}\n"
    assert "task.json says how to do classify with it." in outcome.err
    file = read(here)
    assert file["choose"]["calibration"] is None
    assert [golden["text"] for golden in file["golden"]] == ["It was fine."]
    assert file["model"] == {
        "name": "tiny",
        "graph": "onnx/model.onnx",
        "layout": "portable",
        "precision": "fp32",
        "context_length": 2_048,
    }


def test_the_default_directory_names_the_task(cli, base: Path, here: Path) -> None:
    outcome = cli("export", base, "--task", "complete", "--precision", "fp32", "--no-verify")
    assert outcome.out == f"{here / 'exported' / 'tiny-complete-portable-fp32'}\n", outcome.err


def test_an_adapter_that_does_not_fit_is_left_out_and_named(cli, base: Path, here: Path) -> None:
    outcome = cli("export", base, "--task=sentiment", *COMMON)
    assert outcome.code == 0, outcome.err
    assert "was trained on SmolLM2-135M-Instruct, not on tiny: exported without it" in outcome.err
    assert len(read(here)["choose"]["calibration"]) == 2
    silent = cli("export", base, "--task=sentiment", "--adapter", "none", "--overwrite", *COMMON)
    assert silent.code == 0 and "was trained on" not in silent.err


def test_examples_and_a_prompt_of_ones_own(cli, base: Path, here: Path) -> None:
    (here / "shots.csv").write_text("text,label\nfine,positive\nawful,negative\n")
    (here / "prompt.txt").write_text("Is this good or bad? {text}\n")
    outcome = cli(
        "export", base, "--task", "sentiment", "--shots", "shots.csv", "--prompt-file", "prompt.txt",
        "--adapter", "none", *COMMON,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    [part] = read(here)["prompt"]["parts"]
    assert part["text"].endswith("Is this good or bad? {text}")
    assert "awful" in part["text"]


def test_the_configuration_holds_as_for_run(
    cli, base: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "settings.toml").write_text('[tasks.complete]\nstop = ";"\n')
    monkeypatch.setenv("NLPSUITE_CONFIG", str(here / "settings.toml"))
    assert cli("export", base, "--task", "complete", *COMMON).code == 0
    assert read(here)["generate"]["stop"] == [";"]


def test_nlpsuites_own_layout_works_too(cli, here: Path) -> None:
    write_tiny_checkpoint(here / "lstm", config=LSTM)
    outcome = cli("export", "lstm", "--task", "complete", "--layout", "slots", *COMMON)
    assert outcome.code == 0, outcome.err
    file = read(here)
    assert file["model"]["graph"] == "onnx/slots.onnx"
    golden = file["golden"][0]
    run = nlpsuite.load("complete", model=here / "out", device="cpu", max_tokens=golden["max_new_tokens"])
    assert run(golden["text"]).text == golden["output"]


def test_what_is_refused_says_what_works(cli, base: Path, here: Path) -> None:
    for arguments, code, words in (
        (("summarize",), 2, "What works: --method abstract, --method instruct, --method free."),
        (("complete", "--line"), 2, "complete with line=True can't be exported as a file"),
        (("complete", "--line"), 2, "What works: --no-line."),
        (("review",), 2, "nlpsuite serve"),
        (("classify", "--labels", "a,b", "--multi", "--plain"), 2, "--no-multi, --no-plain"),
        (("classify",), 2, "needs labels"),
        (("sentimen",), 2, "Did you mean 'sentiment'?"),
        (("sentiment", "--margin", "-1"), 2, "margin is -1.0"),
        (("sentiment", "--method", "instruct"), 2, "No such option"),
        (("sentiment", "--golden-text", "..."), 2, "The golden text '...' can't be used"),
        (("translate", "--from", "fr", "--golden-text", "a\nb"), 2, "several parts"),
        (("sentiment", "--shots", "absent.csv"), 4, "absent.csv"),
    ):
        outcome = cli("export", base, "--adapter", "none", *COMMON, "--task", *arguments)
        assert outcome.code == code, outcome.err
        assert words in outcome.err and "Traceback" not in outcome.err
        assert outcome.out == "" and not (here / "out").exists()


def test_without_a_task_there_are_no_options(base: Path) -> None:
    with pytest.raises(OptionError, match="labels is given without a task"):
        nlpsuite.export(base, "out", labels="good,bad")


def test_help_shows_the_tasks_options(cli) -> None:
    plain = cli("export", "--help")
    assert plain.code == 0 and "--task TASK" in plain.out and "--labels" not in plain.out
    outcome = cli("export", "--task", "classify", "--help")
    assert outcome.code == 0
    for words in ("Task options:", "--labels", "--shots", "--prompt-file"):
        assert words in outcome.out
