"""Choices by device, compiled layers and their fallback, batches made ahead, and forecasts."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Recorder
from tiny import CONFIGS

from nlpsuite.models.language_module import build_module
from nlpsuite.training import trainer
from nlpsuite.training.acceleration import (
    allow_tf32,
    compile_layers,
    compiles,
    optimizer_arguments,
    undo_compile,
    uses_bf16,
)
from nlpsuite.training.batch import IGNORE, Batch
from nlpsuite.training.prefetch import Prefetcher
from nlpsuite.training.preflight import Preflight, forecast
from nlpsuite.training.settings import LMSettings

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("capable", [True, False])
def test_bf16_is_what_the_device_has(monkeypatch: pytest.MonkeyPatch, capable: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: capable)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: capable)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for device in (CPU, CUDA):
        assert uses_bf16("auto", device) is capable
        assert uses_bf16("bf16", device) and not uses_bf16("fp32", device)


def test_tf32_needs_a_gpu_and_leave() -> None:
    assert allow_tf32("auto", CUDA) and allow_tf32("bf16", CUDA)
    assert not allow_tf32("fp32", CUDA) and not allow_tf32("auto", CPU)


@pytest.mark.parametrize("device", [CPU, CUDA, torch.device("mps")])
def test_the_optimizer_takes_its_arguments(device: torch.device) -> None:
    arguments = optimizer_arguments(device)
    assert ("fused" in arguments) == (device.type != "mps")
    if device.type == "cpu":
        torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], **arguments)


@pytest.mark.parametrize(
    "settings, device, expected",
    [
        ({"minutes": 30}, CUDA, True),
        ({"steps": 5}, CUDA, True),
        ({"minutes": 1}, CUDA, False),  # over before it pays
        ({"minutes": 30}, CPU, False),
        ({"minutes": 30, "fsdp": True}, CUDA, False),
        ({"minutes": 1, "compile": "on"}, CPU, True),
        ({"minutes": 30, "compile": "off"}, CUDA, False),
    ],
)
def test_when_layers_are_compiled(settings: dict, device: torch.device, expected: bool) -> None:
    assert compiles(LMSettings(**settings), device) is expected


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
@pytest.mark.filterwarnings("ignore")
def test_compiled_layers_compute_the_same(name: str) -> None:
    torch.manual_seed(0)
    module = build_module(CONFIGS[name])
    module.initialize()
    ids = torch.randint(0, 300, (2, 12))
    expected = module(ids)[0]
    # "eager" traces as the real one does, and then runs torch's own kernels.
    assert compile_layers(module, backend="eager") == 2
    for found in (module(ids)[0], module(ids[:, :7])[0]):
        torch.testing.assert_close(found, expected[:, : found.shape[1]], atol=1e-5, rtol=1e-4)
    undo_compile(module)
    torch.testing.assert_close(module(ids)[0], expected)


@pytest.mark.filterwarnings("ignore")
def test_layers_are_compiled_once_for_all_shapes() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append(graph)
        return graph.forward

    module = build_module(CONFIGS["llama"])
    compile_layers(module, backend=backend)
    with torch.no_grad():
        for rows, length in ((2, 12), (3, 7), (4, 5)):
            module(torch.zeros(rows, length, dtype=torch.int64))
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_without_a_compiler(
    train_lm, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no compiler here")

    monkeypatch.setattr(trainer, "compile_layers", lambda module: compile_layers(module, backend=broken))
    compiled = train_lm("decoder", tmp_path / "compiled", steps=3, compile="on")
    plain = train_lm("decoder", tmp_path / "plain", steps=3)
    [notice] = [text for text in recorder.notices if "compile" in text]
    assert "no compiler here" in notice
    assert compiled.outcome.progress.best == plain.outcome.progress.best


def numbered(index: int) -> Batch:
    labels = torch.full((1, 4), index)
    labels[0, : index % 4] = IGNORE
    return Batch(torch.full((1, 4), index), labels)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_come_in_the_order_asked_for(depth: int) -> None:
    asked = [0, 1, 2, 0, 1, 2, 3, 4, 9, 10, 5]  # a probe, the run, a run that is resumed elsewhere
    with Prefetcher(numbered, depth=depth, pin=False) as batches:
        found = [batches.batch(index) for index in asked]
    assert [int(batch.input_ids[0, 0]) for batch in found] == asked
    assert [batch.targets for batch in found] == [4 - index % 4 for index in asked]


def test_batches_are_made_ahead_by_one_thread() -> None:
    made: list[int] = []
    threads = set()
    enough = threading.Event()

    def make(index: int) -> Batch:
        threads.add(threading.current_thread())
        made.append(index)
        if len(made) == 4:
            enough.set()
        return numbered(index)

    with Prefetcher(make, depth=3, pin=False) as batches:
        batches.batch(0)
        assert enough.wait(10)
        assert made == [0, 1, 2, 3]
    assert len(threads) == 1 and threading.current_thread() not in threads
    assert not threads.pop().is_alive()


def test_an_error_in_the_thread_is_raised_where_its_batch_is_asked_for() -> None:
    def make(index: int) -> Batch:
        if index == 2:
            raise ValueError("no batch 2")
        return numbered(index)

    with Prefetcher(make, depth=3, pin=False) as batches:
        batches.batch(0), batches.batch(1)
        with pytest.raises(ValueError, match="no batch 2"):
            batches.batch(2)


def test_a_forecast_includes_validations() -> None:
    # 100 steps of 2 s, and 10 validations of 6 s.
    assert forecast(LMSettings(steps=100, evaluations=10), 2.0, 6.0) == (100, 260.0)
    # Ten minutes less one minute of validations.
    assert forecast(LMSettings(minutes=10, evaluations=10), 2.0, 6.0) == (270, 600.0)
    assert forecast(LMSettings(minutes=1, evaluations=10), 2.0, 60.0) == (1, 60.0)  # never no step at all


def test_when_it_will_be_done() -> None:
    preflight = Preflight(1, 1, 1, None, 100.0, 10, 3 * 3600.0)
    assert preflight.until(datetime.datetime(2026, 5, 1, 10, 30)) == "13:30"
    assert preflight.until(datetime.datetime(2026, 5, 1, 22, 30)) == "2026-05-02 01:30"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_with_a_real_compiler(train_lm, tmp_path: Path, recorder: Recorder) -> None:
    compiled = train_lm("decoder", tmp_path / "compiled", steps=4, compile="on")
    plain = train_lm("decoder", tmp_path / "plain", steps=4)
    if any("can't be compiled" in text for text in recorder.notices):
        pytest.skip("no compiler on this machine")
    # Dropout draws other numbers in compiled layers.
    assert compiled.outcome.progress.best == pytest.approx(plain.outcome.progress.best, rel=0.01)
