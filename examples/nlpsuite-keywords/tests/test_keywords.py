"""No test here needs a model: EchoModel says what a model might."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner
from nlpsuite_keywords import Keywords
from nlpsuite_keywords.metric import METRICS
from nlpsuite_keywords.phrases import frequent_words, listed, phrases_in
from nlpsuite_keywords.reader import read_keys
from nlpsuite_keywords.tally import tally

from nlpsuite import Output, Record
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.plugins import find_plugin, measure
from nlpsuite.testing import EchoModel, Pipeline, TaskConformance, check_plugin, read_examples

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


def test_the_metrics() -> None:
    given, wanted = ["Crab, maze", ""], ["crab, shore, claw", ""]
    figures = {name: measure(name, given, wanted) for name in Keywords.metrics}
    assert figures == pytest.approx({"keyword_f1": 0.7, "keyword_precision": 0.75, "keyword_recall": 2 / 3})
    with pytest.raises(InputInvalidError, match="1 outputs and 2 references"):
        measure("keyword_f1", ["a"], ["a", "b"])


def test_of_several_references_the_best_counts() -> None:
    metric = METRICS["keyword_f1"]()
    rows = metric.statistics([Output("crab"), Output("maze")], [["claw", "CRAB"], ["shore"]])
    assert rows.tolist() == [[1, 1], [0, 1]] and metric.figure(rows.sum(axis=0)) == 0.5
    assert metric.signature(2).startswith("nrefs:2|")


def test_lists_of_documents(tmp_path: Path) -> None:
    (tmp_path / "C-41.txt").write_text("A crab\nin a maze.\n")
    (tmp_path / "list.keys").write_text("C-41 : crab,maze\n\nC-42 : ferry\n../C-41 : crab\nno keywords\n")
    rows = list(read_keys(tmp_path / "list.keys"))
    assert rows[0] == (1, {"id": "C-41", "text": "A crab\nin a maze.\n", "keywords": "crab, maze"})
    assert [number for number, _ in rows] == [1, 3, 4, 5]
    assert all(isinstance(row, InputInvalidError) for _, row in rows[1:])
    for (_, error), words in zip(
        rows[1:], ("C-42.txt", "isn't a plain file name", "no document with keywords")
    ):
        assert words in error.message and "list.keys:" in error.message
    with gzip.open(tmp_path / "packed.keys.gz", "wt") as file:
        file.write("C-41: crab, maze")
    [example] = read_examples(tmp_path / "packed.keys.gz", Keywords())
    assert (example.record.text, example.reference) == ("A crab\nin a maze.\n", "crab, maze")


def test_keywords_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.keys"
    path.write_text("a : crab, maze\nb : Crab\nc : ferry\n")
    for name in "abc":
        path.with_name(f"{name}.txt").touch()
    done = CliRunner().invoke(tally, [str(path), "--count", "2"], catch_exceptions=False)
    assert done.stdout == "2  crab\n1  maze\n"
    path.write_text("a : crab\nno keywords\n")
    with pytest.raises(InputInvalidError, match=r"list.keys:2"):
        CliRunner().invoke(tally, [str(path)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("kind", "names"), [("metric", Keywords.metrics), ("reader", ("keys",)), ("command", ("tally",))]
)
def test_the_other_plugins_keep_the_contract(kind: str, names: tuple[str, ...]) -> None:
    for name in names:
        findings = list(check_plugin(find_plugin(kind, name)))
        assert [str(finding) for finding in findings if not finding.ok] == []


def test_files_of_examples(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('abstract,tags\n"A crab in a maze.","crab, maze"\n')
    [example] = read_examples(path, Keywords())
    output = Pipeline(Keywords(), EchoModel([example.reference]))(example.record.text)
    figures = Keywords().evaluate([output], [example.reference], Keywords.options())
    assert figures == {"keyword_f1": 1, "keyword_precision": 1, "keyword_recall": 1}
