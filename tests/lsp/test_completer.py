"""What the language server makes of a document and a cursor, and of settings."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import pytest

from nlpsuite.errors import OptionError
from nlpsuite.lsp.completer import Completer, Cursor
from nlpsuite.lsp.settings import LspSettings, with_editor_settings
from nlpsuite.models.spec import Silent
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

WRITTEN = "a + b\n    print(a)\nrest"


def completer(monkeypatch: pytest.MonkeyPatch, model: EchoModel, **settings: Any) -> Completer:
    loaded = Pipeline(load_task("complete"), model)
    monkeypatch.setattr("nlpsuite.tasks.load.load", lambda *args, **keywords: loaded)
    return Completer(LspSettings(**settings), Silent(), lambda text: None)


def suggested(monkeypatch: pytest.MonkeyPatch, prefix: str, suffix: str = "", **settings: Any) -> str:
    model = EchoModel([WRITTEN])
    return completer(monkeypatch, model, **settings).suggest(Cursor(prefix, suffix), lambda: False)


def test_a_block_on_an_empty_line_else_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested(monkeypatch, "def f():\n    ", "\ng()") == "a + b\n    print(a)"
    assert suggested(monkeypatch, "def f():\n    x = ") == "a + b"
    assert suggested(monkeypatch, "def f():\n    x = ", unit="block") == "a + b\n    print(a)"
    assert suggested(monkeypatch, "def f():\n    ", unit="line") == "a + b"


def test_what_stands_behind_the_cursor_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested(monkeypatch, "x = (", " b") == "a +"
    assert suggested(monkeypatch, "def f():\n    ", "\n    print(a)\n") == "a + b"


def test_no_more_is_read_than_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EchoModel([" "])
    found = completer(monkeypatch, model, prefix_tokens=16, suffix_tokens=8).suggest(
        Cursor("x = 1\n" * 500 + "y = ", "\n" + "z = 2\n" * 500), lambda: False
    )
    assert found == ""  # white space alone is no suggestion
    [prompt] = model.prompts
    assert model.count_tokens(prompt.text) <= 16 and prompt.text.endswith("x = 1\ny = ")


def test_a_suggestion_that_nobody_waits_for_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CancelledError):
        completer(monkeypatch, EchoModel([WRITTEN])).suggest(Cursor("x = ", ""), lambda: True)


def test_an_editors_settings_take_precedence() -> None:
    settings = LspSettings(model="a", unit="line")
    given = with_editor_settings(settings, {"model": "b", "maxTokens": 9, "suffix_tokens": 0})
    assert given == LspSettings(model="b", unit="line", max_tokens=9, suffix_tokens=0)
    assert with_editor_settings(settings, None) == settings


@pytest.mark.parametrize(
    "given, message",
    [
        ({"maxTokns": 8}, "max_tokns"),
        ({"unit": "page"}, "unit is 'page'"),
        ({"maxTokens": 0}, "max_tokens is 0, must be between 1 and 1,024"),
        ({"debounce": "fast"}, "debounce is 'fast'"),
        (["unit"], "not an object"),
    ],
)
def test_wrong_settings_are_refused(given: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        with_editor_settings(LspSettings(), given)
