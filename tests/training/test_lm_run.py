"""A whole run of ``train lm``: what it leaves behind, and that it learns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import small

from nlpsuite.errors import InputInvalidError, OptionError, TrainingError
from nlpsuite.models.checkpoint import open_checkpoint

ARCHES = ["decoder", "gpt2", "lstm"]


@pytest.mark.parametrize("arch", ARCHES)
def test_it_learns_and_leaves_a_checkpoint(arch: str, train_lm: Any, recorder: Any, tmp_path: Path) -> None:
    report = train_lm(arch, tmp_path / "run", steps=40, evaluations=4)
    assert report.outcome.reason == "budget" and report.outcome.progress.step == 40
    losses = [validation.loss for validation in recorder.validations]
    assert len(losses) == 4 and losses[-1] < losses[0]
    # Better than knowing how often each token comes, which is what counting alone gives.
    assert report.perplexities[arch].token < report.perplexities["unigram"].token
    assert report.perplexities["5-gram"].token < report.perplexities["unigram"].token
    checkpoint = open_checkpoint(report.result)
    assert checkpoint.config.recurrent == (arch == "lstm")
    assert open_checkpoint(tmp_path / "run").config == checkpoint.config  # the run's directory will do
    assert "| 5-gram |" in (report.result / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_perplexity_is_the_saved_models(train_lm: Any, tmp_path: Path) -> None:
    import torch

    from nlpsuite.models.language_module import load_module
    from nlpsuite.training.tokens import TokenFile

    report = train_lm("decoder", tmp_path / "run", steps=20, context=16)
    tokens = TokenFile.open(tmp_path / "run" / "data" / "heldout").tokens.astype(np.int64)
    module = load_module(open_checkpoint(report.result))
    nats = 0.0
    stream = np.concatenate(([0], tokens))
    with torch.no_grad():
        for at in range(len(tokens)):  # each token from at least half a window, the run's own rule
            begin = 0 if at < 16 else (at - 16) // 8 * 8 + 8
            logits = module(torch.tensor(stream[None, begin : at + 1]))[0][0, -1]
            nats -= float(logits.log_softmax(-1)[tokens[at]])
    assert math.exp(nats / len(tokens)) == pytest.approx(report.perplexities["decoder"].token, rel=1e-4)


def test_the_result_says_how_it_went(train_lm: Any, tmp_path: Path) -> None:
    report = train_lm("decoder", tmp_path / "run", steps=6, evaluations=2)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["ended_by"], result["steps"], result["tokens"]) == ("budget", 6, 6 * 256)
    assert result["figures"]["decoder"]["perplexity_token"] == report.perplexities["decoder"].token
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["settings"]["hidden"] == 32 and run["settings"]["threads"] == 1
    assert run["environment"]["torch"]
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics if "validation_loss" in m] == [3, 6]


def test_the_seed_decides(train_lm: Any, tmp_path: Path) -> None:
    def weights(name: str, **changes: Any) -> bytes:
        report = train_lm("decoder", tmp_path / name, steps=5, dropout=0.2, baselines=False, **changes)
        return (report.result / "model.safetensors").read_bytes()

    first = weights("a")
    assert weights("b") == first
    assert weights("c", seed=1) != first


def test_an_average_of_the_weights_is_the_result(train_lm: Any, tmp_path: Path) -> None:
    def weights(name: str, **settings: Any) -> dict[str, np.ndarray]:
        constant = {"warmup": 0.0, "final_lr": 1.0, "weight_decay": 0.0, "evaluations": 1}
        report = train_lm("decoder", tmp_path / name, **{**constant, **settings})
        checkpoint = open_checkpoint(report.result)
        return {name: checkpoint.tensor(name) for name in checkpoint.tensor_names()}

    initial = weights("0", steps=1, lr=1e-12)
    first, second = weights("1", steps=1), weights("2", steps=2)
    averaged, unchanged = weights("average", steps=2, ema=0.2), weights("none", steps=2, ema=1e-9)
    for name, value in averaged.items():
        # Early steps have a decay of (1 + step) / (10 + step) at most: 2/11, then 3/12, which is above 0.2.
        mean = 0.2 * (2 * initial[name] + 9 * first[name]) / 11 + 0.8 * second[name]
        np.testing.assert_allclose(value, mean, atol=1e-6)
        np.testing.assert_allclose(unchanged[name], second[name], atol=1e-6)
    assert any(np.abs(averaged[name] - second[name]).max() > 1e-4 for name in averaged)


def test_it_stops_when_nothing_more_is_gained(train_lm: Any, recorder: Any, tmp_path: Path) -> None:
    # A rate this high forgets what it has learned.
    report = train_lm("decoder", tmp_path / "run", steps=400, evaluations=100, patience=2, lr=1.0, warmup=0.0)
    assert report.outcome.reason == "patience"
    assert report.outcome.progress.step < 400
    losses = [validation.loss for validation in recorder.validations]
    assert min(losses) < min(losses[-2:])
    perplexity = report.perplexities["decoder"].token
    assert perplexity == pytest.approx(math.exp(min(losses)), rel=1e-5)  # the best weights, not the last


def test_minutes_are_kept(train_lm: Any, tmp_path: Path) -> None:
    report = train_lm("decoder", tmp_path / "run", minutes=0.05, baselines=False, patience=0)
    assert 3 <= report.outcome.progress.seconds < 8
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rates = [m["lr"] for m in metrics if "lr" in m]
    assert rates[-1] < 0.3 * max(rates)  # the schedule fits the budget


def test_a_dry_run_leaves_nothing(train_lm: Any, recorder: Any, tmp_path: Path) -> None:
    report = train_lm("decoder", tmp_path / "run", dry_run=True)
    assert report.outcome is None and list(tmp_path.iterdir()) == []
    [preflight] = recorder.preflights
    assert preflight.tokens_per_second > 0 and preflight.steps == 12 and preflight.memory_bytes > 1e6
    assert "tokens/s" in str(preflight)


def test_a_loss_that_is_no_number_ends_with_advice(train_lm: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step \d+") as caught:
        train_lm("lstm", tmp_path / "run", steps=400, lr=9.0, clip=0.0, evaluations=200, patience=0, warmup=0.0,
                 weight_decay=9.0)  # fmt: skip
    assert "--lr 3" in caught.value.hint
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert saved and f"step {int(saved[-1].name[5:])}" in caught.value.message


def test_running_out_of_memory_ends_with_advice(
    train_lm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from nlpsuite.training.batch import LossModule

    forward = LossModule.forward
    calls = 0

    def hungry(self: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *args)

    monkeypatch.setattr(LossModule, "forward", hungry)
    with pytest.raises(TrainingError, match="Memory ran out") as caught:
        train_lm("decoder", tmp_path / "run", save_steps=2, evaluations=1)
    assert "--batch-tokens 128 --accumulate 2" in caught.value.hint
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_a_model_too_large_for_the_machine_is_refused_at_once(
    train_lm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpsuite.training.preflight.available_memory", lambda device: 100_000)
    with pytest.raises(TrainingError, match=r"free on cpu"):
        train_lm("decoder", tmp_path / "run")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"minutes": 1.0, "steps": 5}, "one budget"),
        ({"lr": 0.0}, "lr is 0"),
        ({"context": 300}, "context is 300"),
        ({"vocab_size": 100}, "vocab_size is 100"),
        ({"dropout": 1.0}, "dropout is 1"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], message: str, train_lm: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        train_lm("decoder", tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_too_small_for_one_window(tmp_path: Path) -> None:
    from nlpsuite.training.run_lm import train_lm as run

    little = tmp_path / "little.txt"
    little.write_text("one two three\nfour five six\n")
    with pytest.raises(InputInvalidError, match="tokens to train on"):
        run(little, output=tmp_path / "run", **small(context=200))


@given(count=st.integers(1, 300), context=st.integers(2, 40), rows=st.integers(1, 7))
def test_every_held_out_token_is_predicted_once(count: int, context: int, rows: int) -> None:
    from nlpsuite.training.batch import IGNORE
    from nlpsuite.training.lm import _overlapping

    tokens = np.arange(1, count + 1)
    seen = []
    for batch in _overlapping(tokens, context, rows):
        assert batch.input_ids.shape == batch.labels.shape and len(batch.input_ids) <= rows
        for ids, labels in zip(batch.input_ids.tolist(), batch.labels.tolist()):
            for at, label in enumerate(labels):
                if label != IGNORE:
                    seen.append(label)
                    assert ids[at] == label - 1  # its predecessor; 0 ends the text before
                    # From half a window at least, but for the first tokens of all.
                    assert at + 1 >= min(label, context - max(1, context // 2) + 1)
    assert sorted(seen) == list(range(1, count + 1))
