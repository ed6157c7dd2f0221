"""Translation: languages by code and name, and the form of a text."""

from __future__ import annotations

import pytest

from nlpsuite import Prompt, Record
from nlpsuite.errors import OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

TASK = load_task("translate")


@pytest.mark.parametrize(
    "given, name",
    [
        ("fr", "French"),
        ("FR", "French"),
        ("french", "French"),
        ("Français", "French"),
        (" francais ", "French"),
        ("pt-BR", "Portuguese"),
        ("zh_CN", "Chinese"),
        ("中文", "Chinese"),
        ("deutsch", "German"),
        ("Español", "Spanish"),
        ("nb", "Norwegian"),
    ],
)
def test_codes_and_names_are_languages(given: str, name: str) -> None:
    options = make_options(TASK.options, {"to": given, "from_": given, "plain": True})
    assert (options.to, options.from_) == (name, name)
    assert TASK.prompt(Record("Hi."), options).text == f"{name}: Hi.\n{name}:"


@pytest.mark.parametrize("given", ["", " ", "xx", "Klingon", "-", "Germany", "fra nce"])
def test_an_unknown_language_is_refused_with_the_list(given: str) -> None:
    for option in ("to", "from_"):
        with pytest.raises(OptionError, match="not a known language") as caught:
            make_options(TASK.options, {option: given})
        assert "French, " in caught.value.hint and "Chinese" in caught.value.hint


def words(prompt: Prompt) -> str:
    """Stands in for a translation: the words in capitals."""
    return prompt.messages[-1].content.split(": ", 1)[1].rsplit("\n", 1)[0].upper()


def translated(text: str) -> tuple[str, list[str]]:
    model = EchoModel(words)
    pipeline = Pipeline(TASK, model)
    output = pipeline(text).text
    asked = [words(prompt) for prompt in model.prompts]
    assert "".join(pipeline.stream(text)) == output
    return output, asked


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Good day.", "GOOD DAY."),
        (
            "Good day.\n\nWe open at nine.\n\n- tea\n- cake\n",
            "GOOD DAY.\n\nWE OPEN AT NINE.\n\n- TEA\n- CAKE",
        ),
        ("1. one\n   2) two\n\ta. three", "1. ONE\n   2) TWO\n\ta. THREE"),
        ("# Title\n\n> quoted\n* [x] done\n---\nend", "# TITLE\n\n> QUOTED\n* [x] DONE\n---\nEND"),
        (
            "1\n00:00:01,000 --> 00:00:02,500\nHello.\nAll well?\n\n2\n00:00:03,000 --> 00:00:04,000\nYes.",
            "1\n00:00:01,000 --> 00:00:02,500\nHELLO.\nALL WELL?\n\n2\n00:00:03,000 --> 00:00:04,000\nYES.",
        ),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n- Hello.", "WEBVTT\n\n00:01.000 --> 00:02.000\n- HELLO."),
        ("see:\n```\ncode = 1\n```\nend", "SEE:\n```\ncode = 1\n```\nEND"),
        ("one\r\ntwo", "ONE\r\nTWO"),
        ("2024-01-05\nend", "2024-01-05\nEND"),
    ],
)
def test_only_the_words_are_translated(text: str, expected: str) -> None:
    assert translated(text)[0] == expected


def test_each_line_is_asked_for_by_itself() -> None:
    assert translated("- apples\n- pears")[1][:2] == ["APPLES", "PEARS"]


def test_a_text_without_words_needs_no_model() -> None:
    model = EchoModel(["x"])
    result = Pipeline(TASK, model).run(Record("12:30 - 14:00\n***"))
    assert result.output.text == "12:30 - 14:00\n***" and not model.prompts
    assert result.notices == ["The text has no words to translate."]


def test_a_long_line_is_split_and_put_together_again() -> None:
    sentence = "The ferry leaves the harbour at nine in the morning. "
    text = f"- {sentence * 60}\n- end"
    output, asked = translated(text)
    assert output == text.upper().replace(". \n", ".\n") or output == text.upper()
    assert len(asked) > 4


def test_the_translation_of_a_line_is_one_line() -> None:
    line, lines = (TASK.prompt(Record(text), TASK.options()) for text in ("- apples", "apples\npears"))
    assert line.stop == ("\n",) and lines.stop == ()


PAIRS = "en-de,de-en,en-fr,fr-en"


def adapted(**values: str) -> object:
    return make_options(TASK.options, {"plain": True, "pairs": PAIRS, "from_": "auto", **values})


@pytest.mark.parametrize(
    "text, to, language",
    [
        ("Guten Morgen, wie geht es dir?", "English", "German"),
        ("Schöne Grüße", "English", "German"),
        ("Où est la gare ?", "English", "French"),
        ("Très bien", "English", "French"),
        ("Good morning, how are you?", "German", "English"),
        ("Hello", "French", "English"),
    ],
)
def test_the_language_of_a_text_is_recognized(text: str, to: str, language: str) -> None:
    for auto in ("auto", " Auto"):
        assert TASK.prompt(Record(text), adapted(to=to, from_=auto)).text == f"{language}: {text}\n{to}:"


def test_a_text_has_one_language() -> None:
    text = "Die Katze schläft auf dem Sofa.\n\n- Hallo\n- Milch"
    pieces = TASK.divide(Record(text), adapted(to="en"))
    prompts = [TASK.prompt(piece, adapted(to="en")).text for piece in pieces]
    assert prompts == [
        "German: Die Katze schläft auf dem Sofa.\nEnglish:",
        "German: Hallo\nEnglish:",
        "German: Milch\nEnglish:",
    ]


@pytest.mark.parametrize(
    "text, values, message",
    [
        ("Hello", {"to": "es"}, "into Spanish"),
        ("Hello", {"to": "de", "from_": "es"}, "from Spanish to German"),
        ("Guten Tag, wie geht es dir?", {"to": "fr"}, "from German to French"),
        ("Guten Tag, wie geht es dir?", {"to": "de"}, "seems to be German already"),
        ("xyzzy", {"to": "en"}, "can't be recognized"),
    ],
)
def test_what_an_adapted_model_can_not_translate(text: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        TASK.divide(Record(text), adapted(**values))
    assert "--from" in caught.value.hint


def test_a_text_without_words_has_no_language_to_recognize() -> None:
    model = EchoModel(["x"])
    pipeline = Pipeline(TASK, model, plain=True, pairs=PAIRS, from_="auto", to="en")
    assert pipeline("12:30 - 14:00").text == "12:30 - 14:00" and not model.prompts


def test_pairs_of_unknown_languages() -> None:
    with pytest.raises(OptionError, match="not a known language"):
        adapted(pairs="en-xx")


def test_an_adapted_model_translates_by_sentence() -> None:
    text = "* Dr. Hill left. She was late!\n\nWhy?  Nobody knows."
    model = EchoModel(lambda prompt: prompt.text.split(": ", 1)[1].rsplit("\n", 1)[0].upper())
    pipeline = Pipeline(TASK, model, plain=True, to="fr", from_="en")
    assert pipeline(text).text == "* DR. HILL LEFT. SHE WAS LATE!\n\nWHY?  NOBODY KNOWS."
    assert len(model.prompts) == 4
    assert "".join(pipeline.stream(text)) == pipeline(text).text
