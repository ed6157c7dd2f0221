"""The real default model: the exported graph computes what torch computes, and int8 costs next to nothing.

Run with ``-s`` to see the figures.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prefill import feed, prefill
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

pytestmark = pytest.mark.model

TEXT = (Path(__file__).parent / "fixtures" / "perplexity.txt").read_text(encoding="utf-8")
TOLERANCE = 1e-3  # on logits of size 20


@pytest.fixture(scope="module")
def session(default_bundle_fp32: Path) -> SlotSession:
    return SlotSession(default_bundle_fp32 / "onnx" / "slots.onnx", Device("cpu"))


@pytest.fixture(scope="module")
def ids(default_bundle_fp32: Path) -> list[int]:
    return Tokenizer.open(default_bundle_fp32).encode_text(TEXT)[:200]


@pytest.fixture(scope="module")
def graph_logits(session: SlotSession, ids: list[int]) -> np.ndarray:
    return feed(session, [ids], np.zeros(1, np.int64), first=0, read_all=True)[0]


def difference(what: str, a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape and np.abs(b).max() > 10
    largest = float(np.abs(a - b).max())
    print(f"\n{what}: largest difference of logits {largest:.1e}")
    return largest


def perplexity(bundle: Path) -> float:
    logprobs = LanguageModel.load(bundle, device="cpu").token_logprobs(TEXT)
    assert len(logprobs) > 1_000
    return float(np.exp(-logprobs.mean()))


def test_the_graph_gives_torchs_logits(default_gguf: Path, graph_logits: np.ndarray, ids: list[int]) -> None:
    with warnings.catch_warnings():  # torch's own, at import
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
    model = load_module(open_checkpoint(default_gguf))
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0][0].numpy()
    assert difference("graph and torch", graph_logits, expected) <= TOLERANCE


def test_one_read_is_the_token_by_token_reading(
    session: SlotSession, graph_logits: np.ndarray, ids: list[int]
) -> None:
    zero = np.zeros((1, 1), np.int64)
    session.reserve(1, len(ids))
    steps = [session.run(np.array([[token]]), np.array([at]), zero)[0, 0] for at, token in enumerate(ids)]
    assert difference("whole and token by token", np.stack(steps), graph_logits) <= TOLERANCE


def test_ragged_rows_are_the_single_rows(
    session: SlotSession, graph_logits: np.ndarray, ids: list[int]
) -> None:
    lengths = [200, 3, 77, 1, 150]
    logits = feed(session, [ids[:n] for n in lengths], np.zeros(5, np.int64), first=0)[:, 0]
    expected = graph_logits[[n - 1 for n in lengths]]
    assert difference("ragged batch and single rows", logits, expected) <= TOLERANCE
    logits = prefill(session, [ids[:n] for n in sorted(lengths)[1:]], first=0)  # 3 and more share a beginning
    expected = graph_logits[[n - 1 for n in sorted(lengths)[1:]]]
    assert difference("shared beginning and single rows", logits, expected) <= TOLERANCE
    rows = [ids[:n] for n in (60, 90, 120)]
    logits = prefill(session, rows, first=0)
    assert difference("shared 59 tokens and single rows", logits, graph_logits[[59, 89, 119]]) <= TOLERANCE


def test_int8_costs_at_most_one_and_a_half_percent_of_perplexity(
    default_bundle: Path, default_bundle_fp32: Path
) -> None:
    full, small = perplexity(default_bundle_fp32), perplexity(default_bundle)
    print(f"\nperplexity fp32 {full:.3f}, int8 {small:.3f} ({small / full - 1:+.2%})")
    assert 5 < full < 40  # the model understands the text at all
    assert abs(small / full - 1) <= 0.015


def test_greedy_text_in_a_batch_and_alone(default_bundle_fp32: Path) -> None:
    model = LanguageModel.load(default_bundle_fp32, device="cpu", max_slots=3)
    questions = [
        "What is the capital of France?",
        "Name three colours.",
        "Say hello in German, please.",
        "2 + 2 =",
    ]
    prompts = [Prompt(messages=(Message("user", q),), max_tokens=12) for q in questions]
    together = [c.text for c in model.complete(prompts)]
    assert together == [model.complete([prompt])[0].text for prompt in prompts]
    assert "Paris" in together[0]
