"""The scheduler: chunks, shared beginnings, guesses, threads, cancelling. Results never depend on the crowd."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.runtime import scheduler as scheduler_module
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.lookup import PromptLookup
from nlpsuite.runtime.number_limit import numbers_of
from nlpsuite.runtime.prefix_cache import PrefixCache, chunk_end
from nlpsuite.runtime.prompt import Completion, Message, Prompt, Sampling
from nlpsuite.runtime.scheduler import Scheduler

Make = Callable[..., Scheduler]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> LanguageModel:
    return LanguageModel.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def make(tiny_bundle: Path) -> Make:
    """A scheduler with a session of its own."""

    def scheduler(**settings: Any) -> Scheduler:
        own = LanguageModel.load(tiny_bundle, device="cpu", threads=1)
        return Scheduler(
            own._session, own.tokenizer, own.bundle.end_token_ids, own.context_length, **settings
        )

    return scheduler


def words(count: int, seed: int = 0) -> str:
    """A text of random words."""
    generator = np.random.default_rng(seed)
    return " ".join(generator.choice(["cat", "sea", "red", "the", "of", "storm", "and", "lamp"], count))


def texts(scheduler: Scheduler, prompts: list[Prompt]) -> list[str]:
    found = {i: event.text for i, event in scheduler.run(prompts) if isinstance(event, Completion)}
    return [found[i] for i in range(len(prompts))]


def counted(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and new tokens of every run from now on."""
    runs: list[tuple[int, int]] = []
    run = scheduler._session.run

    def counting(ids: Any, *rest: Any) -> Any:
        runs.append(ids.shape)
        return run(ids, *rest)

    monkeypatch.setattr(scheduler._session, "run", counting)
    return runs


MIXED = [
    Prompt(text=words(n, n), max_tokens=4 + n % 9, sampling=Sampling(temperature=n % 3 * 0.7, seed=n))
    for n in (1, 40, 3, 70, 2, 25, 50, 9)
]


def test_chunks_end_at_fixed_positions() -> None:
    ends, position = [], 0
    while position < 500:
        position = chunk_end(position)
        ends.append(position)
    assert ends == [32, 96, 224, 352, 480, 608]
    assert all(chunk_end(position) > position for position in range(1000))
    assert all(chunk_end(position) in ends for position in range(480))


def test_a_long_prompt_is_read_between_the_steps_of_the_others(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make(max_slots=4, guess=False)
    runs = counted(scheduler, monkeypatch)
    short, long = Prompt(text="the", max_tokens=30), Prompt(text=words(80), max_tokens=2)
    length = len(scheduler.submit(long).ids)
    assert length > 100
    list(scheduler.run([short]))
    # Each chunk of the long prompt is followed by a step of the short one, which has two tokens to read.
    assert runs[:6] == [(1, 32), (1, 2), (1, 64), (2, 1), (1, length - 96), (2, 1)]


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize("slots", [2, 3, 8])
def test_results_are_those_of_each_prompt_alone(make: Make, slots: int, guess: bool) -> None:
    alone = [texts(make(prefixes=0, guess=False), [prompt])[0] for prompt in MIXED]
    assert texts(make(max_slots=slots, prefixes=1 << 20, guess=guess), MIXED) == alone


def test_a_known_beginning_is_not_read_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, fresh = make(prefixes=1 << 24), make(prefixes=0)
    first = Prompt(text=words(90), max_tokens=6)
    second = dataclasses.replace(first, text=first.text + " lamp and sea")
    expected = texts(fresh, [second])
    texts(scheduler, [first])
    runs = counted(scheduler, monkeypatch)
    assert texts(scheduler, [second]) == expected
    length = len(fresh.submit(second).ids)
    read = sum(new for _, new in runs if new > 1)
    start = 0
    while chunk_end(start) < length:
        start = chunk_end(start)
    assert start >= 96 and read <= length - start + 16


def test_states_of_known_beginnings_are_those_of_reading(make: Make) -> None:
    scheduler = make(prefixes=1 << 24)
    session, ids = scheduler._session, scheduler.submit(Prompt(text=words(90))).ids
    list(scheduler.run([Prompt(text=words(90), max_tokens=1)]))
    session.reserve(3, len(ids))
    [whole] = [session.read_state(0, 0, 96)]
    assert scheduler._prefixes.restore(session, 2, ids) >= 96
    for expected, found in zip(whole, session.read_state(2, 0, 96)):
        np.testing.assert_array_equal(found, expected)


def test_a_dialogue_goes_on_from_its_own_text(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [Message("user", words(40))]
    answer = model.complete([Prompt(messages=tuple(turns), max_tokens=60)])[0].text
    runs = counted(model._scheduler, monkeypatch)
    turns += [Message("assistant", answer), Message("user", "and the sea")]
    prompt = Prompt(messages=tuple(turns), max_tokens=1)
    model.complete([prompt])
    assert sum(rows * new for rows, new in runs) < model.count_tokens(prompt) - 32
    model.reset()
    runs.clear()
    model.complete([prompt])
    assert sum(rows * new for rows, new in runs) == model.count_tokens(prompt)


def test_the_prefix_cache_keeps_to_its_bytes_and_drops_ends_first(make: Make) -> None:
    scheduler = make()
    session = scheduler._session
    session.reserve(1, 400)
    chunk = sum(array.nbytes for array in session.read_state(0, 0, 32))
    cache = PrefixCache(12 * chunk)  # room for 32 + 64 + 128 tokens and 160 more
    ids = list(range(1, 230))
    for start, end in ((0, 32), (32, 96), (96, 224)):
        cache.save(session, 0, ids[:end], start)
    assert cache.size == 7 * chunk
    assert cache.restore(session, 0, ids) == 224
    other = [7] * 230
    for start, end in ((0, 32), (32, 96), (96, 224)):
        cache.save(session, 0, other[:end], start)
    assert cache.size <= 12 * chunk
    assert cache.restore(session, 0, other) == 224
    assert cache.restore(session, 0, ids) == 96  # its end went first
    assert PrefixCache(0).restore(session, 0, ids) == 0
    cache.clear()
    assert cache.size == 0 and cache.restore(session, 0, other) == 0


REPEATING = [
    Prompt(text="the red cat and the lamp " * 6, max_tokens=40),
    Prompt(text="the red cat and the lamp " * 6, max_tokens=40, sampling=Sampling(copy_bias=4.0)),
    Prompt(text="sea storm " * 12, max_tokens=40, sampling=Sampling(temperature=0.3, seed=3)),
    Prompt(text="sea storm " * 12, max_tokens=40, sampling=Sampling(repetition_penalty=1.3)),
    Prompt(text="sea storm " * 12, max_tokens=40, sentence_end_after=3),
    Prompt(text="a" * 230, max_tokens=60),
    Prompt(text="the red cat and\n", max_tokens=20),
    Prompt(text="12 of 3.5 and 12 of " * 5, max_tokens=60, numbers_of="12 of 3.5"),
    Prompt(
        text="1 2 1 2 1 2 " * 5, max_tokens=60, numbers_of="12,1", sampling=Sampling(temperature=2, seed=1)
    ),
]


@pytest.mark.parametrize("prompt", REPEATING, ids=range(len(REPEATING)))
def test_guessing_changes_no_text(make: Make, prompt: Prompt) -> None:
    [(_, expected)] = [e for e in make(guess=False).run([prompt]) if isinstance(e[1], Completion)]
    [(_, found)] = [e for e in make(guess=True).run([prompt]) if isinstance(e[1], Completion)]
    assert dataclasses.replace(found, first_token_seconds=0) == dataclasses.replace(
        expected, first_token_seconds=0
    )


@pytest.mark.parametrize("guess", [False, True])
def test_only_numbers_of_a_text_are_generated(make: Make, guess: bool) -> None:
    free = [
        Prompt(text="3 12 3 12 ", max_tokens=60, sampling=Sampling(temperature=4, top_k=90, seed=seed))
        for seed in range(4)
    ]
    scheduler = make(guess=guess)
    for allowed in (None, "3, 1,2 and 75", "none"):
        prompts = [dataclasses.replace(prompt, numbers_of=allowed) for prompt in free]
        found = {number for text in texts(scheduler, prompts) for number in numbers_of(text)}
        if allowed is None:
            assert found - {"3", "1,2", "75"}
        else:
            assert found <= numbers_of(allowed) and bool(found) == bool(numbers_of(allowed))


def test_right_guesses_save_runs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(text=" the sea" * 40, max_tokens=40)

    def outcome(scheduler: Scheduler) -> tuple[list[str], int]:
        """Texts and runs of a model that repeats the end of its prompt."""
        ids = scheduler._tokenizer.encode_prompt(prompt)
        period = next(n for n in range(1, 40) if ids[-40:] == ids[-40 - n : -n])
        run = scheduler._session.run

        def repeating(new: Any, starts: Any, reads: Any, *rest: Any) -> Any:
            logits = run(new, starts, reads, *rest)
            for row, start in enumerate(starts):
                for i, read in enumerate(reads[row]):
                    logits[row, i, ids[-period:][(start + read + 1 - len(ids)) % period]] += 1000
            return logits

        monkeypatch.setattr(scheduler._session, "run", repeating)
        runs = counted(scheduler, monkeypatch)
        return texts(scheduler, [prompt]), len(runs)

    plain, slow = outcome(make(guess=False))
    guessed, fast = outcome(make(guess=True))
    assert plain == guessed and fast < 0.4 * slow


def test_wrong_guesses_stop() -> None:
    lookup = PromptLookup([1, 2, 3, 1, 2])
    guesses = 0
    for _ in range(200):
        if lookup.guess(8):
            guesses += 1
            lookup.record(0)
    assert 3 < guesses < 15
    while not lookup.guess(8):
        pass
    lookup.record(8)
    assert lookup.guess(8) == [3, 1, 2]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 10))
def test_a_guess_follows_an_earlier_occurrence(ids: list[int], most: int) -> None:
    guess = PromptLookup(ids).guess(most)
    assert len(guess) <= most
    if guess:
        tail = tuple(ids[-2:])
        assert any(
            tuple(ids[i : i + 2]) == tail and ids[i + 2 : i + 2 + len(guess)] == guess
            for i in range(len(ids) - 2)
        )


def test_cancelling_frees_the_slot(make: Make) -> None:
    scheduler = make(max_slots=2)
    events = scheduler.run([Prompt(text="the", max_tokens=200), Prompt(text="sea", max_tokens=200)])
    next(events)
    assert len(scheduler._rows) == 2
    events.close()
    assert scheduler._rows == [] and not scheduler._waiting
    waiting = scheduler.submit(Prompt(text="red"))
    scheduler.cancel(waiting)
    assert texts(scheduler, [Prompt(text="cat", max_tokens=3)])
    assert not waiting.events


def test_a_prompt_that_is_being_read_can_be_cancelled(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = make()
    runs = counted(scheduler, monkeypatch)
    with pytest.raises(CancelledError):
        next(scheduler.run([Prompt(text=words(80, 1), max_tokens=9)], lambda: len(runs) == 1))
    assert len(runs) == 1 and scheduler._rows == []
    assert texts(scheduler, [Prompt(text="cat", max_tokens=3)])


def test_rows_that_need_too_much_memory_together_wait(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = make(max_slots=8, max_positions=100, guess=False)
    runs = counted(scheduler, monkeypatch)
    prompts = [Prompt(text=words(2, n), max_tokens=30) for n in range(6)]
    assert texts(scheduler, prompts) == texts(make(guess=False), prompts)
    assert 1 < max(rows for rows, _ in runs) <= 3
    assert texts(make(max_positions=1), prompts[:2]) == texts(make(), prompts[:2])  # one alone always runs


def test_threads_share_the_batch(model: LanguageModel) -> None:
    expected = [model.complete([prompt])[0].text for prompt in MIXED]
    scored = Prompt(text="It is", choices=(" good", " bad"))
    scores = model.complete([scored])[0].logprobs
    found: dict[int, list[str]] = {}
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            order = MIXED[number:] + MIXED[:number]
            answers = [c.text for c in model.complete(order)]
            found[number] = answers[len(MIXED) - number :] + answers[: len(MIXED) - number]
            np.testing.assert_allclose(model.complete([scored])[0].logprobs, scores, atol=1e-4)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(MIXED))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not errors and len(found) == len(MIXED)
    assert all(answers == expected for answers in found.values())
    assert model._scheduler._rows == []


def test_whoever_scores_and_whoever_writes_take_turns(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = make(max_slots=4, guess=False)
    order: list[str] = []
    step = scheduler._step
    monkeypatch.setattr(scheduler, "_step", lambda: (order.append("step"), step()))
    ended = threading.Event()

    def score() -> None:
        while not ended.is_set():
            with scheduler.turn():
                order.append("turn")

    others = [threading.Thread(target=score) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        assert len(texts(scheduler, [Prompt(text=words(5), max_tokens=30)])) == 1
    finally:
        ended.set()
        for thread in others:
            thread.join()
    begun, last = order.index("step"), len(order) - order[::-1].index("step")
    between = "".join(name[0] for name in order[begun:last]).split("s")
    assert all(len(turns) <= 2 for turns in between)  # each of the others had at most one


def test_events_reach_their_threads_while_others_run(make: Make) -> None:
    scheduler = make(max_slots=8, guess=False)
    prompts = [Prompt(text=words(3 + n, n), max_tokens=20 + n) for n in range(8)]
    expected = texts(scheduler, prompts)
    found: dict[int, list[str]] = {}

    def read(n: int) -> None:
        found[n] = texts(scheduler, [prompts[n]])

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[n] for n in range(8)] == [[text] for text in expected]


def test_an_interrupted_wait_gives_up_its_turn(make: Make) -> None:
    scheduler = make()
    held = scheduler.turn()
    held.__enter__()

    class Interrupted(Exception):
        pass

    class Gate:
        """A lock whose wait ends as Ctrl-C ends it, after the turn was handed over or before."""

        def __init__(self, late: bool) -> None:
            self.late = late

        def acquire(self) -> None:
            if self.late:
                held.__exit__(None, None, None)
            raise Interrupted

        def release(self) -> None:
            pass

    for late in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            made = scheduler_module._Waiter

            def waiter(requests: Any, late: bool = late, made: Any = made) -> Any:
                new = made(requests)
                new.woken = Gate(late)
                return new

            patch.setattr(scheduler_module, "_Waiter", waiter)
            with pytest.raises(Interrupted), scheduler.turn():
                pass
    with scheduler.turn():  # it is free
        pass


def test_prompts_are_scored_in_the_running_batch(make: Make, model: LanguageModel) -> None:
    scheduler = make(max_slots=4)
    prompts = [
        Prompt(text=words(n, n), max_tokens=m, logprobs=k, score_prompt=True)
        for n, m, k in ((60, 0, 0), (3, 5, 2), (80, 0, 3), (1, 0, 0), (40, 7, 0))
    ]
    plain = dataclasses.replace(prompts[4], logprobs=None, score_prompt=False)
    done = {i: e for i, e in scheduler.run([*prompts, plain]) if isinstance(e, Completion)}
    assert done[5].text == done[4].text and done[5].tokens == ()
    for i, prompt in enumerate(prompts):
        ids = model.tokenizer.encode_text(prompt.text)
        tokens = done[i].tokens[: len(ids)]
        assert [token.id for token in tokens] == ids and tokens[0].logprob is None
        assert b"".join(token.bytes for token in tokens).decode() == prompt.text
        found = [token.logprob for token in tokens[1:]]
        np.testing.assert_allclose(found, model.token_logprobs(prompt.text), atol=1e-4)
        written = done[i].tokens[len(ids) :]
        assert len(written) == done[i].completion_tokens
        for token in done[i].tokens[1:]:
            assert len(token.alternatives) == prompt.logprobs
            likeliest = [other.logprob for other in token.alternatives]
            assert likeliest == sorted(likeliest, reverse=True)
            assert not likeliest or token.logprob <= likeliest[0]
