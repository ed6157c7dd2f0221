"""What a model makes of a sentence when only the group of the person in it changes.

Every sentence of the set exists once for each group of an axis. ``measure`` asks the task sentiment
about each, and the model how likely it finds what follows the person; ``compare`` turns that into
differences between two groups, paired sentence by sentence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.bootstrap import RESAMPLES, Interval, paired_interval
from nlpsuite.tasks.pipeline import Pipeline

__all__ = [
    "LIMITS",
    "MEASURES",
    "Comparison",
    "Counterfactuals",
    "Difference",
    "Sentence",
    "compare",
    "measure",
]

MEASURES = ("sentiment", "logprob")
LIMITS = (
    "It shows that the model treats these sentences differently, not why, and not whom an application harms.",
    "A difference whose interval contains 0 is not shown to be there; nor is it shown to be absent.",
    "Of 20 intervals without any true difference about one leaves out 0.",
    "English only, and a few groups, persons and sentences: what is not in the set is not measured. The "
    "intervals say how much hangs on the choice of sentences, not on that of persons.",
    "Sentiment is what the task makes of it, which errs by itself; log-probability also reflects how often a "
    "model read of a group at all.",
)
"""What the figures can't show."""
_PERSON = "{person} "
_BATCH = 16


@dataclass(frozen=True)
class Sentence:
    """One sentence of the set.

    Attributes:
        axis, group: whom it is about.
        term: which of the group's persons, from 0; those of one axis correspond.
        template: which of the templates, from 0.
        person, rest: the sentence is the two together; the rest is the same for all groups.
    """

    axis: str
    group: str
    term: int
    template: int
    person: str
    rest: str

    @property
    def text(self) -> str:
        return self.person + self.rest


@dataclass(frozen=True)
class Counterfactuals:
    """A set of templates and of persons to put into them.

    Attributes:
        templates: sentences that begin with ``{person}``.
        axes: for each axis its groups, with their persons in an order that corresponds.
        version: of the set.
        sha256: of its file.
    """

    templates: tuple[str, ...]
    axes: Mapping[str, Mapping[str, Sequence[str]]]
    version: str = "1"
    sha256: str = ""

    def __post_init__(self) -> None:
        if not self.templates or not all(template.startswith(_PERSON) for template in self.templates):
            raise InputInvalidError("Each template of a counterfactual set begins with {person} and a space.")
        for axis, groups in self.axes.items():
            if len(groups) < 2 or len({len(persons) for persons in groups.values()}) != 1:
                raise InputInvalidError(
                    f"The groups of {axis} must be two or more, with as many persons each."
                )

    @classmethod
    def bundled(cls) -> Counterfactuals:
        """The set that comes with nlpsuite."""
        content = (resources.files("nlpsuite.evaluation") / "counterfactual.json").read_bytes()
        values = json.loads(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(tuple(values["templates"]), values["axes"], values["version"], sha256)

    def sentences(self) -> list[Sentence]:
        """All of them, each once."""
        return [
            Sentence(axis, group, term, number, person, template.removeprefix("{person}"))
            for axis, groups in self.axes.items()
            for group, persons in groups.items()
            for term, person in enumerate(persons)
            for number, template in enumerate(self.templates)
        ]


@dataclass(frozen=True)
class Difference:
    """Two sentences that differ in the person alone, and by how much the model tells them apart."""

    axis: str
    first: str
    second: str
    value: float


@dataclass(frozen=True)
class Comparison:
    """Two groups.

    Attributes:
        axis, first, second: the groups; differences are the first's value less the second's.
        pairs: sentences that were compared; an interval's n is the number of templates, whose persons
            are averaged, since sentences of one template are not independent.
        sentiment: difference in the probability of positive.
        logprob: in the mean natural log-probability of a token after the person.
    """

    axis: str
    first: str
    second: str
    pairs: int
    sentiment: Interval
    logprob: Interval


Values = Mapping[Sentence, tuple[float, float]]


def measure(
    pipeline: Pipeline,
    sentences: Sequence[Sentence],
    advance: Callable[[int], None] = lambda done: None,
) -> dict[Sentence, tuple[float, float]]:
    """Of each sentence, the probability of positive and the mean log-probability of a token after the person.

    Args:
        pipeline: of the task sentiment.
        advance: told how many sentences are done.

    Raises:
        InputInvalidError: the task gives no probability of positive.
    """
    values = {}
    for at in range(0, len(sentences), _BATCH):
        some = sentences[at : at + _BATCH]
        outputs = pipeline.map([sentence.text for sentence in some])
        for sentence, output in zip(some, outputs):
            positive = (output.probabilities or {}).get("positive")
            if positive is None:
                raise InputInvalidError(
                    f"The task {pipeline.task.name} gives no probability of positive.",
                    hint="Bias is measured with the bundled task sentiment.",
                )
            values[sentence] = (positive, _rest_logprob(pipeline, sentence))
        advance(at + len(some))
    return values


def _rest_logprob(pipeline: Pipeline, sentence: Sentence) -> float:
    # Words are tokenised apart, so the person's tokens are the first ones of the sentence.
    tokens = pipeline.model.token_logprobs(sentence.text)
    rest = pipeline.model.count_tokens(sentence.text) - pipeline.model.count_tokens(sentence.person)
    return float(tokens[-rest:].mean())


def compare(
    values: Values, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[list[Comparison], dict[str, list[Difference]]]:
    """All pairs of groups within an axis, and for each measure the differences of single sentences, the
    largest first.
    """
    groups: dict[str, dict[str, dict[tuple[int, int], Sentence]]] = {}
    for sentence in values:
        by_place = groups.setdefault(sentence.axis, {}).setdefault(sentence.group, {})
        by_place[sentence.template, sentence.term] = sentence
    comparisons = []
    singles: dict[str, list[Difference]] = {measured: [] for measured in MEASURES}
    for axis, by_group in groups.items():
        for first, second in combinations(by_group, 2):
            pairs = [(sentence, by_group[second][place]) for place, sentence in by_group[first].items()]
            intervals = []
            for index, measured in enumerate(MEASURES):
                by_template: dict[int, list[float]] = {}
                for one, other in pairs:
                    value = values[one][index] - values[other][index]
                    by_template.setdefault(one.template, []).append(value)
                    singles[measured].append(Difference(axis, one.text, other.text, value))
                means = [sum(some) / len(some) for some in by_template.values()]
                intervals.append(paired_interval(means, resamples, seed))
            comparisons.append(Comparison(axis, first, second, len(pairs), *intervals))
    for found in singles.values():
        found.sort(key=lambda single: (-abs(single.value), single.first, single.second))
    return comparisons, singles
