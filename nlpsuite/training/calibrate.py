"""Probabilities that are as often right as they say: one temperature for an adapter's choices.

Temperature scaling: Guo et al. 2017 (arXiv:1706.04599).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nlpsuite.data.examples import Example
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.sampling import log_softmax
from nlpsuite.tasks.base import Task
from nlpsuite.training.adapter import divided, options_of

__all__ = ["choice_scores", "fit_temperature"]

_RANGE = math.log(20)  # temperatures from 1/20 to 20
_STEPS = 601
# Standard deviation of the temperature's logarithm before any row is seen. Without it a few rows that are all
# right would make every answer certain; a hundred rows outweigh it.
_SPREAD = 0.5


def fit_temperature(scores: Sequence[Sequence[float]], right: Sequence[int]) -> float:
    """The most probable temperature of choices: the least negative log-likelihood of the right ones, with a
    log-normal prior around 1.

    Args:
        scores: for each row the log-probabilities of its choices, up to a constant; rows may differ in number.
        right: index of the right choice of each row.

    Returns:
        A temperature between 0.05 and 20, to three digits; 1 without rows.
    """
    if not scores:
        return 1.0
    logarithms = np.linspace(-_RANGE, _RANGE, _STEPS)
    loss = 0.5 * (logarithms / _SPREAD) ** 2
    for row, index in zip(scores, right):
        scaled = np.asarray(row, np.float64) / np.exp(logarithms)[:, None]
        loss -= log_softmax(scaled)[:, index]
    return float(f"{math.exp(logarithms[int(np.argmin(loss))]):.3g}")


def choice_scores(
    model: LanguageModel, task: Task[Any], options: Any, examples: Iterable[Example]
) -> tuple[list[tuple[float, ...]], list[int]]:
    """The model's scores of each example's choices, less its bias where the prompt measures one, and the index of
    the right one.

    Examples without choices, and those that don't fit into the context, are left out.

    Args:
        options: of the task.
    """
    prompts: list[Prompt] = []
    right: list[int] = []
    for example in examples:
        own = options_of(example, task, options)
        for piece in divided(example, task, options):
            prompt = task.prompt(piece.record, own)
            longest = max((model.count_tokens(choice) for choice in prompt.choices), default=0)
            if longest and model.count_tokens(prompt) + longest <= model.context_length:
                prompts.append(prompt)
                right.append(prompt.choices.index(task.target(piece.reference, piece.record, own)))
    scores = [
        tuple(score - bias for score, bias in zip(completion.logprobs, completion.calibration_logprobs))
        if completion.calibration_logprobs
        else completion.logprobs
        for completion in model.complete(prompts)
    ]
    return scores, right
