"""An evaluation or a comparison as JSON, plain text and Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpsuite.evaluation.compare import Comparison
from nlpsuite.evaluation.evaluate import Evaluation
from nlpsuite.evaluation.rows import plain
from nlpsuite.evaluation.tables import (
    Section,
    as_markdown,
    as_text,
    coded,
    quoted,
    shown,
    shown_interval,
    shown_p,
    visible,
)

if TYPE_CHECKING:
    from nlpsuite.evaluation.measure import MetricResult

__all__ = [
    "COMPARISON_SCHEMA",
    "EVALUATION_SCHEMA",
    "SCHEMA_VERSION",
    "about",
    "document",
    "figure_name",
    "headline",
    "markdown",
    "sections",
    "text",
    "to_json",
]

EVALUATION_SCHEMA = "nlpsuite-evaluation"
COMPARISON_SCHEMA = "nlpsuite-comparison"
SCHEMA_VERSION = 1
_SHOWN_EXAMPLES = 3
_SHOWN_CHARACTERS = 160

Report = Evaluation | Comparison
Provenance = Mapping[str, Any]


def document(report: Report, provenance: Provenance) -> dict[str, Any]:
    """A report as JSON values, with what it was made of.

    Args:
        provenance: as ``nlpsuite.evaluation.provenance`` gives it.
    """
    schema = EVALUATION_SCHEMA if isinstance(report, Evaluation) else COMPARISON_SCHEMA
    values = dataclasses.asdict(report)
    values["interval"] = {"level": 0.95, "method": "percentile bootstrap of rows"}
    for name in ("worst", "changes"):
        for example in values.get(name, ()):
            example["id"] = plain(example["id"])
    return {"schema": schema, "schema_version": SCHEMA_VERSION, "provenance": dict(provenance), **values}


def to_json(report: Report, provenance: Provenance) -> str:
    """``document`` as text; there is never a NaN in it."""
    return json.dumps(document(report, provenance), indent=2, ensure_ascii=False, allow_nan=False)


def text(report: Report, provenance: Provenance) -> str:
    """A report for a terminal, without colours or other codes."""
    lines = [headline(report, provenance), ""]
    for section in sections(report):
        lines += [*([section.title] if section.title else []), *as_text(section), ""]
    lines += [f"Note: {note}" for note in report.notes]
    lines += [*([""] if report.notes else []), *_examples_as_text(report), _interval_line(report)]
    if signatures := _signatures(report):
        lines += ["Signatures:", *(f"  {name}  {signature}" for name, signature in signatures)]
    return "\n".join(map(visible, lines))


def markdown(report: Report, provenance: Provenance) -> str:
    """A report in GitHub's Markdown."""
    lines = [f"# {quoted(headline(report, provenance))}", ""]
    for section in sections(report):
        lines += [*([f"## {quoted(section.title)}", ""] if section.title else []), *as_markdown(section), ""]
    lines += [f"- {quoted(note)}" for note in report.notes]
    lines += [*([""] if report.notes else []), _interval_line(report), ""]
    for section in _example_sections(report):
        lines += [f"## {quoted(section.title)}", "", *as_markdown(section), ""]
    lines += ["## How it was made", "", "| | |", "|---|---|"]
    lines += [f"| {quoted(name)} | {quoted(value)} |" for name, value in about(provenance)]
    lines += [f"| {quoted(name)} | {coded(signature)} |" for name, signature in _signatures(report)]
    return "\n".join(lines) + "\n"


def headline(report: Report, provenance: Provenance) -> str:
    """What was evaluated on what, in a line."""
    data = (provenance.get("dataset") or {}).get("name", "")
    on = f" on {data}" if data else ""
    if isinstance(report, Comparison):
        return f"{report.task}{on}: {' and '.join(report.systems)} on {report.n:,} rows"
    failed = f", {report.n_errors:,} failed" if report.n_errors else ""
    return f"{report.task}{on}: {report.n:,} {'row' if report.n == 1 else 'rows'}{failed}"


def figure_name(figure: MetricResult) -> str:
    """A metric's name, with an arrow where less is better."""
    return f"{figure.metric} ↓" if figure.higher_is_better is False else figure.metric


def sections(report: Report) -> list[Section]:
    """All tables of a report but for its examples."""
    return list(_of_comparison(report) if isinstance(report, Comparison) else _of_evaluation(report))


def _of_evaluation(report: Evaluation) -> Iterator[Section]:
    rows = [
        (figure_name(f), shown(f.value, f.scale), shown_interval(f.low, f.high, f.scale), f"{f.n:,}")
        for f in report.figures
    ]
    yield Section("", ("metric", "figure", "95 % interval", "n"), rows)
    for column in dict.fromkeys(part.column for part in report.slices):
        parts = [part for part in report.slices if part.column == column]
        names = list(dict.fromkeys(f.metric for part in parts for f in part.figures))
        lines = []
        for part in parts:
            by_name = {f.metric: f for f in part.figures}
            cells = []
            for name in names:
                if (found := by_name.get(name)) is None:
                    cells.append("–")
                    continue
                value = shown(found.value, found.scale)
                cells.append(f"{value} {shown_interval(found.low, found.high, found.scale)}")
            lines.append((part.value, *cells, f"{part.n:,}", f"{part.n_errors:,}"))
        yield Section(f"By {column}", (column, *names, "n", "failed"), lines)
    if report.labels is not None:
        found_labels = report.labels
        yield Section(
            "By label",
            ("label", "precision", "recall", "F1", "n"),
            [
                (c.label, shown(c.precision, 1), shown(c.recall, 1), shown(c.f1, 1), f"{c.n:,}")
                for c in found_labels.classes
            ],
        )
        yield Section(
            "Confusion: right label down, prediction across",
            ("", *found_labels.given),
            [
                (label, *(f"{n:,}" for n in row))
                for label, row in zip(found_labels.labels, found_labels.matrix)
            ],
        )
        if any(b.n for b in found_labels.bins):
            yield Section(
                "Reliability: how often predictions of a confidence are right",
                ("confidence", "mean", "right", "n"),
                [
                    (f"{b.low:.2f}–{b.high:.2f}", shown(b.confidence, 1), shown(b.accuracy, 1), f"{b.n:,}")
                    for b in found_labels.bins
                    if b.n
                ],
            )


def _of_comparison(report: Comparison) -> Iterator[Section]:
    base, several = report.systems[0], len(report.systems) > 2
    for system in report.systems[1:]:
        rows = []
        for d in report.differences:
            if d.system == system:
                arrow = "" if d.higher_is_better else " ↓"
                rows.append(
                    (
                        f"{d.metric}{arrow}",
                        shown(d.baseline, d.scale),
                        shown(d.other, d.scale),
                        shown(d.difference, d.scale, signed=True),
                        shown_interval(d.low, d.high, d.scale, signed=True),
                        shown_p(d.p_corrected if several else d.p_value),
                        "–" if d.wins is None else f"{d.wins:,} / {d.ties:,} / {d.losses:,}",
                    )
                )
        p = "p (Holm)" if several else "p"
        header = ("metric", base, system, "difference", "95 % interval", p, "win / tie / loss")
        yield Section(f"{system} against {base}" if several else "", header, rows)


def _interval_line(report: Report) -> str:
    line = f"Intervals: 95 %, percentile bootstrap of {report.resamples:,} resamples of rows"
    if isinstance(report, Comparison):
        line += f"; p: paired approximate randomisation, {report.trials:,} trials"
    return f"{line}; seed {report.seed}."


def _signatures(report: Report) -> list[tuple[str, str]]:
    found: Sequence[Any] = report.differences if isinstance(report, Comparison) else report.figures
    return list({each.metric: (each.metric, each.signature) for each in found}.values())


def _examples_as_text(report: Report) -> list[str]:
    lines: list[str] = []
    for section in _example_sections(report):
        lines += [f"{section.title}:"]
        for row in section.rows[:_SHOWN_EXAMPLES]:
            for name, value in zip(section.header, row):
                lines.append(f"  {name:<12}{value}")
            lines.append("")
    return lines


def _example_sections(report: Report) -> list[Section]:
    if isinstance(report, Comparison):
        if not report.changes:
            return []
        base, other = report.systems[0], report.systems[1] if len(report.systems) == 2 else "other"
        rows = [
            (str(c.id), c.system, shown(c.change, None, signed=True), _cut(c.text), _cut(c.references[0]),
             _cut(c.baseline), _cut(c.other))
            for c in report.changes
        ]  # fmt: skip
        header = ("id", "system", report.row_metric, "input", "reference", base, other)
        return [Section(f"Rows that changed most, by {report.row_metric}", header, rows)]
    if not report.worst:
        return []
    columns = ("id", "figure", "input", "reference", "prediction")
    examples = [
        (str(w.id), shown(w.figure, None), _cut(w.text), _cut(w.references[0] if w.references else ""),
         f"(failed) {_cut(w.error)}" if w.error else _cut(w.prediction))
        for w in report.worst
    ]  # fmt: skip
    return [Section(f"Worst rows, by {report.row_metric}", columns, examples)]


def _cut(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


def about(provenance: Provenance) -> list[tuple[str, str]]:
    """What an evaluation was made of, as names and values to show."""
    found: list[tuple[str, str]] = []
    for name, value in provenance.items():
        label = name.replace("_", " ")
        if value is None or value == "" or value == {} or value == []:
            continue
        if isinstance(value, Mapping):
            value = ", ".join(
                f"{key} {_plain_text(each)}" for key, each in value.items() if each not in (None, "")
            )
        found.append((label, _plain_text(value)))
    return found


def _plain_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
