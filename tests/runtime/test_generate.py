"""The language model as the rest of the package uses it: completing, streaming, scoring."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpsuite.errors import BundleCorruptError, InputTooLongError, OptionError
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion, Message, Prompt, Sampling, TokenPiece

WORDS = "the cat and the dog sat on 3 mats in Köln while it was raining, or so they said;".split()


def words(count: int, start: int = 0) -> str:
    return " ".join(itertools.islice(itertools.cycle(WORDS), start, start + count))


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> LanguageModel:
    return LanguageModel.load(tiny_bundle, device="cpu", threads=1, max_slots=3)


def alone(model: LanguageModel, prompt: Prompt) -> Completion:
    (completion,) = model.complete([prompt])
    return completion


def bare(completion: Completion) -> Completion:
    """Without what a clock measured."""
    assert completion.first_token_seconds is None or 0 < completion.first_token_seconds < 60
    return dataclasses.replace(completion, first_token_seconds=None)


@pytest.fixture
def sequence_logprobs(tiny_decoder: Any) -> Callable[[list[int]], np.ndarray]:
    """Log-probability of each token after the first, by torch, in one pass over the whole."""
    import torch

    def logprobs(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            steps = tiny_decoder(torch.tensor([ids]))[0][0].double().log_softmax(-1)
        return np.array([float(steps[i, token]) for i, token in enumerate(ids[1:])])

    return logprobs


PROMPTS = [
    Prompt(text=words(n, n), max_tokens=1 + (7 * n) % 31) if n % 3 else Prompt(
        messages=(Message("user", words(n)),), max_tokens=5 + n, prefill="So" if n % 2 else ""
    )
    for n in (1, 12, 3, 30, 2, 9, 4, 4, 25, 7, 1, 18, 6, 15, 33, 5, 10, 2, 8, 21)
]  # fmt: skip


def test_a_batch_gives_what_each_prompt_gives_alone(model: LanguageModel) -> None:
    assert len(PROMPTS) == 20 and len({model.count_tokens(p) for p in PROMPTS}) > 12
    together = [bare(c) for c in model.complete(PROMPTS)]
    assert together == [bare(alone(model, p)) for p in PROMPTS]
    assert len({c.text for c in together}) > 15  # they do differ
    for prompt, completion in zip(PROMPTS, together):
        assert completion.text.startswith(prompt.prefill)
        assert completion.prompt_tokens == model.count_tokens(prompt)
        assert completion.completion_tokens <= prompt.max_tokens


def test_greedy_takes_torchs_likeliest_tokens(model: LanguageModel, tiny_decoder: Any) -> None:
    import torch

    for prompt in PROMPTS[:6]:
        ids = model.tokenizer.encode_prompt(prompt)
        drawn: list[int] = []
        for _ in range(prompt.max_tokens):
            with torch.no_grad():
                token = int(tiny_decoder(torch.tensor([ids + drawn]))[0][0, -1].argmax())
            if token in model.bundle.end_token_ids:
                break
            drawn.append(token)
        completion = alone(model, prompt)
        assert completion.text == prompt.prefill + model.tokenizer.decode(drawn)
        assert completion.completion_tokens == len(drawn)


def test_rows_join_and_leave_the_running_batch(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows than slots; a free slot is filled before the others are done; order of ends is free."""
    rows = []
    run = model._session.run

    def counted(ids: Any, starts: Any, reads: Any, first: int = 0, lengths: Any = None) -> Any:
        rows.append(first + len(ids))
        return run(ids, starts, reads, first, lengths)

    monkeypatch.setattr(model._session, "run", counted)
    prompts = [Prompt(text=words(3), max_tokens=n) for n in (30, 2, 2, 2, 2)]
    ends = [index for index, event in model.stream(prompts) if isinstance(event, Completion)]
    assert max(rows) == 3
    assert ends[-1] == 0 and sorted(ends) == [0, 1, 2, 3, 4]  # the long one outlived all the others
    assert len(rows) < 30 + 8


def test_prompts_are_taken_as_slots_become_free(model: LanguageModel) -> None:
    from nlpsuite.runtime.scheduler import Scheduler

    taken = []

    def prompts() -> Iterator[Prompt]:
        for i in range(10):
            taken.append(i)
            yield Prompt(text=words(2), max_tokens=4)

    scheduler = Scheduler(model._session, model.tokenizer, model.bundle.end_token_ids, 256, max_slots=2)
    events = scheduler.run(prompts())
    next(events)
    assert taken == [0, 1]
    assert sorted(i for i, event in events if isinstance(event, Completion)) == list(range(10))


def test_pieces_join_to_the_completion(model: LanguageModel) -> None:
    pieces = [""] * len(PROMPTS)
    done: dict[int, Completion] = {}
    for index, event in model.stream(PROMPTS):
        assert index not in done  # nothing follows a completion
        if isinstance(event, str):
            assert event
            pieces[index] += event
        else:
            done[index] = event
    assert [done[i].text for i in range(len(PROMPTS))] == pieces


def test_max_tokens(model: LanguageModel) -> None:
    for count in (1, 2, 13):
        completion = alone(model, Prompt(text="cat", max_tokens=count))
        assert completion.finish_reason == "length" and completion.completion_tokens == count


def test_an_end_token_ends_the_text(model: LanguageModel) -> None:
    """Declare a token that the model draws to be an end token."""
    prompt = Prompt(text=words(4), max_tokens=20)
    session, tokenizer = model._session, model.tokenizer
    whole = alone(model, prompt)
    ids = tokenizer.encode_text(words(4))
    from nlpsuite.runtime.prefill import prefill

    drawn = []
    for _ in range(8):
        drawn.append(int(prefill(session, [ids + drawn], 0)[0].argmax()))
    end = drawn[5]
    assert end not in drawn[:5]
    changed = LanguageModel(
        dataclasses.replace(model.bundle, end_token_ids=(0, end)), session, tokenizer, max_slots=3
    )
    completion = alone(changed, prompt)
    assert completion.finish_reason == "stop" and completion.completion_tokens == 5
    assert completion.text == tokenizer.decode(drawn[:5])
    assert whole.completion_tokens > 5


def test_stop_strings(model: LanguageModel) -> None:
    prompt = Prompt(text=words(7), max_tokens=40)
    text = alone(model, prompt).text
    for at, size in ((5, 1), (10, 3), (20, 6)):
        stop = text[at : at + size]
        completion = alone(model, dataclasses.replace(prompt, stop=("never there", stop)))
        assert completion.finish_reason == "stop"
        assert completion.text == text[: text.index(stop)]
        assert completion.completion_tokens < 40
    assert alone(model, dataclasses.replace(prompt, stop=("never there",))).text == text
    with pytest.raises(OptionError, match="stop string"):
        Prompt(stop=("",))


class Script:
    """Stands for the session: whatever is read, the next token is the script's next."""

    def __init__(self, model: LanguageModel, text: str) -> None:
        self._ids = [*model.tokenizer.encode_text(text), 2]
        self.device, self.recurrent = model.device, False
        self._prompt = self.length = 0

    def reserve(self, slots: int, length: int) -> None: ...

    def run(self, ids: np.ndarray, starts: np.ndarray, reads: np.ndarray, *_: Any) -> np.ndarray:
        end = int(starts[0]) + ids.shape[1]
        self._prompt = self._prompt or end
        logits = np.zeros((1, reads.shape[1], 302), np.float32)
        for i, read in enumerate(reads[0]):
            at = int(starts[0]) + int(read) + 1 - self._prompt
            logits[0, i, self._ids[min(at, len(self._ids) - 1)]] = 1
        return logits


@pytest.mark.parametrize(
    "text,after,expected,finish",
    [
        ("It is 3.5 now. And on", 1, "It is 3.5 now.", "sentence"),
        ("One. Two. Three. Four", 5, "One. Two.", "sentence"),
        ('He said "no." Then', 1, 'He said "no."', "sentence"),
        ("First line!\nSecond", 1, "First line!", "sentence"),
        ("e.g.this goes on", 1, "e.g.this goes on", "stop"),
        ("One. Two. Three", None, "One. Two. Three", "stop"),
        ("One. Two. Three", 1000, "One. Two. Three", "stop"),
        ("No end here", 1, "No end here", "stop"),
    ],
)
def test_stopping_at_a_sentence_end(
    model: LanguageModel, text: str, after: int | None, expected: str, finish: str
) -> None:
    scripted = LanguageModel(model.bundle, Script(model, text), model.tokenizer, 1)  # type: ignore[arg-type]
    completion = alone(scripted, Prompt(text="x", sentence_end_after=after))
    assert (completion.text, completion.finish_reason) == (expected, finish)
    assert completion.completion_tokens == len(model.tokenizer.encode_text(expected))
    if finish == "sentence":
        assert after is not None and completion.completion_tokens >= after


def test_a_full_context_ends_the_text(model: LanguageModel) -> None:
    text = "a" * 250
    assert model.count_tokens(text) == 250
    completion = alone(model, Prompt(text=text, max_tokens=50))
    assert completion.finish_reason == "context"
    assert completion.prompt_tokens + completion.completion_tokens == model.context_length == 256
    completion = alone(model, Prompt(text="a" * 255, max_tokens=50))
    assert completion.finish_reason == "context" and completion.completion_tokens == 1


def test_a_prompt_that_fills_the_context_is_refused(model: LanguageModel) -> None:
    for count in (256, 1000):
        with pytest.raises(InputTooLongError, match=f"{count:,} tokens.* 256") as raised:
            alone(model, Prompt(text="a" * count))
        assert raised.value.exit_code == 4
    with pytest.raises(InputTooLongError, match="257 tokens"):
        alone(model, Prompt(text="a" * 255, choices=("b", "bb")))
    with pytest.raises(InputTooLongError):
        model.token_logprobs("a" * 257)
    assert alone(model, Prompt(text="a" * 254, choices=("b", "bb"))).finish_reason == "choice"
    assert len(model.token_logprobs("a" * 256)) == 255
    assert bare(alone(model, PROMPTS[1])) == bare(model.complete(PROMPTS[:2])[1])  # and nothing is broken


def test_an_empty_prompt_starts_as_after_another_text(model: LanguageModel) -> None:
    empty = alone(model, Prompt(max_tokens=10))
    assert empty.text and empty.completion_tokens == 10 and empty.prompt_tokens == 1
    assert model.complete([]) == []


def test_the_seed_decides(model: LanguageModel) -> None:
    def texts(seed: int) -> list[str]:
        sampling = Sampling(temperature=1.5, seed=seed)
        return [c.text for c in model.complete([Prompt(text="cat", max_tokens=15, sampling=sampling)] * 4)]

    first = texts(1)
    assert texts(1) == first and texts(2) != first
    assert len(set(first)) == 1  # the place in the batch makes no difference


def test_draws_do_not_depend_on_the_neighbours(model: LanguageModel) -> None:
    sampled = Prompt(text="the dog", max_tokens=20, sampling=Sampling(temperature=1.0, seed=5))
    others = [dataclasses.replace(p, sampling=Sampling(temperature=2.0, seed=9)) for p in PROMPTS]
    expected = model.complete([sampled, *others[:1]])[0].text
    assert model.complete([sampled, *others[1:]])[0].text == expected
    assert alone(model, sampled).text == expected
    scored = Prompt(text="x", choices=("a", "b"))
    assert model.complete([scored, sampled])[1].text == expected


# Scoring.

CHOICES = (" positive", " pos", " po", " the other one", "!", " über")


def brute_force(
    model: LanguageModel, prompt: Prompt, logprobs: Callable[[list[int]], np.ndarray]
) -> list[float]:
    context, rows = model.tokenizer.encode_choices(prompt)
    context = context or [0]
    return [float(logprobs([*context, *row])[len(context) - 1 :].sum()) for row in rows]


@pytest.mark.parametrize("choices", [CHOICES, ("a", "b"), (" positive",), (" po", " po")])
def test_scores_are_the_whole_sequences_logprobs(
    model: LanguageModel, sequence_logprobs: Callable[[list[int]], np.ndarray], choices: tuple[str, ...]
) -> None:
    prompts = [Prompt(text=words(n, n), choices=choices) for n in (1, 40, 5, 12, 3)]
    prompts.append(Prompt(messages=(Message("user", "Is it good?"),), prefill="It is", choices=choices))
    prompts.append(Prompt(choices=choices))
    for prompt, completion in zip(prompts, model.complete(prompts), strict=True):
        expected = brute_force(model, prompt, sequence_logprobs)
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-3)
        assert completion.text == choices[int(np.argmax(expected))]
        assert completion.finish_reason == "choice" and completion.completion_tokens == 0
        assert completion.calibration_logprobs == () and completion.first_token_seconds is None
        assert completion.prompt_tokens == len(model.tokenizer.encode_choices(prompt)[0])


def test_rows_with_different_choices_in_one_batch(
    model: LanguageModel, sequence_logprobs: Callable[[list[int]], np.ndarray]
) -> None:
    prompts = [Prompt(text=words(n), choices=CHOICES[: 1 + n % 6]) for n in range(1, 9)]
    for prompt, completion in zip(prompts, model.complete(prompts), strict=True):
        np.testing.assert_allclose(
            completion.logprobs, brute_force(model, prompt, sequence_logprobs), atol=1e-3
        )


def test_choices_and_prompts_to_complete_in_one_call(model: LanguageModel) -> None:
    mixed = [PROMPTS[0], Prompt(text="x", choices=("a", "b")), PROMPTS[1], Prompt(text="y", choices=("c",))]
    together = model.complete(mixed)
    assert [c.finish_reason == "choice" for c in together] == [False, True, False, True]
    for prompt, completion in zip(mixed, together):
        assert completion.text == alone(model, prompt).text


def test_priors(model: LanguageModel, sequence_logprobs: Callable[[list[int]], np.ndarray]) -> None:
    priors = tuple(Prompt(text=f"Review: {text}\nSentiment:") for text in ("N/A", "", "the"))
    prompts = [
        Prompt(text=f"Review: {words(n)}\nSentiment:", choices=CHOICES, calibration=priors[: 1 + n % 3])
        for n in range(1, 6)
    ]
    after = [
        brute_force(model, dataclasses.replace(prior, choices=CHOICES), sequence_logprobs) for prior in priors
    ]
    for prompt, completion in zip(prompts, model.complete(prompts), strict=True):
        expected = np.mean(after[: len(prompt.calibration)], axis=0)
        np.testing.assert_allclose(completion.calibration_logprobs, expected, atol=1e-3)
        np.testing.assert_allclose(
            completion.logprobs, brute_force(model, prompt, sequence_logprobs), atol=1e-3
        )
        assert not np.allclose(completion.logprobs, completion.calibration_logprobs, atol=0.1)
        # The likeliest as it stands: weighing it against the priors is the task's decision.
        assert completion.text == CHOICES[int(np.argmax(completion.logprobs))]
    other = Prompt(text="x", choices=("a", "b"), calibration=priors[:1])
    expected = brute_force(model, dataclasses.replace(priors[0], choices=("a", "b")), sequence_logprobs)
    np.testing.assert_allclose(alone(model, other).calibration_logprobs, expected, atol=1e-3)


def test_a_prior_is_scored_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    priors = tuple(Prompt(text=f"A prior that no other test has: {i}") for i in range(2))
    prompts = [Prompt(text=words(n), choices=("a", "b"), calibration=priors) for n in range(1, 8)]
    scored = []
    logprobs = model._logprobs
    monkeypatch.setattr(
        model,
        "_logprobs",
        lambda batch, cancelled: scored.extend(p.text for p in batch) or logprobs(batch, cancelled),
    )
    model.complete(prompts)
    model.complete(prompts[:1])
    assert [scored.count(prior.text) for prior in priors] == [1, 1]
    assert len(scored) == 7 + 1 + 2


def test_scoring_can_be_cancelled(model: LanguageModel) -> None:
    asked = []
    prompts = [Prompt(text=words(20, n), choices=("a", "b")) for n in range(9)]
    with pytest.raises(CancelledError):
        list(model.stream(prompts, lambda: bool(asked.append(1)) or len(asked) > 1))
    assert len(asked) == 2  # 9 contexts in 3 slots are more turns than that


def test_tokens_come_with_the_pieces_they_spell(model: LanguageModel) -> None:
    for prompt in (
        Prompt(text=words(5), max_tokens=20, logprobs=1),
        Prompt(text=words(3) + "  ", max_tokens=12, logprobs=0),
        Prompt(text=words(7), max_tokens=9, logprobs=0, score_prompt=True),
        Prompt(messages=(Message("user", words(7)),), prefill="So", max_tokens=9, logprobs=2),
    ):
        *pieces, (_, whole) = model.stream([prompt])
        given = [token for _, piece in pieces if isinstance(piece, TokenPiece) for token in piece.tokens]
        assert tuple(given) == whole.tokens[: len(given)]
        written = whole.tokens[len(whole.tokens) - whole.completion_tokens :]
        visible = [token.bytes for token in written if token.id not in model.tokenizer.control_ids]
        spelled = b"".join(visible).decode("utf-8", "replace")
        assert (prompt.prefill + spelled).strip() == whole.text.strip()
        assert "".join(piece for _, piece in pieces) == whole.text
        plain = alone(model, dataclasses.replace(prompt, logprobs=None, score_prompt=False))
        assert plain.tokens == () and plain.text.strip() == whole.text.strip()


def test_tokens_of_a_stop_string_are_dropped(model: LanguageModel) -> None:
    prompt = Prompt(text=words(5), max_tokens=20, logprobs=0)
    whole = alone(model, prompt)
    texts = [token.text for token in whole.tokens]
    for at in range(3, 12):
        if "\ufffd" in "".join(texts[: at + 2]) or not (stop := "".join(texts[at : at + 2])):
            continue
        stopped = alone(model, dataclasses.replace(prompt, stop=(stop,)))
        assert "".join(token.text for token in stopped.tokens).startswith(stopped.text)
        assert whole.tokens[: len(stopped.tokens)] == stopped.tokens
        assert len(stopped.tokens) <= at + 1


def test_token_logprobs(model: LanguageModel, sequence_logprobs: Callable[[list[int]], np.ndarray]) -> None:
    text = words(60)
    ids = model.tokenizer.encode_text(text)
    assert len(ids) > 130  # more than two chunks of reading
    np.testing.assert_allclose(model.token_logprobs(text), sequence_logprobs(ids), atol=1e-3)
    assert model.token_logprobs("a").shape == model.token_logprobs("").shape == (0,)


# Damaged bundles.


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: next(iter(model.stream([Prompt(text="cat")]))),
        lambda model: next(iter(model.stream([Prompt(text="cat", prefill="The")]))),
        lambda model: next(iter(model.stream([Prompt(text="cat", choices=("a", "b"))]))),
        lambda model: model.complete([Prompt(text="cat")]),
        lambda model: model.token_logprobs("the cat"),
    ],
    ids=["stream", "prefill", "choices", "complete", "logprobs"],
)
def test_changed_weights_are_found_before_anything_is_returned(
    copy: Path, use: Callable[[LanguageModel], Any]
) -> None:
    flip(copy / "onnx" / "slots.onnx_data", 5000)
    model = LanguageModel.load(copy, device="cpu", threads=1)
    for _ in range(2):  # nor at a second try
        with pytest.raises(BundleCorruptError, match=r"slots\.onnx_data has changed"):
            use(model)


@pytest.mark.parametrize(
    "name", ["onnx/slots.onnx", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
)
def test_any_changed_byte_is_an_error_of_the_bundle(copy: Path, name: str) -> None:
    """Wherever the damage shows first: while loading, encoding, or in the middle of a run."""
    size = (copy / name).stat().st_size
    prompt = Prompt(messages=(Message("user", "the cat"),), max_tokens=3)
    for at in range(size // 40, size, max(1, size // 20)):
        flip(copy / name, at)
        with pytest.raises(BundleCorruptError):
            LanguageModel.load(copy, device="cpu", threads=1).complete([prompt])
        flip(copy / name, at)
    assert LanguageModel.load(copy, device="cpu", threads=1).complete([prompt])


def test_a_check_that_fails_itself_is_no_pass(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Bundle) -> None:
        raise RuntimeError("the check broke")

    monkeypatch.setattr(Bundle, "verify", fail)
    with pytest.raises(RuntimeError, match="the check broke"):
        LanguageModel.load(copy, device="cpu", threads=1).complete([Prompt(text="cat")])


def test_options_of_loading(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="max_slots"):
        LanguageModel.load(tiny_bundle, device="cpu", max_slots=0)
    one = LanguageModel.load(tiny_bundle, device="cpu", threads=1, max_slots=1)
    many = LanguageModel.load(str(tiny_bundle), device="cpu", threads=2, max_slots=64)
    assert [c.text for c in one.complete(PROMPTS[:8])] == [c.text for c in many.complete(PROMPTS[:8])]


def test_int8_generates_too(tiny_bundle_int8: Path) -> None:
    model = LanguageModel.load(tiny_bundle_int8, device="cpu", threads=1)
    assert all(c.completion_tokens for c in model.complete(PROMPTS[:3]))


def test_a_long_prompt_leaves_no_large_state_behind(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpsuite.runtime.scheduler._SHORT", 128)
    short = Prompt(text="the cat", max_tokens=8)
    expected = model.complete([short])[0].text
    model.complete([Prompt(text="the sea " * 60, max_tokens=2)])
    assert model._session.length > 128
    assert model.complete([short])[0].text == expected
    assert model._session.length <= 128
