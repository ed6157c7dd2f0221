"""Tables of a report as plain text, Markdown and HTML, and how numbers are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = [
    "Section",
    "arrowed",
    "as_html",
    "as_markdown",
    "as_text",
    "coded",
    "quoted",
    "shown",
    "shown_interval",
    "shown_p",
    "visible",
]

_MARKS = str.maketrans({c: f"\\{c}" for c in "\\|`*_[]#"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


@dataclass(frozen=True)
class Section:
    """A table under a title; the first column names what the row is about."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def arrowed(metric: str, higher_is_better: bool | None) -> str:
    """A metric's name, with an arrow where lower is better."""
    return f"{metric} ↓" if higher_is_better is False else metric


def shown(value: float, scale: float | None, *, signed: bool = False) -> str:
    """A figure with a sensible number of digits: three decimals on scales up to 1, else two."""
    digits = 3 if scale == 1 or (scale is None and abs(value) < 10) else 2
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def shown_interval(low: float, high: float, scale: float | None, *, signed: bool = False) -> str:
    """Both ends, as ``shown`` shows them."""
    return f"[{shown(low, scale, signed=signed)}, {shown(high, scale, signed=signed)}]"


def shown_p(p: float) -> str:
    """A p-value; very small ones as a bound."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def as_text(section: Section) -> list[str]:
    """Aligned columns: the first to the left, the others to the right."""
    lines = [list(map(visible, row)) for row in (section.header, *section.rows)]
    widths = [max(map(_width, column)) for column in zip(*lines)]
    return [
        "  ".join(_padded(cell, width, i) for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for line in lines
    ]


def as_markdown(section: Section) -> list[str]:
    """A table in GitHub's Markdown."""
    rule = "|".join(["---", *["---:"] * (len(section.header) - 1)])
    head = [f"| {' | '.join(map(quoted, section.header))} |", f"|{rule}|"]
    return head + [f"| {' | '.join(map(quoted, row))} |" for row in section.rows]


def as_html(section: Section) -> str:
    """A table in HTML under its title."""

    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(visible(cell))}</{tag}>' for cell in cells)}</tr>"

    rows = "".join(line(row, "td") for row in section.rows)
    head = line(section.header, "th") if section.header else ""
    title = f"<p><strong>{escape(visible(section.title))}</strong></p>" if section.title else ""
    return title + (f"<table>{head}{rows}</table>" if rows else "")


def quoted(text: str) -> str:
    """A text escaped for Markdown, in one line."""
    return " ".join(visible(text).split()).translate(_MARKS)


def coded(text: str) -> str:
    """A text as code in a Markdown table."""
    return f"`{' '.join(text.replace('`', '').split())}`".replace("|", "\\|")


def visible(text: str) -> str:
    """A text without line breaks and control characters."""
    return "".join(" " if c.isspace() else c for c in text if c.isspace() or c.isprintable())


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _padded(text: str, width: int, column: int) -> str:
    space = " " * (width - _width(text))
    return text + space if column == 0 else space + text
