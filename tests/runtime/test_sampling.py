"""Drawing tokens: each setting keeps what it says, and draws follow the probabilities."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nlpsuite.errors import OptionError
from nlpsuite.runtime.prompt import Sampling
from nlpsuite.runtime.sampling import Sampler, log_softmax

PROBABILITIES = np.array([0.05, 0.4, 0.15, 0.3, 0.1])
LOGITS = np.log(PROBABILITIES).astype(np.float32) + 3

logit_rows = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-100, 100, width=32))


def drawn(sampler: Sampler, logits: np.ndarray) -> int:
    """The next token, recorded."""
    adjusted = logits.copy()
    sampler.adjust(adjusted)
    token = sampler.draw(adjusted)
    sampler.record(token)
    return token


def draws(sampling: Sampling, logits: np.ndarray = LOGITS, count: int = 4000) -> Counter[int]:
    sampler = Sampler(sampling)
    return Counter(sampler.draw(logits.copy()) for _ in range(count))


def assert_drawn_like(counts: Counter[int], probabilities: dict[int, float]) -> None:
    total = counts.total()
    assert set(counts) == set(probabilities)
    for token, p in probabilities.items():  # five standard deviations
        assert abs(counts[token] / total - p) < 5 * np.sqrt(p * (1 - p) / total)


def test_greedy_takes_the_likeliest_and_the_first_of_equals() -> None:
    assert draws(Sampling(), count=5) == {1: 5}
    assert Sampler(Sampling()).draw(np.array([1, 7, 7, 2], np.float32)) == 1


@given(logit_rows, st.integers(0, 2**32))
def test_greedy_ignores_the_seed(logits: np.ndarray, seed: int) -> None:
    assert Sampler(Sampling(seed=seed)).draw(logits.copy()) == int(logits.argmax())


def test_temperature_one_draws_the_models_own_probabilities() -> None:
    assert_drawn_like(draws(Sampling(temperature=1)), dict(enumerate(PROBABILITIES)))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_or_flattens(temperature: float) -> None:
    scaled = PROBABILITIES ** (1 / temperature)
    assert_drawn_like(draws(Sampling(temperature=temperature)), dict(enumerate(scaled / scaled.sum())))


@pytest.mark.parametrize("temperature", [5e-324, 1e-40, 1e-10, 100.0])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    counts = draws(Sampling(temperature=temperature), LOGITS * 1e4, count=50)
    if temperature < 1:
        assert counts == {1: 50}
    assert counts.total() == 50


def test_top_k_keeps_k() -> None:
    assert_drawn_like(draws(Sampling(temperature=1, top_k=2)), {1: 4 / 7, 3: 3 / 7})
    assert draws(Sampling(temperature=100, top_k=1), count=200) == {1: 200}
    assert set(draws(Sampling(temperature=1, top_k=50))) == set(range(5))


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    assert_drawn_like(draws(Sampling(temperature=1, top_p=0.6)), {1: 4 / 7, 3: 3 / 7})
    assert set(draws(Sampling(temperature=1, top_p=0.75))) == {1, 3, 2}
    assert set(draws(Sampling(temperature=1, top_p=0.01), count=200)) == {1}


def test_min_p_keeps_a_fraction_of_the_best() -> None:
    assert_drawn_like(draws(Sampling(temperature=1, min_p=0.3)), {1: 8 / 17, 3: 6 / 17, 2: 3 / 17})
    assert set(draws(Sampling(temperature=1, min_p=1.0), count=200)) == {1}


def test_filters_combine() -> None:
    sampling = Sampling(temperature=1, top_k=4, top_p=0.9, min_p=0.5)
    assert_drawn_like(draws(sampling), {1: 4 / 7, 3: 3 / 7})


@given(logit_rows, st.integers(0, 60), st.floats(0.01, 1), st.floats(0, 1), st.floats(0.01, 100))
def test_every_setting_draws_a_token_that_it_keeps(
    logits: np.ndarray, top_k: int, top_p: float, min_p: float, temperature: float
) -> None:
    sampling = Sampling(temperature, top_k, top_p, min_p)
    token = Sampler(sampling).draw(logits.copy())
    better = int((logits > logits[token]).sum())
    assert not top_k or better < top_k
    probabilities = np.exp(log_softmax(logits / np.float64(temperature)))
    assert probabilities[token] >= min_p * probabilities.max() * (1 - 1e-6)


def test_repetition_penalty_weakens_what_was_drawn() -> None:
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    logits = np.array([4.0, 3.0, -1.0], np.float32)
    assert [drawn(sampler, logits) for _ in range(3)] == [0, 1, 0]  # 4, then 3 > 2, then 2 > 1.5
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    logits = np.array([-1.0, -1.5], np.float32)
    assert [drawn(sampler, logits) for _ in range(3)] == [0, 1, 0]  # -1, then -1.5 > -2, then -2 > -3


def test_presence_and_frequency_penalties_are_subtracted() -> None:
    logits = np.array([4.0, 3.0, 2.2], np.float32)

    def run(**penalties: float) -> list[int]:
        sampler = Sampler(Sampling(**penalties))  # type: ignore[arg-type]
        return [drawn(sampler, logits) for _ in range(5)]

    assert run(presence_penalty=1.5) == [0, 1, 0, 0, 0]  # 4; 3 > 2.5; then 2.5 > 2.2 > 1.5
    assert run(frequency_penalty=0.6) == [0, 0, 1, 0, 1]  # 4; 3.4; 3 > 2.8; 2.8; 2.4 > 2.2
    assert run(presence_penalty=-2) == [0, 0, 0, 0, 0]


def reference(sampling: Sampling, logits: np.ndarray) -> dict[int, float]:
    """The probabilities of the tokens that are kept, by sorting all of them."""
    ids = np.lexsort((np.arange(len(logits)), -logits))
    ids = ids[: sampling.top_k] if sampling.top_k else ids
    p = np.exp((logits[ids].astype(np.float64) - logits.max()) / sampling.temperature)
    p /= p.sum()
    keep = int(np.searchsorted(p.cumsum(), sampling.top_p)) + 1 if sampling.top_p < 1 else len(ids)
    if sampling.min_p:
        keep = min(keep, int((p >= sampling.min_p * p[0]).sum()))
    return dict(zip(ids[:keep].tolist(), (p[:keep] / p[:keep].sum()).tolist()))


@pytest.mark.parametrize("top_k", [0, 3, 40])
@pytest.mark.parametrize("top_p", [1.0, 0.99, 0.5])
@pytest.mark.parametrize("min_p", [0.0, 0.02])
def test_a_large_vocabulary_is_drawn_from_as_if_it_were_sorted(
    top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.random.default_rng(7).normal(0, 2, 3_000).round(1).astype(np.float32)  # with equal ones
    sampling = Sampling(0.8, top_k, top_p, min_p)
    expected = reference(sampling, logits)
    counts = draws(sampling, logits, 1_500)
    assert set(counts) <= set(expected)
    # Gathered into groups of similar probability, from the likeliest down.
    order = sorted(expected, key=expected.__getitem__, reverse=True)
    for group in np.array_split(order, min(5, len(order))):
        p = sum(expected[token] for token in group.tolist())
        drawn = sum(counts[token] for token in group.tolist()) / counts.total()
        assert abs(drawn - p) < 5 * np.sqrt(max(p * (1 - p), 1e-9) / counts.total()) + 1e-9


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = np.full(500, -np.inf, np.float32)
    logits[[5, 77]] = 1, 0
    for sampling in (Sampling(1), Sampling(1, top_k=10), Sampling(1, top_p=0.999), Sampling(1, min_p=0.1)):
        assert set(draws(sampling, logits, 100)) == {5, 77}


def test_copy_bias_goes_on_with_a_passage_of_the_source() -> None:
    logits = np.array([1.0, 0.9, 0.0, 0.0, 0.0], np.float32)  # by itself: 0 for ever
    source = [4, 0, 0, 2, 3, 0, 2, 1]

    def run(bias: float, count: int = 5) -> list[int]:
        sampler = Sampler(Sampling(copy_bias=bias), source=source)
        return [drawn(sampler, logits) for _ in range(count)]

    assert run(0.0) == [0, 0, 0, 0, 0]
    # After 0 0 comes 2; after 0 2 come 3 and 1, of which 1 is likelier; 2 1 goes on nowhere.
    assert run(3.0) == [0, 0, 2, 1, 0]
    assert run(0.9) == [0, 0, 0, 0, 0]  # too weak


def test_the_same_seed_draws_the_same() -> None:
    def run(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1, seed=seed))
        return [sampler.draw(LOGITS.copy()) for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_neighbours_do_not_matter() -> None:
    alone = Sampler(Sampling(temperature=1, seed=3))
    expected = [alone.draw(LOGITS.copy()) for _ in range(50)]
    row, *others = (Sampler(Sampling(temperature=1, seed=seed)) for seed in (3, 3, 1))
    drawn = []
    for step in range(50):
        for other in others[: step % 3]:
            other.draw(LOGITS.copy())
        drawn.append(row.draw(LOGITS.copy()))
    assert drawn == expected


@given(hnp.arrays(np.float32, (3, 7), elements=st.floats(-1000, 1000, width=32)))
def test_log_softmax(logits: np.ndarray) -> None:
    result = log_softmax(logits)
    assert result.dtype == np.float64 and (result <= 0).all()
    np.testing.assert_allclose(np.exp(result).sum(axis=-1), 1, rtol=1e-12)
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(
        result - result.max(-1, keepdims=True), wide - wide.max(-1, keepdims=True), atol=1e-9
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": 11.0},
        {"presence_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"copy_bias": -1.0},
        {"copy_bias": 101.0},
        {"seed": -1},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]
