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


# A summary is no more than this share of the candidates' words, but for the sentence with which it exceeds it.
_LARGEST_SHARE = 0.4


def choose(
    candidates: Sequence[Candidate],
    logprobs: Sequence[float],
    budget: Budget,
    asked: frozenset[str] = frozenset(),
) -> list[str]:
    """The sentences of the summary, in the order of the text.

    They are taken one by one, best first, as maximal marginal relevance does (Carbonell and Goldstein 1998). A
    sentence that refers to the one before brings it along if there is room; connectives to others are left out.

    Args:
        logprobs: natural log-probability of each candidate's beginning after the text and the cue.
        asked: words of the user's question.
    """
    merits = [
        logprob + _merit(each, i / max(1, len(candidates) - 1)) + _relevance(each, asked)
        for i, (each, logprob) in enumerate(zip(candidates, logprobs, strict=True))
    ]
    words = min(budget.words, _LARGEST_SHARE * sum(each.length for each in candidates))
    chosen: list[int] = []
    while len(chosen) < min(budget.sentences, len(candidates)):
        if chosen and sum(candidates[i].length for i in chosen) >= words:
            break
        beside = [candidates[i] for i in chosen]
        scores = {
            i: merits[i] + _fit(candidates[i], beside) for i in range(len(candidates)) if i not in chosen
        }
        best = max(scores, key=scores.__getitem__)
        chosen.append(best)
        if len(chosen) < budget.sentences and best - 1 not in chosen and _refers(candidates, best):
            chosen.append(best - 1)
    return [_in_place(candidates[i], i - 1 in chosen) for i in sorted(chosen)]


def _refers(candidates: Sequence[Candidate], i: int) -> bool:
    """Whether a candidate refers to the one before, which is worth having."""
    if i == 0 or not candidates[i].dependent:
        return False
    before = candidates[i - 1]
    return before.place == candidates[i].place - 1 and not (
        before.pleasantry or before.personal or before.asks
    )


def _in_place(candidate: Candidate, follows: bool) -> str:
    return candidate.text if follows else candidate.alone


def _merit(candidate: Candidate, position: float) -> float:
    """What speaks for a candidate by itself, in nats; ``position`` is from 0 to 1.

    The weights were fitted on the training part of SciTLDR and on benchmarks/summaries; see dev/LOG.md.
    """
    return (
        24 * candidate.centrality
        + 3 * candidate.opens
        + 3 * candidate.number
        + 4 * candidate.conclusive
        - 4 * candidate.personal
        - 16 * candidate.pleasantry
        - 5 * candidate.asks
        - max(0, 12 - candidate.length)
        + 2 * candidate.item
        - position
    )


def _relevance(candidate: Candidate, asked: frozenset[str]) -> float:
    """What speaks for a candidate as an answer to a question, in nats."""
    return 16 * len(candidate.words & asked) / max(1, len(asked))


def _fit(candidate: Candidate, chosen: Sequence[Candidate]) -> float:
    """What speaks for a candidate beside those chosen, in nats."""
    fit = 0.0
    goes_on = candidate.dependent and any(each.place == candidate.place - 1 for each in chosen)
    if candidate.dependent and not goes_on:
        fit -= 3
    if not goes_on and any(each.paragraph == candidate.paragraph for each in chosen):
        fit -= 2
    repeated = max((len(candidate.words & each.words) for each in chosen), default=0)
    return fit - 6 * repeated / max(1, len(candidate.words))
