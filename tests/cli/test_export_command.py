"""``nlpsuite export`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import LSTM, write_tiny_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_path_is_on_stdout_and_all_else_on_stderr(cli, base: Path, here: Path) -> None:
    outcome = cli("export", base, "--precision", "fp32", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{here / 'out'}\n"
    for words in (
        "Exporting tiny (slots, fp32)",
        "Comparing the fp32 graph with torch",
        "tiny: slots, fp32, 0.4 MB",
        "on 256 tokens",
        "100.0%",
        "identical greedy tokens 32 of 32",
    ):
        assert words in outcome.err
    assert json.loads((here / "out" / "bundle.json").read_text())["name"] == "tiny"


def test_the_bundle_runs(cli, base: Path, here: Path) -> None:
    assert cli("export", base, "--precision", "int4", "--no-verify", "--name", "Four").code == 0
    outcome = cli(
        "run", "complete", "--model", "exported/tiny-int4", "--text", "the sea", "--max-tokens", "4", "--json"
    )
    assert outcome.code == 0, outcome.err
    model = json.loads(outcome.out)["model"]
    assert (model["name"], model["precision"]) == ("Four", "int4")


def test_without_a_check_it_says_so(cli, base: Path) -> None:
    assert "Not compared with torch." in cli("export", base, "--precision", "fp32", "--no-verify").err


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_run_and_pull_take_every_precision(cli, base: Path, precision: str) -> None:
    pulled = cli("pull", base, "--precision", precision)
    assert pulled.code == 0, pulled.err
    assert f"-{precision}-" in pulled.out
    assert precision in cli("run", "complete", "--help").out


def test_errors_have_their_codes_and_say_what_to_do(cli, base: Path, here: Path) -> None:
    assert cli("export", base, "--precision", "fp32", "--no-verify", "-o", "out").code == 0
    write_tiny_checkpoint(here / "lstm", config=LSTM)
    (here / "file").touch()
    for arguments, code, words in (
        ((base, "--precision", "int3"), 2, "int3"),
        ((base, "--layout", "genai"), 2, "genai"),
        ((base, "--precision", "fp32", "-o", "out"), 2, "--overwrite"),
        (("out", "-o", "again"), 2, "is already exported"),
        (("absent.gguf",), 5, "absent.gguf"),
        ((base, "--adapter", "absent.safetensors"), 5, "absent.safetensors"),
        ((base, "-o", "file/out"), 7, "-o"),
        (("lstm", "--layout", "portable"), 5, "--layout slots"),
    ):
        outcome = cli("export", *arguments)
        assert outcome.code == code, outcome.err
        assert outcome.out == "" and "Traceback" not in outcome.err
        assert words in outcome.err


def test_a_failed_check_writes_nothing(cli, base: Path, here: Path) -> None:
    """4 bits are too few for random weights whose logits are peaked."""
    outcome = cli("export", base, "--precision", "int4", "-o", "out")
    assert outcome.code == 5
    assert "does not compute what the model computes" in outcome.err
    assert "--precision int8" in outcome.err and "--no-verify" in outcome.err
    assert list(here.iterdir()) == []


def test_help(cli) -> None:
    outcome = cli("export", "--help")
    assert outcome.code == 0
    for words in ("--adapter", "fp32, fp16", "slots|portable", "--no-verify", "exported/<model>"):
        assert words in outcome.out
    assert "export" in cli("--help").out
