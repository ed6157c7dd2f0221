"""What all reports have in common: their forms as text, Markdown, JSON and HTML."""

from __future__ import annotations

import dataclasses
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nlpsuite.evaluation.rows import plain
from nlpsuite.evaluation.tables import (
    Section,
    arrowed,
    as_html,
    as_markdown,
    as_text,
    coded,
    quoted,
    shown,
    shown_interval,
    visible,
)

__all__ = ["SCHEMA_VERSION", "Report", "excerpt"]

SCHEMA_VERSION = 1
_SHOWN_EXAMPLES = 3
_SHOWN_CHARACTERS = 160  # of a text in a table
_PAGE_CHARACTERS = 800  # of a text on the HTML page
_TILES = 6  # figures in large type
_INDENTED = re.compile(r"^(?: {2,}|\t)\S", re.M)


class Report(ABC):
    """Base of all reports, which are dataclasses. ``str(report)`` is the report for a terminal.

    Class attributes:
        schema: name of the JSON format.
        template: of the HTML page.

    Attributes:
        notes: what a reader of the figures should know.
        resamples, seed: of the intervals.
    """

    schema: ClassVar[str] = ""
    template: ClassVar[str] = "base.html"
    notes: tuple[str, ...]
    resamples: int
    seed: int

    @abstractmethod
    def headline(self) -> str:
        """What was evaluated on what, in a line."""

    @abstractmethod
    def sections(self) -> list[Section]:
        """All tables, except the rows shown as examples."""

    @abstractmethod
    def origin(self) -> Mapping[str, Any]:
        """All that is needed to get the same figures, by name."""

    def examples(self) -> Section | None:
        """Rows worth looking at, if there are any."""
        return None

    def signatures(self) -> dict[str, str]:
        """How exactly each metric was computed."""
        return {}

    def plots(self) -> dict[str, Any]:
        """The SVG plots of the HTML page."""
        return {}

    def method(self) -> str:
        """How the intervals were computed."""
        return f"Intervals: 95 %, percentile bootstrap of {self.resamples:,} resamples of rows"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        values = dataclasses.asdict(self)  # type: ignore[call-overload]
        provenance = values.pop("provenance")
        values["interval"] = {"level": 0.95, "method": "percentile bootstrap of rows"}
        for name in ("worst", "changes"):
            for example in values.get(name, ()):
                example["id"] = plain(example["id"])
        return {"schema": self.schema, "schema_version": SCHEMA_VERSION, "provenance": provenance, **values}

    def to_json(self) -> str:
        """The report as JSON; it never has a NaN."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        lines = [self.headline(), ""]
        for section in self.sections():
            lines += [*([section.title] if section.title else []), *as_text(section), ""]
        lines += [f"Note: {note}" for note in self.notes]
        lines += [""] if self.notes else []
        if found := self.examples():
            lines.append(f"{found.title}:")
            for row in found.rows[:_SHOWN_EXAMPLES]:
                lines += [*(f"  {name:<12}{value}" for name, value in zip(found.header, row)), ""]
        lines.append(f"{self.method()}; seed {self.seed}.")
        if signatures := self.signatures():
            lines += ["Signatures:", *(f"  {name}  {each}" for name, each in signatures.items())]
        return "\n".join(map(visible, lines))

    def to_markdown(self) -> str:
        """The report in GitHub's Markdown."""
        lines = [f"# {quoted(self.headline())}", ""]
        for section in self.sections():
            lines += [f"## {quoted(section.title)}", ""] if section.title else []
            lines += [*as_markdown(section), ""]
        lines += [f"- {quoted(note)}" for note in self.notes]
        lines += [*([""] if self.notes else []), f"{self.method()}; seed {self.seed}.", ""]
        if found := self.examples():
            lines += [f"## {quoted(found.title)}", "", *as_markdown(found), ""]
        lines += ["## How it was made", "", "| | |", "|---|---|"]
        lines += [f"| {quoted(name)} | {quoted(value)} |" for name, value in self.about()]
        lines += [f"| {quoted(name)} | {coded(signature)} |" for name, signature in self.signatures().items()]
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        """The report as one HTML page without scripts or external resources."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("nlpsuite.evaluation"),
            autoescape=True,  # texts of the data can be anything
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        environment.filters.update(number=shown, interval=shown_interval, cut=_cut)
        environment.tests["code"] = lambda text: bool(_INDENTED.search(text))
        return environment.get_template(self.template).render(
            report=self,
            style=environment.get_template("style.css").render(),
            tables=self.sections(),
            plots=self.plots(),
            arrowed=arrowed,
            most=_TILES,
        )

    def _repr_html_(self) -> str:
        """The tables, for a notebook."""
        tables = "".join(map(as_html, self.sections()))
        notes = Section("Notes", (), [(note,) for note in self.notes])
        return as_html(Section(self.headline(), (), [])) + tables + (as_html(notes) if self.notes else "")

    def about(self) -> list[tuple[str, str]]:
        """The origin as names and values to show."""
        found: list[tuple[str, str]] = []
        for name, value in self.origin().items():
            if value in (None, "", {}, []):
                continue
            if isinstance(value, Mapping):
                value = ", ".join(
                    f"{key} {_text(each)}" for key, each in value.items() if each not in (None, "")
                )
            found.append((name.replace("_", " "), _text(value)))
        return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def excerpt(texts: Sequence[str] | str) -> str:
    """A text, or the first of several, cut to fit a table."""
    value = " ".join((texts if isinstance(texts, str) else next(iter(texts), "")).split())
    return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


def _cut(text: str) -> str:
    if len(text) <= _PAGE_CHARACTERS:
        return text
    return f"{text[:_PAGE_CHARACTERS]}… ({len(text) - _PAGE_CHARACTERS:,} characters more)"
