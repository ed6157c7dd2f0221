"""A report as one HTML page without scripts or external resources."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from nlpsuite.evaluation.report import Report
from nlpsuite.evaluation.tables import arrowed, shown, shown_interval

__all__ = ["render"]

_MOST_CHARACTERS = 800
_MAIN = 6  # figures in large type
_INDENTED = re.compile(r"^(?: {2,}|\t)\S", re.M)


def render(report: Report) -> str:
    """The page's text. What comes from data is escaped."""
    environment = Environment(
        loader=PackageLoader("nlpsuite.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(number=shown, interval=shown_interval, cut=_cut)
    environment.tests["code"] = lambda text: bool(_INDENTED.search(text))
    return environment.get_template(report.template).render(
        report=report,
        style=environment.get_template("style.css").render(),
        tables=report.sections(),
        plots=report.plots(),
        arrowed=arrowed,
        most=_MAIN,
    )


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[:_MOST_CHARACTERS]}… ({len(text) - _MOST_CHARACTERS:,} characters more)"
