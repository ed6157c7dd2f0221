"""The result of a comparison of systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nlpsuite.evaluation.metrics.resampling import Difference
from nlpsuite.evaluation.plots import Mark, forest
from nlpsuite.evaluation.report import Report, excerpt
from nlpsuite.evaluation.tables import Section, arrowed, shown, shown_interval, shown_p

__all__ = ["Change", "Comparison"]


@dataclass(frozen=True)
class Change:
    """A row on which another system's score differs from the baseline's.

    Attributes:
        change: the other's score of the row minus the baseline's.
    """

    system: str
    index: int
    id: Any
    change: float
    text: str
    references: tuple[str, ...]
    baseline: str
    other: str


@dataclass(frozen=True)
class Comparison(Report):
    """Whether systems differ on the same rows.

    Attributes:
        systems: names; the first is the baseline that the others are compared with.
        n: rows.
        n_errors: rows that failed, of each system.
        differences: metric by metric.
        row_metric: what single rows are judged by; empty if no metric can.
        row_metric_rises: higher is better.
        changes: of each system the rows that changed most, half of them for the better where there are as many.
        notes: what a reader of the figures should know.
        trials, resamples, seed: of the tests, of the intervals, and of both.
        provenance: task and plugin, and file and model of each system.
    """

    schema: ClassVar[str] = "nlpsuite-comparison"
    template: ClassVar[str] = "comparison.html"

    task: str
    systems: tuple[str, ...]
    n: int
    n_errors: tuple[int, ...]
    differences: tuple[Difference, ...]
    row_metric: str
    row_metric_rises: bool
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    trials: int
    resamples: int
    seed: int
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def origin(self) -> Mapping[str, Any]:
        return self.provenance

    def headline(self) -> str:
        return f"{self.task}: {' and '.join(self.systems)} on {self.n:,} rows"

    def method(self) -> str:
        return f"{super().method()}; p: paired approximate randomisation, {self.trials:,} trials"

    def signatures(self) -> dict[str, str]:
        return {difference.metric: difference.signature for difference in self.differences}

    def of_system(self, system: str) -> list[Difference]:
        """The differences of one system from the baseline."""
        return [difference for difference in self.differences if difference.system == system]

    def sections(self) -> list[Section]:
        base, several = self.systems[0], len(self.systems) > 2
        p = "p (Holm)" if several else "p"
        found = []
        for system in self.systems[1:]:
            rows = [
                (
                    arrowed(d.metric, d.higher_is_better),
                    shown(d.baseline, d.scale),
                    shown(d.other, d.scale),
                    shown(d.difference, d.scale, signed=True),
                    shown_interval(d.low, d.high, d.scale, signed=True),
                    shown_p(d.p_corrected if several else d.p_value),
                    "–" if d.wins is None else f"{d.wins:,} / {d.ties:,} / {d.losses:,}",
                )
                for d in self.of_system(system)
            ]
            header = ("metric", base, system, "difference", "95 % interval", p, "win / tie / loss")
            found.append(Section(f"{system} against {base}" if several else "", header, rows))
        return found

    def examples(self) -> Section | None:
        if not self.changes:
            return None
        base, other = self.systems[0], self.systems[1] if len(self.systems) == 2 else "other"
        rows = [
            (str(c.id), c.system, shown(c.change, None, signed=True), excerpt(c.text), excerpt(c.references),
             excerpt(c.baseline), excerpt(c.other))
            for c in self.changes
        ]  # fmt: skip
        header = ("id", "system", self.row_metric, "input", "reference", base, other)
        return Section(f"Rows that changed most, by {self.row_metric}", header, rows)

    def plots(self) -> dict[str, Any]:
        return {system: self._plots(self.of_system(system)) for system in self.systems[1:]}

    def _plots(self, differences: list[Difference]) -> list[str]:
        found = []
        for scale in dict.fromkeys(d.scale for d in differences):  # metrics of one scale share an axis
            marks = []
            for d in differences:
                if d.scale == scale:
                    interval = shown_interval(d.low, d.high, scale, signed=True)
                    text = f"{shown(d.difference, scale, signed=True)} {interval}"
                    name = arrowed(d.metric, d.higher_is_better)
                    marks.append(Mark(name, d.difference, d.low, d.high, text, strong=d.clear))
            end = max(max(abs(mark.low), abs(mark.high)) for mark in marks) * 1.1 or 1.0
            found.append(forest(marks, low=-end, high=end, line=0))
        return found
