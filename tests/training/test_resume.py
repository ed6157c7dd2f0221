"""A run that was interrupted, however rudely, ends with the weights of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_runs import small, start_training, wait_for

from nlpsuite.errors import BundleCorruptError, ModelNotFoundError, OptionError
from nlpsuite.training.run_directory import RunDirectory
from nlpsuite.training.run_lm import train_lm as run_lm

pytestmark = pytest.mark.slow

STEPS = 60


def start(corpus: Path, run: Path, arch: str, *flags: str) -> subprocess.Popen[bytes]:
    # Dropout, accumulation and an odd rhythm: all that a resumed run could get wrong.
    settings = small(arch, steps=STEPS, dropout=0.1, accumulate=2, evaluations=4, save_steps=7, seed=3)
    if arch == "lstm":
        settings["ema"] = 0.9
    return start_training("lm", settings, run, str(corpus), "--no-baselines", *flags)


def checkpoints(run: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (run / "checkpoints").glob("step-*"))


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module", params=["decoder", "lstm"])
def undisturbed(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Architecture, and the run that nobody interrupted."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    child = start(corpus, run, request.param)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    return request.param, run


def test_killed_again_and_again_it_ends_with_the_same_weights(
    undisturbed: Any, corpus: Path, tmp_path: Path
) -> None:
    arch, reference = undisturbed
    run = tmp_path / "run"
    reached = [0]
    for goal in (7, 21, 42):
        child = start(corpus, run, arch, *(["--resume"] if run.exists() else []))
        wait_for(lambda goal=goal: checkpoints(run)[-1:] >= [goal], child)
        time.sleep(0.01 * goal / 7)  # somewhere in the steps after it
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        reached.append(checkpoints(run)[-1])
    assert reached == sorted(set(reached))  # each part got further
    child = start(corpus, run, arch, "--resume")
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    assert weights(run) == weights(reference)
    results = [json.loads((path / "result.json").read_text()) for path in (run, reference)]
    for result in results:
        result.pop("seconds")
    assert results[0] == results[1]
    # Its log has each evaluation once, as if nothing had happened.
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluated = [m["step"] for m in logged if "validation_loss" in m]
    assert evaluated == [15, 30, 45, 60]


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_makes_it_save_and_say_how_to_resume(
    number: int, code: int, undisturbed: Any, corpus: Path, tmp_path: Path
) -> None:
    arch, reference = undisturbed
    run = tmp_path / "run"
    child = start(corpus, run, arch)
    wait_for(lambda: checkpoints(run), child)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err.decode()
    assert f"nlpsuite train lm --resume -o {run}" in err.decode()
    stopped = checkpoints(run)[-1]
    assert f"saved at step {stopped}" in err.decode()
    assert 7 <= stopped < STEPS
    child = start(corpus, run, arch, "--resume")
    assert child.communicate(timeout=120) and child.returncode == 0
    assert weights(run) == weights(reference)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_will_do(train_lm: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    reference = train_lm("decoder", tmp_path / "reference", steps=8, save_steps=2, evaluations=1)
    train_lm("decoder", run, steps=8, save_steps=2, evaluations=1)
    last = run / "checkpoints" / "step-00000008"
    file = last / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BundleCorruptError, match="step-00000008") as caught:
        train_lm("decoder", run, resume=True)
    assert "the one before" in caught.value.hint
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    report = train_lm("decoder", run, resume=True)
    assert weights(run) == weights(tmp_path / "reference")
    assert report.outcome.progress.step == reference.outcome.progress.step


def test_what_a_killed_process_left_half_written_goes(train_lm: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_lm("decoder", run, steps=4)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    half = run / "checkpoints" / f".incomplete-{dead.pid}-x"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    train_lm("decoder", run, resume=True)
    assert not half.exists()
    for line in (run / "metrics.jsonl").read_text().splitlines():
        json.loads(line)


def test_two_processes_do_not_share_a_run(train_lm: Any, tmp_path: Path) -> None:
    train_lm("decoder", tmp_path / "run", steps=2)
    with RunDirectory.open(tmp_path / "run", "lm").locked():
        with pytest.raises(OptionError, match="Another process"):
            train_lm("decoder", tmp_path / "run", resume=True)


def test_what_there_is_decides(train_lm: Any, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no run at"):
        train_lm("decoder", tmp_path / "run", resume=True)
    train_lm("decoder", tmp_path / "run", steps=2)
    with pytest.raises(OptionError, match="already exists") as caught:
        train_lm("decoder", tmp_path / "run")
    assert "--resume" in caught.value.hint
    with pytest.raises(OptionError, match=r"started with lr = 0\.005, not 0\.1"):
        train_lm("decoder", tmp_path / "run", resume=True, lr=0.1)
    run_lm(corpus, output=tmp_path / "run", overwrite=True, **small(steps=3))
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 3
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(OptionError, match="left alone"):
        run_lm(corpus, output=tmp_path / "precious", overwrite=True, **small(steps=3))
    with pytest.raises(OptionError, match="not a training run"):
        train_lm("decoder", tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_a_run_can_be_given_more_time(train_lm: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_lm("decoder", run, steps=4, evaluations=1)
    report = train_lm("decoder", run, resume=True, steps=7, patience=9)
    assert report.outcome.progress.step == 7
    assert RunDirectory.open(run).settings["steps"] == 7
    assert RunDirectory.open(run).settings["patience"] == 9
    again = train_lm("decoder", run, resume=True, minutes=1e-6)  # what is there is the result
    assert again.outcome.progress.step == 7
    settings = RunDirectory.open(run).settings
    assert (settings["steps"], settings["minutes"]) == (None, 1e-6)


def test_the_directory_describes_the_run(train_lm: Any, tmp_path: Path) -> None:
    path = tmp_path / "run"
    train_lm("decoder", path, steps=4, save_steps=2, evaluations=1)
    run = RunDirectory.open(path)
    assert (run.kind, run.last_step) == ("lm", 4)
    assert run.resume_command == f"nlpsuite train lm --resume -o {path}"
    assert run.result() is not None and run.result()["ended_by"] == "budget"  # type: ignore[index]
    (path / "result.json").unlink()
    assert run.result() is None  # unfinished
    (path / "run.json").write_text('{"format": "nlpsuite-run", "version": 1, "kind": "lm"')
    with pytest.raises(BundleCorruptError, match=r"run\.json is damaged"):
        RunDirectory.open(path)


def test_describing_a_run_and_checking_arguments_need_no_torch() -> None:
    code = (
        "import sys, nlpsuite.training.run_directory, nlpsuite.training.run_lm, nlpsuite.training.run_adapter; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_run_of_an_earlier_version_is_resumed(train_lm: Any, tmp_path: Path) -> None:
    path = tmp_path / "run"
    train_lm("decoder", path, steps=4, save_steps=2)
    described = json.loads((path / "run.json").read_text())
    described["settings"]["prompt"] = ""  # a setting that is gone
    (path / "run.json").write_text(json.dumps(described))
    before = weights(path)
    shutil.rmtree(path / "model")
    shutil.rmtree(path / "checkpoints" / "step-00000004")
    train_lm("decoder", path, resume=True)
    assert weights(path) == before


def test_killed_while_the_best_weights_are_replaced(train_lm: Any, tmp_path: Path) -> None:
    path = tmp_path / "run"
    train_lm("decoder", path, steps=6, evaluations=3)
    before = weights(path)
    # The old ones are gone, the new ones don't have their name yet.
    shutil.rmtree(path / "best")
    shutil.rmtree(path / "checkpoints" / "step-00000006")
    train_lm("decoder", path, resume=True)
    assert weights(path) == before


def test_a_busy_machine_is_shared(train_lm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)

    def threads(load: float, **changes: Any) -> int:
        monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
        train_lm("decoder", tmp_path / f"{load}", steps=1, baselines=False, **{"threads": 0, **changes})
        return int(RunDirectory.open(tmp_path / f"{load}").settings["threads"])

    assert [threads(load) for load in (0.1, 2.9, 30.0)] == [8, 5, 4]
    assert threads(8.0, threads=7) == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert threads(31.0) == 8
