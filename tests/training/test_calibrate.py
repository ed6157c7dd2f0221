"""The temperature of an adapter's choices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.probabilities import softmax
from nlpsuite.training.calibrate import fit_temperature

SCORES = st.lists(st.floats(-50, 0), min_size=2, max_size=6)


def drawn(temperature: float, rows: int = 3_000) -> tuple[list[list[float]], list[int]]:
    """Scores, and right choices drawn with the probabilities that they have at a temperature."""
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(rows, 3)) * 4
    right = [int(generator.choice(3, p=softmax((row / temperature).tolist()))) for row in scores]
    return scores.tolist(), right


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_it_finds_the_temperature_that_the_answers_were_drawn_with(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.08)


def test_few_rows_do_not_make_it_certain() -> None:
    assert fit_temperature([], []) == 1
    assert 0.5 < fit_temperature([[0.0, -2.0]] * 3, [0] * 3) < 1  # all right
    assert 1 < fit_temperature([[0.0, -2.0]] * 3, [1] * 3) < 3  # all wrong
    assert fit_temperature([[0.0, -1e4], [0.0, -1e4, -5.0]], [1, 1]) == 20


@given(SCORES, st.floats(0.05, 20))
def test_a_temperature_keeps_the_order(scores: list[float], temperature: float) -> None:
    completion = Completion("a", "choice", 1, logprobs=tuple(scores), calibration_logprobs=tuple(scores))
    found = completion.at_temperature(temperature)
    assert completion.at_temperature(1) is completion
    if temperature != 1:
        assert sum(map(math.exp, found.logprobs)) == pytest.approx(1)
        assert found.calibration_logprobs == pytest.approx([score / temperature for score in scores])
        assert all(
            a >= b - 1e-9
            for (x, a) in zip(scores, found.logprobs)
            for (y, b) in zip(scores, found.logprobs)
            if x >= y
        )


def test_a_generated_text_has_no_temperature() -> None:
    completion = Completion("text", "stop", 1)
    assert completion.at_temperature(2) is completion
