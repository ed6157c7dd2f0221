"""References and predictions from files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from answers import failed, labelled
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.data.sources import open_table
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.predictions import open_predictions, write_predictions
from nlpsuite.evaluation.rows import EvaluatedRow, result_of, rows_of, with_predictions
from nlpsuite.plugins import load_task
from nlpsuite.tasks.result import Output, Result


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_references(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "a.jsonl", {"text": "x", "label": 1}, {"text": "y", "label": " Negative "})
    rows = rows_of(load_task("sentiment"), open_table(str(data)))
    assert [row.references for row in rows] == [("positive",), ("negative",)] and rows[1].id == 1
    several = jsonl(tmp_path / "b.jsonl", {"text": "x", "summary": ["one", "two"]})
    assert rows_of(load_task("summarize"), open_table(str(several)))[0].references == ("one", "two")
    assert len(rows_of(load_task("sentiment"), open_table(str(data)), limit=1)) == 1


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "x", "label": "maybe"}, "'maybe' is not a label"),
        ({"text": "x", "label": None}, "'label' is missing"),
        ({"text": "x", "label": " "}, "'label' is empty"),
        ({"text": "x", "label": {"a": 1}}, "not a text"),
        ({"text": "x"}, "'label' is missing"),
    ],
)
def test_a_row_without_a_reference_is_refused_with_its_line(
    row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    data = jsonl(tmp_path / "a.jsonl", {"text": "x", "label": "positive"}, row)
    with pytest.raises(InputInvalidError, match=message) as error:
        rows_of(load_task("sentiment"), open_table(str(data)))
    assert f"{data}:2: " in error.value.message


def test_an_unknown_column_and_a_damaged_row(tmp_path: Path) -> None:
    task = load_task("sentiment")
    data = jsonl(tmp_path / "a.jsonl", {"text": "x", "stars": "positive"})
    with pytest.raises(InputInvalidError, match="label or sentiment") as error:
        rows_of(task, open_table(str(data)))
    assert "--reference-column" in error.value.hint and "'stars'" in error.value.hint
    assert rows_of(task, open_table(str(data)), "stars")[0].references == ("positive",)
    with pytest.raises(InputInvalidError, match="no column 'star'"):
        rows_of(task, open_table(str(data)), "star")
    data.write_text('{"text": "x", "label": "positive"}\n{"text": \n')
    with pytest.raises(InputInvalidError, match=":2"):
        rows_of(task, open_table(str(data)))


def test_predictions_as_score_writes_them() -> None:
    task = load_task("sentiment")
    row = {"output": "positive (97%)", "probabilities": {"negative": 0.03, "positive": 0.97}, "status": "ok"}
    found = result_of(task, row).output
    assert (found.answer, found.probabilities) == ("positive", row["probabilities"])
    assert result_of(task, row).error is None
    as_text = result_of(task, {**row, "probabilities": json.dumps(row["probabilities"])}).output
    assert as_text == found
    assert result_of(task, {"output": None, "status": "error", "error": "too long"}) == failed("too long")
    prefixed = result_of(task, {f"new_{name}": value for name, value in row.items()}, "new_output").output
    assert prefixed == found
    text = result_of(load_task("complete"), {"output": " x", "data": {"passed": True}}).output
    assert text == Output(" x", data={"passed": True})


def test_predictions_of_others() -> None:
    task = load_task("sentiment")
    assert result_of(task, {"prediction": "POSITIVE"}).output == Output("positive", "positive")
    assert result_of(task, {"x": "0"}).output == Output("negative", "negative")
    assert result_of(task, {"a": "b", "mine": 1}, "mine").output == Output("positive", "positive")
    assert result_of(task, {"output": None}) == failed("There is no prediction.")
    for row, column in (({"a": "x", "b": "y"}, ""), ({"output": "x"}, "other"), ({"output": [1]}, "")):
        with pytest.raises(InputInvalidError):
            result_of(task, row, column)


def test_predictions_belong_to_their_rows(tmp_path: Path) -> None:
    task = load_task("sentiment")
    rows = labelled("pn", "xx")
    good = jsonl(tmp_path / "a.jsonl", {"text": "Text 0.", "output": "positive"}, {"output": "negative"})
    done = with_predictions(task, rows, open_table(str(good)))
    assert [row.output.answer for row in done] == ["positive", "negative"]
    other = jsonl(
        tmp_path / "b.jsonl", {"text": "Text 0.", "output": "positive"}, {"text": "T", "output": "n"}
    )
    with pytest.raises(InputInvalidError, match=r"b\.jsonl:2: 'text' is \"T\""):
        with_predictions(task, rows, open_table(str(other)))
    for n in (1, 3):
        few = jsonl(tmp_path / "c.jsonl", *([{"output": "positive"}] * n))
        with pytest.raises(InputInvalidError, match="2 rows and"):
            with_predictions(task, rows, open_table(str(few)))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_written_predictions_are_read_again(suffix: str, tmp_path: Path) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    task = load_task("sentiment")
    rows = labelled("pnp", "ppx", label=["1", "0", "1"])
    path = tmp_path / f"out.{suffix}"
    write_predictions(path, rows)
    again = open_predictions(str(path)).rows(task)
    assert [row.output for row in again] == [row.output for row in rows]
    assert [row.result.error_text for row in again] == ["", "", "The text is empty."]
    assert [dict(row.values) for row in again] == [dict(row.values) for row in rows]
    assert open_predictions(str(path)).task == ""


@given(
    st.lists(
        st.tuples(st.text(), st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=3)),
        min_size=1,
    )
)
def test_texts_and_references_survive_jsonl_and_csv(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, list[str]]]
) -> None:
    task = load_task("complete")
    pairs = [(said, right) for said, right in pairs if _writable(said, *right)] or [("a", ["b"])]
    rows = [
        EvaluatedRow(i, i, {"text": "t", "reference": right}, tuple(right), Result(Output(said)))
        for i, (said, right) in enumerate(pairs)
    ]
    for suffix in ("jsonl", "csv"):
        path = tmp_path_factory.mktemp("files") / f"a.{suffix}"
        write_predictions(path, rows)
        again = open_predictions(str(path)).rows(task)
        assert [row.references for row in again] == [row.references for row in rows]
        if suffix == "jsonl":
            assert [row.output for row in again] == [row.output for row in rows]


def _writable(*texts: str) -> bool:
    return all("\0" not in text and text.encode("utf-8", "ignore").decode() == text for text in texts)


def test_the_job_beside_a_file_says_what_it_is(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", {"n": "7", "body": "x", "gold": "1", "new_output": "positive", "output": "3"}
    )
    keys = {"task": "sentiment", "text_columns": ["body"], "id_column": "n", "model": {"sha256": "ab"}}
    manifest = {"format": "nlpsuite-job", "keys": keys, "reference": "gold", "prefix": "new_", "model": "m",
                "columns": ["n", "body", "gold", "output"]}  # fmt: skip
    (tmp_path / "a.job").mkdir()
    (tmp_path / "a.job" / "manifest.json").write_text(json.dumps(manifest))
    found = open_predictions(str(path))
    assert (found.task, found.text_columns, found.model) == (
        "sentiment",
        ("body",),
        {"name": "m", "sha256": "ab", "adapter_sha256": None},
    )
    [row] = found.rows(load_task("sentiment"))
    assert row.id == "7" and row.output.answer == "positive" and row.references == ("positive",)
    assert dict(row.values) == {"n": "7", "body": "x", "gold": "1", "output": "3"}


def test_a_kind_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputInvalidError, match="Unsupported file type"):
        write_predictions(tmp_path / "a.xlsx", labelled("p", "p"))


def test_outcomes_of_programs(tmp_path: Path) -> None:
    from nlpsuite.evaluation.execute import with_outcomes

    problem = {"prompt": "def f(a):\n", "test": "def check(f):\n    assert f(1) == 2\n", "entry_point": "f"}
    answers = ["    return a + 1\n", "    return a\n"]
    rows = [EvaluatedRow(i, i, problem, ("x",), Result(Output(said))) for i, said in enumerate(answers)]
    done = with_outcomes([*rows, dataclasses.replace(rows[0], index=2, result=failed("no"))], workers=2)
    assert [row.output.data.get("passed") for row in done] == [True, False, None]
    assert done[1].output.data["outcome"] == "failed"
    with pytest.raises(InputInvalidError, match="'prompt', 'test', 'entry_point'"):
        with_outcomes([EvaluatedRow(0, 0, {}, ("x",))])
