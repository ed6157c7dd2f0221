"""Two processes train as one: the same gradient, and checkpoints that move between numbers of processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from small_runs import small, start_training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo and signals are other there"),
]

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(corpus: Path, run: Path, processes: int, *flags: str, **changes: Any) -> None:
    """``nlpsuite train lm`` as a user starts it."""
    settings = small(**{"evaluations": 1, "dropout": 0.0, "save_steps": 1, **changes})
    flags = (str(corpus), "--no-baselines", *flags)
    launched = start_training("lm", settings, run, *flags, launcher=TWO if processes == 2 else ())
    try:
        out, err = launched.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):  # processes that wait for each other for ever
            os.killpg(launched.pid, signal.SIGKILL)
    assert launched.returncode == 0, err.decode()
    assert out.decode().split() == [str(run / "model")]  # said once, not by each process


def means(run: Path, step: int) -> dict[str, Any]:
    """Adam's mean of the gradient: after the first step a tenth of the gradient itself."""
    tensors = safetensors.numpy.load_file(run / "checkpoints" / f"step-{step:08d}" / "optimizer.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.endswith(".exp_avg")}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys() and expected
    for name, tensor in expected.items():
        scale = abs(tensor).max()
        assert scale > 0
        assert abs(found[name] - tensor).max() <= 1e-4 * scale, name


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    train(corpus, run, 1, steps=4)
    return run


@pytest.fixture(scope="module")
def first_step_alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("first") / "run"
    train(corpus, run, 1, steps=1, accumulate=2)
    return run


@pytest.mark.parametrize("flags", [(), ("--fsdp",)], ids=["ddp", "fsdp"])
def test_the_gradient_is_that_of_one_process(
    flags: tuple[str, ...], corpus: Path, first_step_alone: Path, tmp_path: Path
) -> None:
    train(corpus, tmp_path / "run", 2, *flags, steps=1, accumulate=2)
    assert_same(means(tmp_path / "run", 1), means(first_step_alone, 1))
    results = [json.loads((run / "result.json").read_text()) for run in (tmp_path / "run", first_step_alone)]
    assert results[0]["tokens"] == results[1]["tokens"] == 512
    assert results[0]["validation_loss"] == pytest.approx(results[1]["validation_loss"], rel=1e-4)


def wind_back(run: Path, step: int) -> None:
    """As if the run had been killed right after the checkpoint of ``step``."""
    for path in (run / "checkpoints").iterdir():
        if int(path.name[5:]) > step:
            shutil.rmtree(path)
    shutil.rmtree(run / "model")
    (run / "result.json").unlink()


@pytest.mark.parametrize("first, then", [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    first: int, then: int, corpus: Path, alone: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if first == 1:
        shutil.copytree(alone, run)
    else:
        train(corpus, run, first, steps=4)
    wind_back(run, 3)
    train(corpus, run, then, "--resume", steps=4)
    result, reference = (json.loads((path / "result.json").read_text()) for path in (run, alone))
    assert (result["steps"], result["tokens"]) == (reference["steps"], reference["tokens"])
    assert result["validation_loss"] == pytest.approx(reference["validation_loss"], rel=1e-3)
    assert_close = means(run, 4), means(alone, 4)
    for name, tensor in assert_close[1].items():
        assert abs(assert_close[0][name] - tensor).max() <= 0.02 * abs(tensor).max(), name
