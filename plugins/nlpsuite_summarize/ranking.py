"""Which candidates make the summary: the model's scores, what else speaks for them, and no repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlpsuite_summarize.candidates import Candidate

__all__ = ["Budget", "choose"]


@dataclass(frozen=True)
class Budget:
    """How long a summary may be.

    Attributes:
        sentences: most of them.
        words: no further sentence is taken from here on.
    """

    sentences: int
    words: int


def choose(
    candidates: Sequence[Candidate], logprobs: Sequence[float], budget: Budget, *, items: bool = False
) -> list[Candidate]:
    """The candidates of the summary, in the order of the text.

    They are taken one by one, best first, as maximal marginal relevance does (Carbonell and Goldstein 1998).

    Args:
        logprobs: natural log-probability of each candidate's beginning after the text and the cue.
        items: items of lists are as welcome as sentences.
    """
    chosen: list[int] = []
    base = [
        logprob + _merit(candidate, items) for candidate, logprob in zip(candidates, logprobs, strict=True)
    ]
    while len(chosen) < min(budget.sentences, len(candidates)):
        if chosen and sum(candidates[i].length for i in chosen) >= budget.words:
            break
        scores = {i: base[i] + _fit(i, chosen, candidates) for i in range(len(candidates)) if i not in chosen}
        chosen.append(max(scores, key=scores.__getitem__))
    return [candidates[i] for i in sorted(chosen)]


def _merit(candidate: Candidate, items: bool) -> float:
    """What speaks for a candidate by itself, in nats."""
    return (
        8 * candidate.centrality
        - 0.1 * max(0, candidate.length - 30)
        - 8 * candidate.pleasantry
        - 3 * candidate.asks
        - 2 * candidate.quotes
        - 2 * (candidate.item and not items)
    )


def _fit(i: int, chosen: Sequence[int], candidates: Sequence[Candidate]) -> float:
    """What speaks for a candidate beside those chosen, in nats."""
    candidate = candidates[i]
    fit = 0.0
    if candidate.dependent and not any(candidates[j].place == candidate.place - 1 for j in chosen):
        fit -= 3
    repeated = max((len(candidate.words & candidates[j].words) for j in chosen), default=0)
    return fit - 6 * repeated / max(1, len(candidate.words))
