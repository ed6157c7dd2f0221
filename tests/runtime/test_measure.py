"""What is measured of a bundle's speed; no test expects a certain speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpsuite.errors import ModelNotFoundError, WorkerLostError
from nlpsuite.runtime import measure
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.measure import measure_speed, measure_start
from nlpsuite.runtime.session import SlotSession


def test_rates_are_tokens_over_seconds(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 10))  # each measurement takes 10 s
    runs: list[tuple[int, ...]] = []
    run = SlotSession.run

    def counting(self: SlotSession, ids: Any, *rest: Any) -> Any:
        runs.append(ids.shape)
        return run(self, ids, *rest)

    monkeypatch.setattr(SlotSession, "run", counting)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    speed = measure_speed(tiny_bundle, device="cpu", threads=1, streams=(1, 4), runs=1)
    assert (speed.device, speed.threads) == ("cpu", 1)
    assert speed.prefill_tokens_per_second == speed.prefill_tokens / 10
    assert [(d.streams, d.new_tokens) for d in speed.decoding] == [(1, 32), (4, 32)]
    assert [d.tokens_per_second for d in speed.decoding] == [32 / 10, 4 * 32 / 10]
    assert runs.count((1, 1)) >= 32 and runs.count((4, 1)) == 32


def test_a_short_context_gets_shorter_prompts(tiny_bundle: Path) -> None:
    speed = measure_speed(tiny_bundle, device="cpu", threads=1, streams=(2,), runs=1)
    context = LanguageModel.load(tiny_bundle, device="cpu", threads=1).context_length
    assert context == 256
    assert 200 < speed.prefill_tokens < context, "512 tokens don't fit"
    (decoding,) = speed.decoding
    assert 100 < decoding.context <= 128 and decoding.new_tokens == 32
    assert speed.prefill_tokens_per_second > 0 and decoding.tokens_per_second > 0


@pytest.mark.parametrize("tokens", [1, 7, 100])
def test_texts_fit(tiny_bundle: Path, tokens: int) -> None:
    model = LanguageModel.load(tiny_bundle, device="cpu", threads=1)
    text = measure._text(model, tokens, seed=3)
    longest_word = 12
    assert max(1, tokens - longest_word) <= model.count_tokens(text) <= max(tokens, longest_word)
    assert text == measure._text(model, tokens, seed=3) != measure._text(model, 101, seed=4)


def test_starting(tiny_bundle: Path) -> None:
    start = measure_start(tiny_bundle, device="cpu", threads=1, words=9, runs=1)
    assert start.words == 9
    assert 0.01 < start.first_token_seconds < 60
    assert start.peak_bytes is None or 20e6 < start.peak_bytes < 2e9, "bytes, not kilobytes"


def test_a_process_that_fails_is_an_error(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_CHILD", "import sys; sys.exit('out of luck')")
    with pytest.raises(WorkerLostError, match="code 1: out of luck"):
        measure_start(tiny_bundle, device="cpu", threads=1, runs=1)


def test_a_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        measure_speed(tmp_path, device="cpu")
    with pytest.raises(ModelNotFoundError):
        measure_start(tmp_path, device="cpu")
