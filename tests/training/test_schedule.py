"""The learning rate over a budget, and when the held-out data are looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.training.schedule import Schedule
from nlpsuite.training.settings import LoopSettings

shares = st.floats(0, 1)


def schedule(**settings: float) -> Schedule:
    return Schedule(LoopSettings(**{"steps": 100, "lr": 0.01, "warmup": 0.1, "final_lr": 0.2, **settings}))  # type: ignore[arg-type]


def test_the_rate_rises_and_falls() -> None:
    rate = schedule().rate
    assert [rate(0.025), rate(0.05), rate(0.1)] == pytest.approx([0.0025, 0.005, 0.01])
    assert rate(0.55) == pytest.approx(0.006)  # half way down to a fifth
    assert rate(1.0) == rate(1.5) == pytest.approx(0.002)


def test_the_first_step_teaches_something() -> None:
    assert schedule().rate(0.0) == pytest.approx(1e-4)
    assert schedule(warmup=0.0).rate(0.0) == pytest.approx(0.01)


@given(warmup=st.floats(0, 0.99), final=shares, one=shares, other=shares)
def test_it_only_falls_after_the_warm_up(warmup: float, final: float, one: float, other: float) -> None:
    rate = schedule(warmup=warmup, final_lr=final).rate
    early, late = sorted((one, other))
    assert 0 < rate(early) <= 0.01 or (final == 0 and early == 1)
    assert rate(late) >= 0.01 * final - 1e-15 or late < warmup
    if early >= warmup:
        assert rate(early) >= rate(late)


@given(steps=st.integers(1, 3_000), evaluations=st.integers(1, 200))
def test_evaluations_are_as_many_as_asked_for(steps: int, evaluations: int) -> None:
    plan = schedule(steps=steps, evaluations=evaluations)
    shares = [plan.progress(step, 0.0) for step in range(steps + 1)]
    due = [plan.evaluation_due(before, after) for before, after in zip(shares, shares[1:])]
    assert sum(due) == min(steps, evaluations)  # a step is looked at once
    assert due[-1]
    if steps % evaluations == 0:  # evenly spaced
        at = [step for step, looked in enumerate(due, start=1) if looked]
        assert at == list(range(steps // evaluations, steps + 1, steps // evaluations))


@given(ticks=st.lists(st.floats(0.01, 30), min_size=1, max_size=60))
def test_a_budget_of_minutes_follows_the_clock(ticks: list[float]) -> None:
    plan = Schedule(LoopSettings(minutes=2.0, evaluations=4))
    assert plan.progress(999, 60.0) == 0.5
    seconds, share, looks = 0.0, 0.0, 0
    for tick in ticks:
        seconds += tick
        before, share = share, plan.progress(0, seconds)
        due = plan.evaluation_due(before, share)
        assert due == (int(before * 4 + 1e-9) < int(share * 4 + 1e-9))
        looks += due
        if share >= 1:
            assert due and 1 <= looks <= 4
            return
