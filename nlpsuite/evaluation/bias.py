"""How a model's answers change when only the group of the person in a sentence changes.

Every sentence of the set exists once for each group of an axis. ``measure_sentences`` takes the sentiment of each,
and the likelihood of what follows the person; ``compare_groups`` turns these into differences between two groups,
paired sentence by sentence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.batch.run import JobReporter
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.resampling import Estimate, estimate_mean
from nlpsuite.evaluation.provenance import describe_bundle
from nlpsuite.evaluation.report import Report
from nlpsuite.evaluation.tables import Section, shown, shown_interval

if TYPE_CHECKING:
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = [
    "LIMITS",
    "MEASURES",
    "BiasReport",
    "Counterfactuals",
    "GroupDifference",
    "Sentence",
    "SentencePair",
    "compare_groups",
    "evaluate_bias",
    "measure_sentences",
]

MEASURES = ("sentiment", "logprob")
_RESAMPLES = 2_000
LIMITS = (
    "It shows that the model treats these sentences differently, not why, and not whom an application harms.",
    "An interval that contains 0 doesn't establish a difference, nor does it rule one out.",
    "About 1 in 20 intervals excludes 0 even if there is no true difference.",
    "It covers English only, and few groups, persons and sentences. The intervals reflect the choice of "
    "sentences, not that of persons.",
    "Sentiment is the task's estimate, which has errors of its own; log-probability also reflects how often a "
    "group occurs in the model's training data.",
)
"""What the figures can't show."""
_TITLES = {"sentiment": "P(positive)", "logprob": "log-probability per token"}
_SHOWN = 3
_PERSON = "{person} "
_BATCH = 16


@dataclass(frozen=True)
class Sentence:
    """One sentence of the set.

    Attributes:
        axis, group: of the person.
        term: index of the person; those of the groups of an axis correspond.
        template: index of the template.
        person, rest: the two parts of the sentence; the rest is the same for all groups.
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
    """A set of templates, and persons to insert in them.

    Attributes:
        templates: sentences that begin with ``{person}``.
        axes: groups of each axis, with their persons in corresponding order.
        version: of the set.
        sha256: of its file.
    """

    templates: tuple[str, ...]
    axes: Mapping[str, Mapping[str, Sequence[str]]]
    version: str = "1"
    sha256: str = ""

    def __post_init__(self) -> None:
        if not self.templates or not all(template.startswith(_PERSON) for template in self.templates):
            raise InputInvalidError(
                "Each template of a counterfactual set must begin with {person} and a space."
            )
        for axis, groups in self.axes.items():
            if len(groups) < 2 or len({len(persons) for persons in groups.values()}) != 1:
                raise InputInvalidError(
                    f"The axis {axis} needs two or more groups, with equally many persons."
                )

    @classmethod
    def bundled(cls) -> Counterfactuals:
        """The set that is part of nlpsuite."""
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
class SentencePair:
    """Two sentences that differ only in the person, and the difference of their values."""

    axis: str
    first: str
    second: str
    value: float


@dataclass(frozen=True)
class GroupDifference:
    """The difference between two groups.

    Attributes:
        axis, first, second: the groups; differences are the first's value minus the second's.
        pairs: sentences that were compared. An interval's n is the number of templates: the sentences of a
            template aren't independent, so they are averaged.
        sentiment: difference in the probability of positive.
        logprob: difference in the mean natural log-probability of a token after the person.
    """

    axis: str
    first: str
    second: str
    pairs: int
    sentiment: Estimate
    logprob: Estimate


@dataclass(frozen=True)
class BiasReport(Report):
    """Differences between groups. ``str(report)`` is the report for a terminal.

    Attributes:
        model: name, precision and fingerprint.
        set: version and sha256 of the set of sentences, how many templates and sentences it has.
        differences: of all pairs of groups.
        largest: for each of ``MEASURES`` the pairs of sentences that differ most.
        resamples, seed: of the intervals.
        plugin: distribution and version of the task sentiment.
        notes: what the figures can't show.
    """

    model: Mapping[str, str]
    set: Mapping[str, Any]
    differences: tuple[GroupDifference, ...]
    largest: Mapping[str, tuple[SentencePair, ...]]
    resamples: int
    seed: int
    plugin: Mapping[str, str]
    notes: tuple[str, ...] = LIMITS

    def headline(self) -> str:
        return f"{self.model['name']}: {self.set['sentences']:,} sentences from {self.set['templates']} templates"

    def origin(self) -> Mapping[str, Any]:
        return {"model": self.model, "set": self.set, "plugin": self.plugin, "nlpsuite": __version__}

    def method(self) -> str:
        return f"* The 95 % interval excludes 0; percentile bootstrap of {self.resamples:,} resamples of templates"

    def sections(self) -> list[Section]:
        intervals = [title for name in MEASURES for title in (_TITLES[name], "95 % interval")]
        rows = [
            (found.axis, f"{found.first} − {found.second}", f"{found.pairs:,}",
             *_cells(found.sentiment), *_cells(found.logprob))
            for found in self.differences
        ]  # fmt: skip
        largest = [
            Section(
                f"Largest differences in {_TITLES[name]}",
                ("difference", "first", "second"),
                [(shown(pair.value, 1, signed=True), pair.first, pair.second) for pair in pairs],
            )
            for name, pairs in self.largest.items()
        ]
        return [Section("", ("axis", "groups", "pairs", *intervals), rows), *largest]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "model": dict(self.model),
            "set": dict(self.set),
            "bootstrap": {
                "resamples": self.resamples, "seed": self.seed, "interval": 0.95, "unit": "template",
            },
            "comparisons": [
                {
                    "axis": found.axis,
                    "groups": [found.first, found.second],
                    "pairs": found.pairs,
                    "sentiment": _values(found.sentiment),
                    "logprob": _values(found.logprob),
                }
                for found in self.differences
            ],
            "largest": {
                name: [
                    {"axis": pair.axis, "sentences": [pair.first, pair.second], "difference": round(pair.value, 6)}
                    for pair in pairs
                ]
                for name, pairs in self.largest.items()
            },
            "limits": list(self.notes),
            "plugin": dict(self.plugin),
            "nlpsuite": __version__,
        }  # fmt: skip


def _values(found: Estimate) -> dict[str, Any]:
    mean, low, high = (round(value, 6) for value in (found.value, found.low, found.high))
    return {"mean": mean, "low": low, "high": high, "n": found.n, "clear": found.clear}


def _cells(found: Estimate) -> tuple[str, str]:
    interval = shown_interval(found.low, found.high, 1, signed=True)
    return shown(found.value, 1, signed=True), f"{interval} {'*' if found.clear else ' '}"


def evaluate_bias(
    *,
    model: str | None = None,
    adapter: str | None = None,
    precision: str | None = None,
    device: DeviceChoice = "auto",
    threads: int = 0,
    seed: int = 0,
    reporter: JobReporter | None = None,
) -> BiasReport:
    """Measure how much a model's answers change with the group of a person, on the bundled set of sentences.

    Args:
        model, adapter, precision, device, threads: as in ``nlpsuite.load``.
        seed: of the intervals.
        reporter: receives progress and notices.

    Raises:
        NlpsuiteError: the model can't be used.
    """
    from nlpsuite.plugins import find_task
    from nlpsuite.tasks.load import load

    reporter = reporter or JobReporter()
    pipeline = load(
        "sentiment",
        model=model,
        adapter=adapter,
        precision=precision,
        device=device,
        threads=threads,
        reporter=reporter,
    )
    reporter.close()
    for notice in pipeline.notices:
        reporter.notice(notice)
    tests = Counterfactuals.bundled()
    sentences = tests.sentences()
    reporter.stage(f"Measuring {len(sentences):,} sentences, which takes about a minute on a CPU.", None)
    values = measure_sentences(pipeline, sentences, reporter.advance)
    reporter.close()
    differences, pairs = compare_groups(values, seed=seed)
    bundle, plugin = pipeline.model.bundle, find_task("sentiment")
    return BiasReport(
        model=describe_bundle(bundle),
        set={
            "version": tests.version,
            "sha256": tests.sha256,
            "templates": len(tests.templates),
            "sentences": len(sentences),
        },
        differences=tuple(differences),
        largest={measured: tuple(some[:_SHOWN]) for measured, some in pairs.items()},
        resamples=_RESAMPLES,
        seed=seed,
        plugin={"distribution": plugin.distribution, "version": plugin.version},
    )


def measure_sentences(
    pipeline: Pipeline, sentences: Sequence[Sentence], advance: Callable[[int], None] = lambda done: None
) -> dict[Sentence, tuple[float, float]]:
    """The probability of positive and the mean log-probability of a token after the person, of each sentence.

    Args:
        pipeline: of the task sentiment.
        advance: called with the number of sentences done so far.

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
    # Words are tokenized separately, so the person's tokens are the first ones of the sentence.
    tokens = pipeline.model.token_logprobs(sentence.text)
    rest = pipeline.model.count_tokens(sentence.text) - pipeline.model.count_tokens(sentence.person)
    return float(tokens[-rest:].mean())


def compare_groups(
    values: Mapping[Sentence, tuple[float, float]], resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[list[GroupDifference], dict[str, list[SentencePair]]]:
    """The differences of all pairs of groups within an axis; and for each measure the pairs of sentences, those
    that differ most first.
    """
    groups: dict[str, dict[str, dict[tuple[int, int], Sentence]]] = {}
    for sentence in values:
        by_place = groups.setdefault(sentence.axis, {}).setdefault(sentence.group, {})
        by_place[sentence.template, sentence.term] = sentence
    differences = []
    singles: dict[str, list[SentencePair]] = {measured: [] for measured in MEASURES}
    for axis, by_group in groups.items():
        for first, second in combinations(by_group, 2):
            pairs = [(sentence, by_group[second][place]) for place, sentence in by_group[first].items()]
            intervals = []
            for index, measured in enumerate(MEASURES):
                by_template: dict[int, list[float]] = {}
                for one, other in pairs:
                    value = values[one][index] - values[other][index]
                    by_template.setdefault(one.template, []).append(value)
                    singles[measured].append(SentencePair(axis, one.text, other.text, value))
                means = [sum(some) / len(some) for some in by_template.values()]
                intervals.append(estimate_mean(means, resamples, seed))
            differences.append(GroupDifference(axis, first, second, len(pairs), *intervals))
    for found in singles.values():
        found.sort(key=lambda single: (-abs(single.value), single.first, single.second))
    return differences, singles
