"""What a model says while it learns: the same as token by token, one row at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import CONFIGS, random_weights

from nlpsuite.models.language_module import build_module
from nlpsuite.training.batch import LossModule
from nlpsuite.training.generate import generate, score_continuations

PROMPTS = [[5, 80, 200, 33, 7, 120, 9], [250], [30, 31, 32], [100, 101, 102, 103, 104]]


@pytest.fixture(scope="module", params=["llama", "qwen3", "gpt2", "lstm"])
def loss(request: pytest.FixtureRequest) -> LossModule:
    config = CONFIGS[request.param]
    module = build_module(config)
    state = {name: torch.from_numpy(values) for name, values in random_weights(config, seed=4).items()}
    module.load_state_dict(state, strict=False)
    module.tie()
    return LossModule(module.eval(), bf16=False)


@torch.no_grad()
def next_logprobs(loss: LossModule, ids: list[int]) -> Any:
    return loss.module(torch.tensor([ids]))[0][0, -1].log_softmax(-1)


def one_by_one(loss: LossModule, prompt: list[int], count: int, ends: set[int]) -> list[int]:
    new: list[int] = []
    while len(new) < count:
        token = int(next_logprobs(loss, [*prompt, *new]).argmax())
        if token in ends:
            return new
        new.append(token)
    return new


def test_greedy_is_argmax_token_by_token_in_any_batch(loss: LossModule) -> None:
    expected = [one_by_one(loss, prompt, 12, set()) for prompt in PROMPTS]
    assert generate(loss, PROMPTS, max_tokens=12, end_ids=()) == expected
    for prompt, new in zip(PROMPTS, expected):
        assert generate(loss, [prompt], max_tokens=12, end_ids=()) == [new]


def test_each_row_ends_at_its_own_end(loss: LossModule) -> None:
    free = [one_by_one(loss, prompt, 12, set()) for prompt in PROMPTS]
    ends = {free[0][3], free[2][5]}
    found = generate(loss, PROMPTS, max_tokens=12, end_ids=ends)
    assert found == [one_by_one(loss, prompt, 12, ends) for prompt in PROMPTS]
    assert len(found[0]) <= 3 and not ends & {token for new in found for token in new}


def test_draws_are_seeded_and_leave_the_global_generator_alone(loss: LossModule) -> None:
    def draw(seed: int) -> list[list[int]]:
        return generate(loss, PROMPTS, max_tokens=8, end_ids=(), temperature=2.0, seed=seed)

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = draw(1)
    assert torch.equal(torch.rand(3), expected)
    assert draw(1) == first != draw(2)
    cold = generate(loss, PROMPTS, max_tokens=8, end_ids=(), temperature=1e-4, seed=3)
    assert cold == generate(loss, PROMPTS, max_tokens=8, end_ids=())


def test_draws_are_as_frequent_as_likely() -> None:
    module = build_module(CONFIGS["lstm"])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.lm_head.bias.fill_(-50.0)
        module.lm_head.bias[7], module.lm_head.bias[9] = 0.0, 2.0  # at temperature 2: 1 to e
    rows = generate(
        LossModule(module, bf16=False), [[1]] * 200, max_tokens=10, end_ids=(), temperature=2.0, seed=0
    )
    drawn = [token for row in rows for token in row]
    assert set(drawn) == {7, 9}
    assert drawn.count(9) / len(drawn) == pytest.approx(0.731, abs=0.03)


def test_a_full_context_ends_the_text() -> None:
    config = CONFIGS["gpt2"]  # 64 positions
    module = build_module(config)
    torch.manual_seed(0)
    module.initialize()
    rows = generate(
        LossModule(module.eval(), bf16=False), [[5] * 60, [5] * 3, [5] * 63], max_tokens=20, end_ids=()
    )
    assert [len(row) for row in rows] == [4, 20, 1]


def test_scores_are_the_sum_of_each_tokens_log_probability(loss: LossModule) -> None:
    continuations = [[[7], [8, 9, 10]], [[1, 2]], [[5], [5, 6], [9]], []]
    scores = score_continuations(loss, PROMPTS, continuations, batch_rows=4)
    for context, choices, found in zip(PROMPTS, continuations, scores, strict=True):
        expected = [
            sum(float(next_logprobs(loss, [*context, *ids[:i]])[ids[i]]) for i in range(len(ids)))
            for ids in choices
        ]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # of norms, which only costs time
def test_bfloat16_says_about_the_same(loss: LossModule) -> None:
    half = LossModule(loss.module, bf16=True)
    one, other = (score_continuations(x, PROMPTS, [[[7, 8]]] * 4) for x in (loss, half))
    assert [row[0] for row in one] == pytest.approx([row[0] for row in other], rel=0.1, abs=0.5)
    assert len(generate(half, PROMPTS, max_tokens=3, end_ids=())) == 4
