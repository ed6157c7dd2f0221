"""The page in Chromium: every task, the views, files, keyboard, widths, and axe-core."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Server, adapted

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow

TEXT = "The storm came over the sea. The lamp was red. The cat sat on the mat and the cat was sad.\n"
SECONDS = 60_000  # playwright counts milliseconds
WIDTHS = (1200, 800, 360)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("there is no Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    server = Server(tiny_bundle)
    yield server
    server.stop()


@pytest.fixture
def page(chromium: Any, server: Server) -> Iterator[Any]:
    """The page, on which no script may fail and nothing may be fetched from elsewhere."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(SECONDS)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: failures.append(request.url) if foreign(request.url, server) else None)
    page.goto(server.url)
    page.wait_for_selector("[data-task]")
    yield page
    page.close()
    assert not failures


def foreign(url: str, server: Server) -> bool:
    return not url.startswith((server.url, "data:", "blob:", "about:"))


def choose(page: Any, task: str, text: str = TEXT) -> None:
    page.click(f"[data-task={task}]")
    page.wait_for_selector(f"[data-task={task}][aria-current=true]")
    page.fill("#input", text)
    # The tiny model's context is smaller than what chat may write.
    page.evaluate(
        "document.querySelectorAll('[id^=option-max_tokens]').forEach((field) => { field.value = 16 })"
    )


def run(page: Any) -> str:
    """What the first panel says once it has ended."""
    page.click("#run")
    page.wait_for_selector(".panel .row, .panel .error")
    return str(page.inner_text("#results"))


def tasks_of(page: Any) -> list[str]:
    return [str(button.get_attribute("data-task")) for button in page.query_selector_all("[data-task]")]


def test_each_task_from_end_to_end(page: Any) -> None:
    tasks = tasks_of(page)
    assert {"summarize", "sentiment", "translate", "complete", "chat", "classify"} <= set(tasks)
    for task in tasks:
        choose(page, task)
        if task == "classify":
            page.click(".options summary")
            page.get_by_label("labels", exact=True).fill("weather,pets")
        result = run(page)
        assert "tokens read" in result, (task, result)
        assert page.url.endswith(f"#{task}") and task in page.title()


def test_options_show_the_defaults_of_the_model(chromium: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    server = Server(adapted(tiny_bundle, tmp_path / "adapted"))
    page = chromium.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(server.url)
    choose(page, "sentiment")
    page.click(".options summary")
    margin, sent = page.get_by_label("margin", exact=True), []
    assert margin.input_value() == "2.5"
    page.on(
        "request",
        lambda request: sent.append(request.post_data_json["options"]) if request.post_data else None,
    )
    run(page)
    margin.fill("1.5")
    page.get_by_label("examples", exact=True).select_option("true")
    with page.expect_response(lambda response: "adapter=none" in response.url):
        page.get_by_label("Without the task's adapter").check()
    assert margin.input_value() == "1.5"
    run(page)
    assert [options.get("margin") for options in sent] == [None, 1.5]
    page.close()
    server.stop()


def test_a_mistake_is_explained_in_place(page: Any) -> None:
    choose(page, "summarize", " ")
    page.click("#run")
    assert "Type or paste a text first." in page.inner_text("#status")
    choose(page, "translate", "the cat")
    page.click(".options summary")
    page.get_by_label("to", exact=True).fill("Klingon")
    assert "Klingon" in run(page) and page.query_selector(".panel .error")


def test_how_labels_are_decided(page: Any) -> None:
    choose(page, "sentiment")
    page.click("#explain")
    page.wait_for_selector(".sentence")
    shown = page.inner_text("#explanation")
    assert "The lamp was red." in shown and re.search(r"[+−]\d\.\d\d", shown)
    assert page.query_selector_all("meter")


def test_how_tokens_are_decided(page: Any) -> None:
    choose(page, "complete", "the cat")
    page.click("#explain")
    page.wait_for_selector(".tokens button")
    page.focus(".tokens button")  # as the keyboard does
    page.wait_for_selector("#explanation table")
    rows = page.query_selector_all("#explanation tbody tr")
    assert len(rows) >= 3 and "%" in rows[0].inner_text()


def test_where_a_summary_comes_from(page: Any) -> None:
    choose(page, "summarize", TEXT * 4)
    page.click("#explain")
    page.wait_for_selector("#explanation .sources")
    assert page.inner_text("#explanation .source").startswith("The storm")


def test_two_settings_side_by_side(page: Any) -> None:
    choose(page, "complete", "the cat")
    page.check("#compare")
    first, second = page.query_selector_all("#settings .options")
    for form, tokens in ((first, "2"), (second, "9")):
        if form.query_selector("details"):
            form.query_selector("details summary").click()
        field = form.query_selector("[id^=option-max_tokens]")
        field.fill(tokens)
    page.click("#run")
    sync_api.expect(page.locator("#results .panel .row")).to_have_count(2, timeout=SECONDS)
    a, b = (panel.inner_text() for panel in page.query_selector_all("#results .panel"))
    assert a.startswith("A") and b.startswith("B") and "2 written" in a and "9 written" in b


def test_a_dialogue_goes_on(page: Any) -> None:
    choose(page, "chat", "the cat")
    for text in ("the cat", "the sea"):
        page.fill("#input", text)
        page.press("#input", "Enter")
        sync_api.expect(page.locator("#stop")).to_be_hidden(timeout=SECONDS)
    sync_api.expect(page.locator("#results .panel .row")).to_have_count(2, timeout=SECONDS)
    assert page.inner_text("#results").count("You: ") == 2


def test_a_file_is_evaluated(page: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nthe cat was sad,negative\nthe sea,positive\n", encoding="utf-8")
    choose(page, "sentiment")
    page.set_input_files("#job-file", str(rows))
    page.wait_for_selector("#reference-column option[value=label]", state="attached")
    page.select_option("#text-column", "text")
    page.select_option("#reference-column", "label")
    page.click("#job-start")
    page.wait_for_selector("#jobs button:text('Report')")
    with page.expect_download() as download:
        page.click("#jobs button:text('Download')")
    assert "the cat was sad" in Path(download.value.path()).read_text(encoding="utf-8")
    page.click("#jobs button:text('Report')")
    report = page.frame_locator("#report iframe")
    assert "accuracy" in report.locator("body").inner_text().lower()
    page.click("#jobs button:text('Remove')")
    page.wait_for_selector("#jobs li", state="detached")


def test_a_text_is_stopped(page: Any) -> None:
    choose(page, "complete", "the cat")
    page.evaluate("document.querySelector('[id^=option-max_tokens]').value = 200")
    page.click("#run")
    page.evaluate("document.getElementById('stop').click()")
    sync_api.expect(page.locator("#stop")).to_be_hidden(timeout=SECONDS)
    assert page.is_enabled("#run")


def test_the_keyboard_is_enough(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "input"
    page.keyboard.type("the cat")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".panel .row, .panel .error")


def test_the_theme_stays(page: Any) -> None:
    before = page.evaluate("document.documentElement.dataset.theme")
    page.click("#theme")
    page.reload()
    page.wait_for_selector("[data-task]")
    after = page.evaluate("document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}
    page.click("#theme")


def test_a_token_is_asked_for(chromium: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-token-of-the-test\n", encoding="utf-8")
    server = Server(tiny_bundle, "--token", f"@{tokens}")
    try:
        page = chromium.new_page()
        page.goto(server.url)
        page.wait_for_selector("#token-form:not([hidden])")
        page.fill("#token", "secret-token-of-the-test")
        page.press("#token", "Enter")
        page.wait_for_selector("[data-task]", timeout=SECONDS)
        page.close()
    finally:
        server.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_accessible_at_every_width(page: Any, width: int, theme: str) -> None:
    modules = os.environ.get("NLPSUITE_TEST_NODE_MODULES")
    axe = Path(modules or ".") / "axe-core" / "axe.min.js"
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    choose(page, "sentiment")
    page.click("#explain")
    page.wait_for_selector(".sentence")
    page.check("#compare")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if not axe.is_file():
        pytest.skip("axe-core isn't in NLPSUITE_TEST_NODE_MODULES")
    page.evaluate(axe.read_text(encoding="utf-8"))
    violations = page.evaluate(
        "axe.run().then((found) => found.violations.map((one) => one.id + ': ' + one.help))"
    )
    assert violations == []
