"""Outputs and results as HTML, for notebooks.

Colours are the notebook's own, with translucent bars and lines, so it looks right on light and dark pages.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlpsuite.tasks.result import Output, Result

__all__ = ["output_html", "result_html"]

_FRAME = "border-left:3px solid rgba(128,128,128,.5);padding:.2em .8em;color:inherit;background:transparent"
_SMALL = "font-size:.85em;opacity:.75"


def output_html(output: Output) -> str:
    """The output's text, and a bar for each label's probability."""
    return f'<div style="{_FRAME}">{_content(output)}{_notices(output.notices)}</div>'


def result_html(result: Result) -> str:
    """The output, with token counts, time and notices."""
    facts = [
        f"{result.prompt_tokens:,} tokens read, {result.completion_tokens:,} generated",
        f"{result.seconds:.2f} s",
    ]
    if result.parts > 1:
        facts.append(f"{result.parts} parts")
    if result.finish_reason:
        facts.append(f"finish reason: {result.finish_reason}")
    footer = f'<div style="{_SMALL}">{escape(" · ".join(facts))}</div>'
    return f'<div style="{_FRAME}">{_content(result.output)}{_notices(result.notices)}{footer}</div>'


def _content(output: Output) -> str:
    text = f'<div style="white-space:pre-wrap">{escape(output.text)}</div>'
    rows = "".join(
        f'<tr><td style="text-align:left">{escape(label)}</td><td style="text-align:right">{value:.1%}</td>'
        f'<td style="width:12em"><div style="height:.7em;width:{value:.1%};background:rgba(64,128,224,.6)"></div>'
        "</td></tr>"
        for label, value in (output.probabilities or {}).items()
    )
    return text + (f'<table style="color:inherit;background:transparent">{rows}</table>' if rows else "")


def _notices(notices: tuple[str, ...] | list[str]) -> str:
    return "".join(f'<div style="{_SMALL}">⚠ {escape(notice)}</div>' for notice in notices)
