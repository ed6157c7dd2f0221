"""From the choices' log-probabilities to labels: a task's ``parse`` as a rule, found by trying and proved at random.

Each label's score is the mean of its choices' log-probabilities, those without content subtracted, divided by the
temperature. Three rules make probabilities of scores; see docs/task-file.md.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlpsuite.data.labels import join_labels
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.export.subject import Subject
from nlpsuite.tasks.export.template import NotATemplateError
from nlpsuite.tasks.probabilities import softmax
from nlpsuite.tasks.result import Output

__all__ = ["Decision", "derive_decision"]

_TRIALS = 200
_TEXT = "I was pleased with it."


@dataclass(frozen=True)
class Decision:
    """How labels follow from the choices' log-probabilities.

    Attributes:
        labels: each with the indices of its choices; the middle label of ``ordered`` has none.
        rule: ``softmax``, ``ordered`` or ``independent``.
        margin: of ``ordered``: distance of the thresholds from even odds.
        offset: of ``independent``: the score at which a label is as likely as not.
        threshold: of ``independent``: the probability from which on a label fits.
        calibrated: log-probabilities after texts without content are subtracted.
        probable: the task gives probabilities, not only a label.
    """

    labels: Mapping[str, tuple[int, ...]]
    rule: str
    margin: float = 0.0
    offset: float = 0.0
    threshold: float = 0.5
    calibrated: bool = False
    probable: bool = True

    def probabilities(self, logprobs: Sequence[float], calibration: Sequence[float] = ()) -> dict[str, float]:
        """The labels' probabilities, by the rule."""
        scores = [a - b for a, b in zip(logprobs, calibration)] if self.calibrated else list(logprobs)
        means = {
            label: sum(scores[i] for i in choices) / len(choices)
            for label, choices in self.labels.items()
            if choices
        }
        if self.rule == "softmax":
            return dict(zip(means, softmax(list(means.values()))))
        if self.rule == "independent":
            return {label: _logistic(score - self.offset) for label, score in means.items()}
        (high, first), (low, second) = means.items()
        odds = first - second
        found = {high: _logistic(odds - self.margin), low: _logistic(-odds - self.margin)}
        [middle] = self.labels.keys() - means.keys()
        return found | {middle: max(0.0, 1 - sum(found.values()))}

    def label(self, probabilities: Mapping[str, float]) -> str:
        """The label, or several joined, for probabilities."""
        if self.rule == "independent":
            return join_labels([name for name in self.labels if probabilities[name] >= self.threshold])
        return max(probabilities, key=probabilities.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON values."""
        rule: dict[str, Any] = {"kind": self.rule}
        if self.rule == "ordered":
            rule["margin"] = self.margin
        if self.rule == "independent":
            rule |= {"offset": self.offset, "threshold": self.threshold}
        labels = [{"label": name, "choices": list(choices)} for name, choices in self.labels.items()]
        return {"labels": labels, "rule": rule}


def derive_decision(subject: Subject, prompt: Prompt) -> Decision:
    """The rule of a task whose prompts have these choices.

    Raises:
        NotATemplateError: none of the rules gives what the task gives.
    """
    record = subject.units(_TEXT)[0]
    count = len(prompt.choices)

    def ask(logprobs: Sequence[float], calibration: Sequence[float]) -> Output:
        best = prompt.choices[max(range(count), key=logprobs.__getitem__)]
        given = tuple(calibration) if prompt.calibration else ()
        return subject.task.parse(
            Completion(best, "choice", 1, logprobs=tuple(logprobs), calibration_logprobs=given),
            record,
            subject.options,
        )

    decision = _guess(ask, prompt)
    if decision is None or not _agrees(decision, ask, count):
        raise NotATemplateError(
            "its answers follow from the choices' log-probabilities in a way of their own"
        )
    if decision.rule == "independent" and subject.temperature != 1:
        raise NotATemplateError("several labels at a temperature can't be described")
    return decision


_Ask = Callable[[Sequence[float], Sequence[float]], Output]


def _guess(ask: _Ask, prompt: Prompt) -> Decision | None:
    count = len(prompt.choices)
    even, zero = [-2.0] * count, [0.0] * count
    base = ask(even, zero)
    if base.probabilities is None:
        labels = {choice.strip(): (i,) for i, choice in enumerate(prompt.choices)}
        return Decision(labels, "softmax", probable=False) if len(labels) == count else None
    members: dict[str, tuple[int, ...]] = {label: () for label in base.probabilities}
    for i in range(count):
        raised = ask([-1.0 if i == j else -2.0 for j in range(count)], zero).probabilities or {}
        gains = {label: raised[label] - base.probabilities[label] for label in members}
        best = max(gains, key=gains.__getitem__)
        members[best] = (*members[best], i)
    calibrated = bool(prompt.calibration)
    without = [label for label, choices in members.items() if not choices]
    if len(without) == 1 and len(members) == 3 and count == 2:
        likely = base.probabilities[next(iter(members))]
        return Decision(members, "ordered", margin=_tidy(-_logit(likely)), calibrated=calibrated)
    if without:
        return None
    if abs(sum(base.probabilities.values()) - 1) < 1e-9 and _competes(ask, count):
        return Decision(members, "softmax", calibrated=calibrated)
    offset = _tidy(-2.0 - _logit(next(iter(base.probabilities.values()))))
    threshold = _threshold(ask, members, offset, count)
    return Decision(members, "independent", offset=offset, threshold=threshold, calibrated=calibrated)


def _competes(ask: _Ask, count: int) -> bool:
    """Whether a label's probability depends on the other labels' scores."""
    found = ask([-1.0] * count, [0.0] * count).probabilities or {}
    return abs(sum(found.values()) - 1) < 1e-9


def _threshold(ask: _Ask, members: Mapping[str, Sequence[int]], offset: float, count: int) -> float:
    """The probability from which on the first label fits, by bisection."""
    choices = next(iter(members.values()))

    def fits(probability: float) -> bool:
        score = offset + _logit(probability)
        logprobs = [score if i in choices else offset - 40.0 for i in range(count)]
        return bool(ask(logprobs, [0.0] * count).label)

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return _tidy(high)


def _agrees(decision: Decision, ask: _Ask, count: int) -> bool:
    generator = random.Random(0)
    for _ in range(_TRIALS):
        spread = generator.choice((0.5, 3.0, 20.0))
        logprobs = [-abs(generator.gauss(0, spread)) for _ in range(count)]
        calibration = [-abs(generator.gauss(0, 3)) for _ in range(count)]
        output = ask(logprobs, calibration)
        ours = decision.probabilities(logprobs, calibration)
        if decision.probable:
            theirs = output.probabilities or {}
            if ours.keys() != theirs.keys() or any(abs(ours[k] - theirs[k]) > 1e-9 for k in ours):
                return False
        near = (
            decision.rule == "independent" and min(abs(p - decision.threshold) for p in ours.values()) < 1e-6
        )
        if not near and decision.label(ours) != (output.text if output.label is None else output.label):
            return False
    return True


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-max(x, -700.0)))  # beyond that exp overflows


def _logit(probability: float) -> float:
    probability = min(max(probability, 1e-300), 1 - 1e-16)
    return math.log(probability) - math.log1p(-probability)


def _tidy(value: float) -> float:
    """0.9 rather than 0.8999999999999999."""
    return float(f"{value:.10g}")
