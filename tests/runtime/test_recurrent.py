"""A recurrent model in the runtime: the promises of the decoder, kept with a state that has no positions."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import LSTM, VOCABULARY, write_tiny_checkpoint

from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prefill import feed, prefill
from nlpsuite.runtime.prompt import Message, Prompt, Sampling
from nlpsuite.runtime.scoring import continuation_logprobs
from nlpsuite.runtime.session import SlotSession

TOLERANCE = 1e-4

Logits = np.ndarray
Reference = Callable[[list[int]], Logits]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("lstm") / "tiny-lstm", config=LSTM))


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(checkpoint, tmp_path_factory.mktemp("bundles") / "lstm-fp32", "fp32")


@pytest.fixture(scope="module")
def bundle_int8(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(checkpoint, tmp_path_factory.mktemp("bundles") / "lstm-int8", "int8")


def export(checkpoint: Checkpoint, target: Path, precision: str) -> Path:
    with warnings.catch_warnings():  # torch's and the exporter's own, at import and while tracing
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        return build_bundle(checkpoint, target, precision=precision)  # type: ignore[arg-type]


@pytest.fixture
def session(bundle: Path) -> SlotSession:
    return SlotSession(bundle / "onnx" / "slots.onnx", Device("cpu"), threads=1)


@pytest.fixture(scope="module")
def model(bundle: Path) -> LanguageModel:
    return LanguageModel.load(bundle, device="cpu", threads=1, max_slots=3)


@pytest.fixture(scope="module")
def torch_logits(checkpoint: Checkpoint) -> Reference:
    """Logits (S, V) of a whole sequence, by torch without any state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
    torch.set_num_threads(1)  # the model is so small that threads only wait for each other
    module: Any = load_module(checkpoint)

    def logits(ids: list[int]) -> Logits:
        with torch.no_grad():
            out: Logits = module(torch.tensor([ids]))[0][0].numpy()
        return out

    return logits


def tokens(count: int, seed: int = 0) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, VOCABULARY, count)]


def read(session: SlotSession, ids: list[int], slot: int = 0, start: int = 0) -> Logits:
    """Logits (S, V) after each of the ids, in one run."""
    session.reserve(slot + 1, start + len(ids))
    return session.run(np.array([ids]), np.array([start]), np.arange(len(ids))[None], slot)[0]


def assert_close(a: Logits, b: Logits) -> None:
    assert a.shape == b.shape
    assert np.abs(b).max() > 0.5  # something is there to compare
    assert np.abs(a - b).max() <= TOLERANCE


def state_of(session: SlotSession, slot: int) -> np.ndarray:
    parts = []
    for state in session._states.values():
        with state.on_host() as array:
            parts.append(array[slot].ravel().copy())
    return np.concatenate(parts)


# The session.


def test_the_state_is_h_and_c(session: SlotSession) -> None:
    assert session.recurrent
    session.reserve(5, 10)
    shapes = {name: state.shape for name, state in session._states.items()}
    assert shapes == {"cache.h": (5, 2, 32), "cache.c": (5, 2, 32)}


def test_the_graph_gives_torchs_logits(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(300)
    assert_close(read(session, ids), torch_logits(ids))


def test_one_read_is_the_token_by_token_reading(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(40)
    steps = np.concatenate([read(session, [token], start=at) for at, token in enumerate(ids)])
    assert_close(steps, torch_logits(ids))


@pytest.mark.parametrize("chunk", [512, 12])
@pytest.mark.parametrize("read_all", [False, True])
def test_ragged_rows_in_one_batch(
    session: SlotSession,
    torch_logits: Reference,
    chunk: int,
    read_all: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In chunks of 12 tokens a short row is through while others still read: it must stay where it is."""
    from nlpsuite.runtime import prefill as module

    monkeypatch.setattr(module, "_CHUNK", chunk)
    rows = [tokens(n, n) for n in (3, 50, 1, 17)]
    logits = feed(session, rows, np.zeros(4, np.int64), first=0, read_all=read_all)
    for i, row in enumerate(rows):
        got = logits[i, : len(row)] if read_all else logits[i]
        assert_close(got, torch_logits(row) if read_all else torch_logits(row)[-1:])
    # And on, each row from its own length.
    more = [tokens(n, 100 + n) for n in (4, 2, 9, 1)]
    logits = feed(session, more, np.array([len(row) for row in rows]), first=0, read_all=True)
    for i, (row, new) in enumerate(zip(rows, more)):
        assert_close(logits[i, : len(new)], torch_logits(row + new)[len(row) :])


def test_a_row_without_a_real_token_stays_where_it_is(session: SlotSession, torch_logits: Reference) -> None:
    first, second = tokens(9, 1), tokens(12, 2)
    session.reserve(2, 64)
    read(session, first, slot=0)
    read(session, second, slot=1)
    before = state_of(session, 0)
    nothing = np.zeros((2, 3), np.int64)
    session.run(np.array([[5, 5, 5], [7, 8, 9]]), np.array([9, 12]), nothing[:, :1], lengths=np.array([0, 2]))
    np.testing.assert_array_equal(state_of(session, 0), before)
    assert_close(read(session, [3], slot=0, start=9), torch_logits([*first, 3])[-1:])
    assert_close(read(session, [4], slot=1, start=14), torch_logits([*second, 7, 8, 4])[-1:])


def test_a_row_at_0_begins_afresh(session: SlotSession, torch_logits: Reference) -> None:
    session.reserve(2, 64)
    for state in session._states.values():
        with state.on_host() as array:
            array[:] = 1e4
    for ids in (tokens(20), tokens(5, 1)):
        assert_close(read(session, ids), torch_logits(ids))


@pytest.mark.parametrize("lengths", [[40, 40], [30, 31, 90], [26, 200, 27, 26, 60]])
def test_a_shared_beginning_is_computed_once(
    session: SlotSession, torch_logits: Reference, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tokens(25)
    rows = [shared + tokens(n - 25, n + i) for i, n in enumerate(lengths)]
    computed = []
    run = session.run
    monkeypatch.setattr(session, "run", lambda ids, *rest: computed.append(ids.size) or run(ids, *rest))
    logits = prefill(session, rows, first=1)
    for i, row in enumerate(rows):
        assert_close(logits[i], torch_logits(row)[-1])
    assert computed[0] == 25 and sum(computed[1:]) < sum(lengths)


def test_other_slots_and_growth_leave_a_row_alone(session: SlotSession, torch_logits: Reference) -> None:
    first, second, third = (tokens(10, seed) for seed in range(3))
    session.reserve(3, 64)
    read(session, first, slot=0)
    read(session, third, slot=2)
    before = [state_of(session, slot) for slot in (0, 2)]
    assert_close(read(session, second, slot=1), torch_logits(second))
    session.reserve(7, 1000)
    for slot, kept in zip((0, 2), before):
        np.testing.assert_array_equal(state_of(session, slot), kept)
    logits = session.run(np.array([[7], [8], [9]]), np.full(3, 10), np.zeros((3, 1), np.int64))
    for i, (row, token) in enumerate(((first, 7), (second, 8), (third, 9))):
        assert_close(logits[i], torch_logits([*row, token])[-1:])


def test_a_copied_slot_goes_on_like_its_source(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(20)
    session.reserve(3, 40)
    read(session, tokens(30, 5), slot=2)
    read(session, ids, slot=0)
    for target in (1, 2):
        session.copy_slot(0, target, 20)
    for slot, token in ((0, 3), (1, 4), (2, 5)):
        assert_close(read(session, [token], slot=slot, start=20), torch_logits([*ids, token])[-1:])


def test_rows_are_rolled_back(session: SlotSession, torch_logits: Reference) -> None:
    rows = [tokens(12, 1), tokens(7, 2), tokens(3, 3)]
    feed(session, rows, np.zeros(3, np.int64), first=0)
    with session.rolled_back(0, 2):
        for slot in range(3):
            read(session, tokens(4, 9), slot=slot, start=len(rows[slot]))
        session.reserve(5, 300)  # room may be made meanwhile
    for slot in range(2):
        logits = read(session, [8], slot=slot, start=len(rows[slot]))
        assert_close(logits, torch_logits([*rows[slot], 8])[-1:])
    logits = read(session, [8], slot=2, start=7)  # this one was not asked for
    assert_close(logits, torch_logits([*rows[2], *tokens(4, 9), 8])[-1:])


def test_int8_is_close_to_fp32(session: SlotSession, bundle_int8: Path) -> None:
    ids = tokens(100)
    expected = read(session, ids)
    got = read(SlotSession(bundle_int8 / "onnx" / "slots.onnx", Device("cpu"), threads=1), ids)
    error = np.sqrt(((got - expected) ** 2).mean()) / expected.std()
    assert 0 < error < 0.15


# The language model.

WORDS = "the cat and the dog sat on 3 mats in Köln while it was raining, or so they said;".split()


def words(count: int, start: int = 0) -> str:
    return " ".join(itertools.islice(itertools.cycle(WORDS), start, start + count))


PROMPTS = [
    Prompt(text=words(n, n), max_tokens=1 + (7 * n) % 31) if n % 3 else Prompt(
        messages=(Message("user", words(n)),), max_tokens=5 + n, prefill="So" if n % 2 else ""
    )
    for n in (1, 12, 3, 30, 2, 9, 4, 4, 25, 7, 1, 18)
]  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_batch_gives_what_each_prompt_gives_alone(
    model: LanguageModel, bundle_int8: Path, precision: str
) -> None:
    if precision == "int8":
        model = LanguageModel.load(bundle_int8, device="cpu", threads=1, max_slots=3)
    together = [(c.text, c.finish_reason, c.completion_tokens) for c in model.complete(PROMPTS)]
    alone = [model.complete([prompt])[0] for prompt in PROMPTS]
    assert together == [(c.text, c.finish_reason, c.completion_tokens) for c in alone]
    assert len({text for text, *_ in together}) > 8  # they do differ


def test_greedy_takes_torchs_likeliest_tokens(model: LanguageModel, torch_logits: Reference) -> None:
    for prompt in PROMPTS[:6]:
        ids = model.tokenizer.encode_prompt(prompt)
        drawn: list[int] = []
        for _ in range(prompt.max_tokens):
            token = int(torch_logits(ids + drawn)[-1].argmax())
            if token in model.bundle.end_token_ids:
                break
            drawn.append(token)
        (completion,) = model.complete([prompt])
        assert completion.text == prompt.prefill + model.tokenizer.decode(drawn)
        assert completion.completion_tokens == len(drawn)


def test_draws_do_not_depend_on_the_neighbours(model: LanguageModel) -> None:
    sampled = Prompt(text="the dog", max_tokens=20, sampling=Sampling(temperature=1.0, seed=5))
    (alone,) = model.complete([sampled])
    assert model.complete([sampled, *PROMPTS])[0].text == alone.text


def by_hand(context: list[int], choice: list[int], torch_logits: Reference) -> float:
    """Log-probability of a choice, by torch over the whole sequence."""
    logits = torch_logits(context + choice).astype(np.float64)
    steps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(sum(steps[len(context) - 1 + i, token] for i, token in enumerate(choice)))


def test_scores_are_the_whole_sequences_logprobs(session: SlotSession, torch_logits: Reference) -> None:
    """Choices of several tokens, one after the other from the same context, rows of different number."""
    contexts = [tokens(n, n) for n in (1, 9, 40)]
    choices = [
        [tokens(n, 10 * i + n) for n in sizes] for i, sizes in enumerate(((3, 1, 4), (5, 5), (1, 2, 6)))
    ]
    got = continuation_logprobs(session, contexts, choices)
    for context, row, scores in zip(contexts, choices, got):
        np.testing.assert_allclose(scores, [by_hand(context, c, torch_logits) for c in row], atol=1e-3)


def test_a_prompts_choices_are_scored(model: LanguageModel, torch_logits: Reference) -> None:
    choices = (" positive", " po", " the other one", "!", " über")
    prompts = [Prompt(text=words(n, n), choices=choices[: 2 + n % 4]) for n in (1, 40, 5, 12, 3)]
    for prompt, completion in zip(prompts, model.complete(prompts), strict=True):
        context, rows = model.tokenizer.encode_choices(prompt)
        expected = [by_hand(context, row, torch_logits) for row in rows]
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-3)
        assert completion.text == prompt.choices[int(np.argmax(expected))]


def test_each_tokens_logprob(model: LanguageModel, torch_logits: Reference) -> None:
    ids = model.tokenizer.encode_text(words(60))
    assert len(ids) > 150  # more than the runtime holds logits of at once
    logits = torch_logits(ids).astype(np.float64)
    steps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = [steps[i, token] for i, token in enumerate(ids[1:])]
    np.testing.assert_allclose(model.token_logprobs(words(60)), expected, atol=1e-3)


def test_there_is_no_end_of_the_context(model: LanguageModel) -> None:
    assert model.context_length == LSTM.context_length >= 1_000_000
    text = words(1500)
    prompt = Prompt(text=text, max_tokens=8)
    (completion,) = model.complete([prompt])
    assert completion.prompt_tokens == model.count_tokens(text) > 3000
    assert completion.completion_tokens <= 8
    again = dataclasses.replace(prompt, text=words(3))
    assert model.complete([again])[0].text == model.complete([again, prompt])[0].text


def test_the_tiny_checkpoint_is_recurrent(checkpoint: Checkpoint) -> None:
    assert checkpoint.config == LSTM and checkpoint.config.recurrent
