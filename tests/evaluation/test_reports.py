"""Reports in every form."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from answers import failed, labelled, texts

from nlpsuite.evaluation.compare import compare_rows
from nlpsuite.evaluation.evaluate import evaluate_rows
from nlpsuite.evaluation.plots import Mark, forest, scatter
from nlpsuite.evaluation.report_comparison import Comparison
from nlpsuite.evaluation.report_evaluation import Evaluation, Point
from nlpsuite.evaluation.tables import Section, as_markdown, as_text, shown, shown_p
from nlpsuite.plugins import load_task

BAD = "<script>alert('x')</script>\x1b[31m | `y` & \"z\" ![a](http://x)"
MADE_OF = {
    "date": "2026-11-24",
    "task": {"name": "sentiment", "version": "1"},
    "dataset": {"name": BAD, "sha256": {"a.csv": "0" * 64}},
    "model": None,
}


@pytest.fixture(scope="module")
def labels() -> Evaluation:
    rows = labelled("ppnnpp", "pnnnxp", where=["a", "a", "b", "b", BAD, BAD])
    rows = [
        dataclasses.replace(row, id=f"{BAD}{row.index}", values={**row.values, "text": BAD}) for row in rows
    ]
    rows[4] = dataclasses.replace(rows[4], result=failed(BAD))
    found = evaluate_rows(load_task("sentiment"), rows, by=["where"], text_columns=["text"])
    return dataclasses.replace(found, provenance=MADE_OF)


@pytest.fixture(scope="module")
def summaries() -> Evaluation:
    pairs = [(BAD, "a cat sat"), (None, BAD), *[(f"a cat {i}", f"a cat {i % 3}") for i in range(40)]]
    found = evaluate_rows(load_task("summarize"), texts(pairs, [BAD] * len(pairs)), text_columns=["text"])
    return dataclasses.replace(found, provenance=MADE_OF)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    systems = {BAD: labelled("pppp", "ppnn"), "b": labelled("pppp", "pnpp"), "c": labelled("pppp", "pxpp")}
    found = compare_rows(load_task("sentiment"), systems, text_columns=["text"], trials=20, resamples=20)
    return dataclasses.replace(found, provenance=MADE_OF)


@pytest.fixture(params=["labels", "summaries", "comparison"])
def report(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


class Page(HTMLParser):
    """What a browser would do with a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.policy = ""
        self.shown = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_data(self, data: str) -> None:
        self.shown += data


def test_the_page_needs_nothing_and_runs_nothing(report: Any) -> None:
    page = Page(report.to_html())
    assert page.policy.startswith("default-src 'none'")
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert (
        "url(" not in page.shown
        and "@import" not in page.shown
        and "prefers-color-scheme: dark" in page.shown
    )


def test_texts_of_the_data_are_shown_as_they_are(report: Any) -> None:
    page = Page(report.to_html())
    assert "<script>alert('x')</script>" in page.shown
    assert page.tags.count("html") == 1 and page.tags.count("svg") >= 1


def test_the_page_has_its_plots(labels: Evaluation, summaries: Evaluation) -> None:
    page = labels.to_html()
    for title in ("accuracy by where", "Confusion", "Reliability", "Length against score", "Worst rows"):
        assert title in page
    found = [value for name, value in Page(page).attributes if name == "aria-label"]
    assert found.count("Figures with their 95 % intervals") == 2
    assert "Reliability diagram" in found and "Length against score" in found
    assert "Confusion" not in summaries.to_html()


def test_json_has_a_stable_schema(labels: Evaluation, comparison: Comparison) -> None:
    values = json.loads(labels.to_json())
    assert (values["schema"], values["schema_version"]) == ("nlpsuite-evaluation", 1)
    assert list(values) == [
        "schema", "schema_version", "provenance", "task", "n", "n_errors", "figures", "slices", "labels",
        "row_metric", "row_metric_rises", "worst", "points", "notes", "resamples", "seed", "interval",
    ]  # fmt: skip
    assert list(values["figures"][0]) == [
        "metric", "value", "low", "high", "n", "scale", "higher_is_better", "signature",
    ]  # fmt: skip
    assert list(values["slices"][0]) == ["column", "value", "n", "n_errors", "figures"]
    assert list(values["labels"]) == ["labels", "given", "matrix", "classes", "bins", "without"]
    assert list(values["worst"][0]) == ["index", "id", "figure", "text", "references", "prediction", "error"]
    assert values["provenance"] == MADE_OF and values["n_errors"] == 1
    values = json.loads(comparison.to_json())
    assert (values["schema"], values["schema_version"]) == ("nlpsuite-comparison", 1)
    assert list(values["differences"][0]) == [
        "metric", "system", "baseline", "other", "difference", "low", "high", "p_value", "p_corrected",
        "wins", "ties", "losses", "n", "scale", "higher_is_better", "signature",
    ]  # fmt: skip


def test_json_takes_no_nan_and_any_id(labels: Evaluation) -> None:
    import datetime

    figure = dataclasses.replace(labels.figures[0], value=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(labels, figures=(figure,)).to_json()
    worst = dataclasses.replace(labels.worst[0], id=datetime.date(2026, 1, 2))
    values = dataclasses.replace(labels, worst=(worst,)).to_dict()
    assert values["worst"][0]["id"] == "2026-01-02"


def test_text_has_figures_and_no_codes(labels: Evaluation) -> None:
    shown_text = str(labels)
    assert re.search(r"^accuracy +0\.667 +\[0\.\d{3}, \d\.\d{3}\] +6$", shown_text, re.M)
    assert (
        shown_text.startswith("sentiment on ")
        and "6 rows, 1 failed" in shown_text
        and "By where" in shown_text
    )
    assert "Note: 1 of 6 rows failed; failed rows count as wrong." in shown_text and "seed 0." in shown_text
    assert all(c == "\n" or c.isprintable() for c in shown_text)


def test_text_of_a_comparison(comparison: Comparison) -> None:
    shown_text = str(comparison)
    assert "win / tie / loss" in shown_text and "p (Holm)" in shown_text and "20 trials" in shown_text


def test_markdown_keeps_its_tables(report: Any) -> None:
    lines = report.to_markdown().splitlines()
    widths: list[int] = []
    for line in lines:
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        widths.append(cells)
        assert "<script>" not in line
    assert any(widths)
    for before, after in zip(widths, widths[1:]):
        assert not before or not after or before == after


def test_numbers() -> None:
    assert (shown(0.12345, 1), shown(41.256, 100), shown(2.5, None), shown(-0.5, 1, signed=True)) == (
        "0.123", "41.26", "2.500", "-0.500",
    )  # fmt: skip
    assert (shown_p(0.0001), shown_p(0.0499)) == ("< 0.001", "0.050")


def test_columns_are_aligned_for_wide_characters() -> None:
    lines = as_text(Section("", ("name", "n"), [("日本", "1"), ("a\nb", "22")]))
    assert lines == ["name   n", "日本   1", "a b   22"]
    assert as_markdown(Section("", ("a|b", "n"), [("x\ny", "1")]))[::2] == [r"| a\|b | n |", "| x y | 1 |"]


def test_plots_of_little() -> None:
    assert forest([Mark("a", 1, 1, 1, "1")], low=1, high=1).startswith("<svg")
    assert "NaN" not in scatter([Point(0, 0, 0.0), Point(1, 5_000, 0.0)], "x")
