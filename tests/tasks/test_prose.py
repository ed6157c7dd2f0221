"""Markup is taken out of texts that are read for their meaning, and unknown languages get a notice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite import Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.prose import guess_language, known_languages, markup_to_text, read_prose
from nlpsuite.testing import EchoModel

PAGE = """<!DOCTYPE html><html><head><title>News</title><style>p { color: red }</style>
<script>if (a < b) track("x");</script></head><body><nav><a href="/">Home</a></nav>
<h1>Tea &amp; cake</h1><p>The <b>tea</b> room
opens at nine.</p><ul><li>scones<li>jam</ul><!-- <p>hidden</p> --></body></html>"""


def test_a_page_becomes_its_text() -> None:
    assert markup_to_text(PAGE) == "Tea & cake\nThe tea room opens at nine.\nscones\njam"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("<p>One.</p><p>Two <i>three</i>.</p>", "One.\nTwo three."),
        ('<?xml version="1.0"?><note><to>Ann</to><body>Come &lt;soon&gt;</body></note>', "Ann\nCome <soon>"),
        ("<html><head><title>T<body>Still <em>here</em>", "Still here"),
        ("A <b>bold</b> text.", None),
        ("Use a < b and c > d.", None),
        ("I love it.<br /><br />Really.<br />", None),  # as in sets of film reviews
        ("", None),
    ],
)
def test_documents_and_fragments(text: str, expected: str | None) -> None:
    assert markup_to_text(text) == expected


@given(st.text(st.sampled_from("<>/!-pbiscript&;=\"' a"), max_size=60))
def test_any_markup_is_read(text: str) -> None:
    found = markup_to_text(f"<html>{text}")
    assert found is not None and "\n\n" not in found


@pytest.mark.parametrize(
    "text, language",
    [
        ("The shop on the corner is closed because the owner was ill.", "English"),
        ("El ayuntamiento aprobó ayer un plan para cerrar el centro a los coches.", "Spanish"),
        ("Die Stadt hat gestern einen Plan für das Zentrum beschlossen, aber nicht für den Hafen.", "German"),
        ("La mairie a annoncé hier un plan pour les rues du centre, qui ne sont pas sûres.", "French"),
        ("这家商店明天上午九点开门。", "Chinese"),
        ("このお店は明日の朝九時に開きます。", "Japanese"),
        ("가게는 내일 아침 아홉 시에 엽니다.", "Korean"),
        ("Το κατάστημα ανοίγει αύριο στις εννέα.", "Greek"),
        ("Great!", None),
        ("12 34 :)", None),
    ],
)
def test_languages_are_told_apart(text: str, language: str | None) -> None:
    assert guess_language(text) == language


def test_a_notice_names_the_language_where_the_models_are_known() -> None:
    spanish = Record("El ayuntamiento aprobó ayer un plan para cerrar el centro a los coches.")
    _, [notice] = read_prose(spanish, frozenset({"English"}))
    assert "Spanish" in notice and "English only" in notice
    assert read_prose(spanish, None) == (spanish, ())
    assert read_prose(spanish, frozenset({"English", "Spanish"})) == (spanish, ())
    english = Record("The shop on the corner is closed because the owner was ill.")
    assert read_prose(english, frozenset({"English"})) == (english, ())


def test_the_languages_of_a_model() -> None:
    model = EchoModel()
    assert known_languages(model.bundle) is None


def test_markup_alone_is_refused() -> None:
    with pytest.raises(InputInvalidError, match="only markup"):
        read_prose(Record("<html><script>a()</script></html>"), None)


@pytest.mark.parametrize("task", ["summarize", "sentiment", "translate"])
def test_the_model_gets_the_text_and_the_user_a_notice(task: str) -> None:
    model = EchoModel(["positive"])
    result = Pipeline(load_task(task), model).run(Record(PAGE.replace("jam", "jam and " * 9 + "tea")))
    asked = " ".join(m.content for p in model.prompts for m in p.messages) + model.prompts[0].text
    assert "tea room" in asked.lower() and "track" not in asked and "color" not in asked
    assert "<" not in asked and "HTML" in result.notices[0]


@pytest.mark.parametrize("task", ["chat", "complete", "review"])
def test_code_is_left_alone(task: str) -> None:
    model = EchoModel(["ok"])
    Pipeline(load_task(task), model).run(Record("<p>a</p><p>b</p><p>c</p>"))
    assert any("<p>a</p>" in str(prompt) for prompt in model.prompts)
