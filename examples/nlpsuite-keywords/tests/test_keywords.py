"""No test here needs a model: EchoModel says what a model might."""

from __future__ import annotations

from pathlib import Path

import pytest
from nlpsuite_keywords import Keywords
from nlpsuite_keywords.metric import keyword_scores
from nlpsuite_keywords.phrases import frequent_words, listed, phrases_in

from nlpsuite import Record
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.tasks.examples import read_examples
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel, TaskConformance

TEXT = "A shore crab learns the way through a maze. The maze has five turns, and the crab forgets none."


class TestConformance(TaskConformance):
    task = "keywords"


def test_only_words_of_the_text_are_kept() -> None:
    model = EchoModel([" Shore crab, maze, science, Maze, the way through a maze"])
    output = Pipeline(Keywords(), model)(TEXT)
    assert output.text == "Shore crab, maze"
    assert output.data == {"keywords": ["Shore crab", "maze"], "found_by": "model"}


def test_an_answer_of_no_use_gives_frequent_words() -> None:
    output = Pipeline(Keywords(), EchoModel(["I am sorry, but I can't."]), count=2)(TEXT)
    assert output.data == {"keywords": ["crab", "maze"], "found_by": "frequency"}


def test_options_reach_the_prompt() -> None:
    model = EchoModel(["Brot"])
    Pipeline(Keywords(), model, language="German", count=3)("Das Brot\nist gut.")
    assert model.prompts[0].max_tokens == 24
    assert model.prompts[0].text.endswith("\n\nText: Das Brot ist gut.\nKeywords:")
    with pytest.raises(OptionError, match="count is 0"):
        Pipeline(Keywords(), model, count=0)


def test_parts_of_a_long_text_vote() -> None:
    text = "\n\n".join(
        f"The ferry and the {word} number {i}." for i, word in enumerate(["buoy", "lamp"] * 150)
    )
    model = EchoModel([" ferry, buoy", " lamp, ferry"])
    result = Pipeline(Keywords(), model).run(Record(text))
    assert result.parts > 2
    assert result.output.data["keywords"] == ["ferry", "lamp", "buoy"]


@pytest.mark.parametrize(
    "answer",
    ["crab, shore maze", "- crab\n- shore maze", "1. crab\n2. shore maze", "* *crab*; 'shore  maze'."],
)
def test_lists_in_any_form(answer: str) -> None:
    assert listed(answer) == ["crab", "shore maze"]


def test_phrases_stand_in_the_text_as_they_are() -> None:
    assert phrases_in(TEXT, ["MAZE", "crab maze", "the", "has", "5", "five turns", "cra"]) == [
        "MAZE",
        "five turns",
    ]
    assert frequent_words("Das Brot und die Milch, das Brot.", 2, "German") == ["brot", "milch"]


def test_the_metric() -> None:
    scores = keyword_scores([["Crab", "maze"], []], [["crab", "shore", "claw"], []])
    assert scores == pytest.approx({"precision": 0.75, "recall": 2 / 3, "f1": 0.7})
    with pytest.raises(InputInvalidError, match="1 outputs and 2 references"):
        keyword_scores([["a"]], [["a"], ["b"]])


def test_files_of_examples(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('abstract,tags\n"A crab in a maze.","crab, maze"\n')
    [example] = read_examples(path, Keywords())
    output = Pipeline(Keywords(), EchoModel([example.reference]))(example.record.text)
    figures = Keywords().evaluate([output], [example.reference], Keywords.options())
    assert figures == {"precision": 1, "recall": 1, "f1": 1}
