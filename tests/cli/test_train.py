"""``nlpsuite train``: what is said, where, and with which exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.models.checkpoint import open_checkpoint

with warnings.catch_warnings():  # torch's own, at import
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

TINY = ["--steps", "3", "--threads", "1", "--precision", "fp32", "--evaluations", "1"]
LM = [
    *TINY,
    "--layers",
    "1",
    "--hidden",
    "16",
    "--context",
    "16",
    "--batch-tokens",
    "64",
    "--vocab-size",
    "280",
]
ADAPTER = [*TINY, "--rank", "2", "--max-length", "200"]
UNMEASURED = ["--scored-examples", "0"]  # exporting a model takes longer than training one this small


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("The cat sees a bird.\nA dog hears the moon.\n" * 60, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reviews") / "reviews.tsv"
    rows = [f"film {i} is {('dull', 'fine')[i % 2]}\t{i % 2}" for i in range(20)]
    path.write_text("sentence\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def adapter(cli: Any, tiny_checkpoint: Any, reviews: Path) -> Any:
    """``nlpsuite train adapter`` of sentiment on the tiny model."""
    base = tiny_checkpoint.source_files()[0].parent

    def run(*args: Any, task: str = "sentiment", data: Path = reviews) -> Any:
        what = ["--task", task, "--data", data, "--model", base]
        return cli("train", "adapter", *what, *ADAPTER, *args)

    return run


def check_refused(outcome: Any, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_a_language_model(cli: Any, texts: Path, tmp_path: Path) -> None:
    outcome = cli("train", "lm", texts, *LM, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{tmp_path / 'run' / 'model'}\n"  # for the next command; nothing else
    for said in ("M parameters", "tokens/s", "5-gram", f"nlpsuite export {tmp_path / 'run'} -o exported/run"):
        assert said in outcome.err
    assert open_checkpoint(tmp_path / "run" / "model").config.context_length == 16


def test_a_language_model_of_standard_input(cli: Any, texts: Path, tmp_path: Path) -> None:
    flags = [*LM, "--no-baselines", "-o", tmp_path / "run"]
    outcome = cli("train", "lm", "-", *flags, stdin=texts.read_bytes())
    assert outcome.code == 0, outcome.err
    assert "5-gram" not in outcome.err


@pytest.mark.filterwarnings("ignore")  # torch's exporter's own
def test_an_adapter(adapter: Any, cli: Any, tmp_path: Path) -> None:
    outcome = adapter("-o", tmp_path / "run", "--calibrate")
    assert outcome.code == 0, outcome.err
    file = tmp_path / "run" / "adapter.safetensors"
    assert outcome.out == f"{file}\n" and file.is_file()
    assert "On held-out rows (int8, onnxruntime 1." in outcome.err
    assert "validation loss" in outcome.err and "accuracy" in outcome.err and "  n 2\n" in outcome.err
    assert f"--adapter {file}" in outcome.err
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["options"], settings["rank"]) == ({"calibrate": True}, 2)
    check_refused(adapter("-o", tmp_path / "run"), 2, "already exists", "--resume", "--overwrite")
    resumed = cli("train", "adapter", "--resume", "-o", tmp_path / "run")
    assert (resumed.code, resumed.out) == (0, f"{file}\n")
    check_refused(
        cli("train", "lm", "--resume", "-o", tmp_path / "run"), 2, "run of `nlpsuite train adapter`"
    )


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(
    adapter: Any, cli: Any, texts: Path, tmp_path: Path
) -> None:
    for outcome in (
        cli("train", "lm", texts, *LM, "--dry-run", "-o", tmp_path / "run"),
        adapter("--dry-run", "-o", tmp_path / "run"),
    ):
        assert (outcome.code, outcome.out) == (0, "")
        assert "M parameters" in outcome.err and "about 3 steps in" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["lm", "-o", "run"], 2, ["No corpus is given", "- for standard input"]),
        (["lm", "none.txt", "--steps", "1", "-o", "run"], 4, ["none.txt"]),
        (["lm", "none.txt"], 4, ["none.txt"]),
        (["lm", "--resume"], 2, ["No run directory is given"]),
        (["lm", "x", "--steps", "1", "--minutes", "2", "-o", "run"], 2, ["Give one budget"]),
        (["lm", "x", "--steps", "many", "-o", "run"], 2, ["'many' is not a valid integer"]),
        (["lm", "x", "--steps", "0", "-o", "run"], 2, ["steps is 0, must be 1 or more"]),
        (["lm", "x", "--minutes", "nan", "-o", "run"], 2, ["minutes is nan"]),
        (["lm", "x", "--arch", "bert", "-o", "run"], 2, ["'bert' is not one of", "lstm"]),
        (["lm", "x", "--steps", "1", "--learning-rate", "1", "-o", "run"], 2, ["No such option"]),
        (["lm", "--resume", "-o", "run"], 5, ["no run at run", "omit --resume"]),
        (["lm", "--resume", "--dry-run", "-o", "run"], 2, ["--resume and --dry-run"]),
        (["lm", "--resume", "--overwrite", "-o", "run"], 2, ["--resume and --overwrite"]),
        (["adapter", "--steps", "1", "-o", "run"], 2, ["needs a task and data", "--task and --data"]),
        (["adapter", "--task", "sentiment", "--steps", "1", "-o", "run"], 2, ["needs a task and data"]),
        (["adapter", "--resume", "--model", "x", "-o", "run"], 2, ["Only some", "the model"]),
        (["adapter", "--task", "sentiment", "--base", "x", "-o", "run"], 2, ["No such option"]),
        (["adapter", "--resume", "--task", "chat", "-o", "run"], 2, ["Only some"]),
        (["adapter", "--resume", "-o", "run"], 5, ["no run at run"]),
        (["adapters", "-o", "run"], 2, ["No such command 'adapters'"]),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    args: list[str], code: int, words: list[str], cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused(cli("train", *args), code, *words)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--calibrated"], ["No such option", "--calibrate"]),
        (["--to", "German"], ["No such option"]),  # of another task
        (["--calibrate=maybe"], ["does not take a value"]),
        (["--option", "calibrate=true"], ["No such option"]),
    ],
)
def test_an_option_that_the_task_does_not_have(
    flags: list[str], words: list[str], adapter: Any, tmp_path: Path
) -> None:
    check_refused(adapter(*flags, "-o", tmp_path / "run"), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_task_are_flags_as_in_run(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose name training itself uses gets a prefix."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("nlpsuite.cli.train.run_adapter", lambda **values: given.update(values) or 0)
    flags = ["--to", "French = français", "--from", "German", "--max-tokens", "7", "--temperature", "1"]
    assert cli("train", "adapter", "--task=translate", *flags, "--no-plain", "--seed", "1").code == 0
    assert given["options"] == {
        "to": "French = français",
        "from_": "German",
        "max_tokens": 7,
        "temperature": 1.0,
        "plain": False,
    }
    assert (given["task"], given["seed"]) == ("translate", 1)
    assert cli("train", "adapter", "--task-seed", "3", "--task", "translate").code == 0
    assert given["options"] == {"seed": 3}
    shown = cli("train", "adapter", "--task", "translate", "--help").out
    assert "Options of translate:" in shown and "--task-seed" in shown and "--rank" in shown


def test_an_adapters_mistakes(adapter: Any, tmp_path: Path, reviews: Path) -> None:
    run = tmp_path / "run"
    check_refused(adapter("-o", run, task="sentimental"), 2, "sentimental", "Did you mean")
    check_refused(adapter("-o", run, data=tmp_path / "none.tsv"), 4, "none.tsv")
    check_refused(adapter("-o", run, "--text-column", "body"), 4, "no column 'body'")
    check_refused(adapter("-o", run, "--targets", "query"), 2, "'query'", "q_proj")
    check_refused(adapter("-o", run, "--max-length", "1000"), 2, "--max-length 256")
    check_refused(adapter("-o", run, "--model", tmp_path / "none.gguf"), 5, "none.gguf")
    assert adapter("-o", run, *UNMEASURED).code == 0  # none of them is in the way


@pytest.mark.parametrize("package", ["torch", "matplotlib"])
def test_without_the_extra_it_is_named(
    package: str, cli: Any, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )
    outcome = cli("train", "lm", texts, *LM, "-o", tmp_path / "run")
    check_refused(outcome, 6, f"Training needs {package}", "nlpsuite[train]")


@pytest.mark.parametrize("args", [[], ["lm"], ["adapter"]])
def test_help_is_quick_and_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys; from nlpsuite.cli import _run; code = _run(sys.argv[1:]); "
        "print(code, sorted({'torch', 'numpy', 'matplotlib', 'tokenizers', 'onnxruntime'} & set(sys.modules)))"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *args, "--help"],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert time.perf_counter() - begin < 1
    *shown, last = done.stdout.splitlines()
    assert last == "0 []" and done.stderr == ""
    text = "\n".join(shown)
    for flag in (
        ("--steps", "--minutes", "--resume", "--dry-run", "Budget:", "Optimizer:")
        if args
        else ("adapter", "lm", "torchrun")
    ):
        assert flag in text
    if args == ["adapter"]:
        assert "rows of a text and the right answer" in text and "--rank" in text and "--task TASK" in text


def test_without_a_name_a_run_goes_where_its_corpus_says(
    cli: Any, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "my texts.txt"
    corpus.write_text(texts.read_text())
    outcome = cli("train", "lm", corpus, *LM)
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == ["runs/my-texts-decoder/model"]
    assert "exported/my-texts-decoder" in outcome.err
    check_refused(cli("train", "lm", corpus, *LM), 2, "already exists", "--resume")


def test_without_a_budget_a_run_gets_ten_minutes(cli: Any, texts: Path, tmp_path: Path) -> None:
    outcome = cli("train", "lm", texts, *LM[2:], "--dry-run", "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "in 10 minutes" in outcome.err
