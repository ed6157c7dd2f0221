"""What starting costs, and what is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from installed import fastest, start_limit

HEAVY = ("torch", "transformers", "numpy", "onnxruntime", "tokenizers", "onnx", "jinja2")


def nlpsuite(*args: str) -> list[str]:
    return [sys.executable, "-c", "from nlpsuite.cli import main; main()", *args]


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["list"]])
def test_it_starts_at_once(args: list[str]) -> None:
    limit = start_limit()
    assert fastest(nlpsuite(*args), enough=limit) <= limit


def imported(args: list[str]) -> set[str]:
    command = [sys.executable, "-X", "importtime", *nlpsuite(*args)[1:]]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr[-2000:]
    names = [
        line.rsplit("|", 1)[1].strip()
        for line in result.stderr.splitlines()
        if line.startswith("import time:")
    ]
    assert "nlpsuite.cli" in names
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["run", "--help"],
        ["prompts", "--help"],
        ["config", "show"],
        ["completion", "zsh"],
    ],
)
def test_nothing_heavy_is_imported(args: list[str]) -> None:
    assert imported(args).isdisjoint(HEAVY)


def test_running_a_task_imports_no_torch(tiny_bundle: Path) -> None:
    modules = imported(["run", "complete", "--model", str(tiny_bundle), "--text", "the", "--max-tokens", "2"])
    assert "onnxruntime" in modules
    assert modules.isdisjoint({"torch", "transformers", "onnx", "gguf", "safetensors", "jinja2"})


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, nlpsuite; print('numpy' in sys.modules, 'click' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"
