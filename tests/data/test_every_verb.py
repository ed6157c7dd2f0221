"""One data room: a file means the same to every verb, or is refused by all of them in the same words."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlpsuite.batch.score import score
from nlpsuite.cli import _run
from nlpsuite.data.examples import read_examples
from nlpsuite.data.labels import with_label_map
from nlpsuite.data.text import read_input
from nlpsuite.errors import InputInvalidError, InputNotFoundError, NlpsuiteError
from nlpsuite.plugins import load_task
from nlpsuite.tasks.shots import Shots
from nlpsuite.training.corpus import read_corpus

TEXTS = ["Great café; really", "Bad"]
PAIRS = [(TEXTS[0], "positive"), (TEXTS[1], "negative")]

Verb = Callable[[Path], list[Any]]


def table(delimiter: str, labels: tuple[str, str] = ("1", "0"), end: str = "\n", header: str = "text") -> str:
    quoted = f'"{TEXTS[0]}"'
    rows = [(header, "label"), (quoted, labels[0]), (TEXTS[1], labels[1])]
    return "".join(delimiter.join(row) + end for row in rows)


def lines(*labels: Any) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in zip(TEXTS, labels or ("positive", "negative"))]


def json_lines(*labels: Any) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines(*labels))


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


FILES: dict[str, tuple[str, str | bytes]] = {
    "comma": ("a.csv", table(",")),
    "semicolon": ("a.csv", table(";")),
    "pipe": ("a.csv", table("|")),
    "tab in a csv": ("a.csv", table("\t")),
    "tsv": ("a.tsv", f"text\tlabel\n{TEXTS[0]}\t1\n{TEXTS[1]}\t0\n"),
    "json lines": ("a.jsonl", json_lines()),
    "ndjson": ("a.ndjson", json_lines(1, 0)),
    "json array": ("a.json", json.dumps(lines(), ensure_ascii=False, indent=2)),
    "json lines in a .json": ("a.json", json_lines()),
    "parquet": ("a.parquet", parquet(text=TEXTS, label=["positive", "negative"])),
    "parquet of bytes": (
        "a.parquet", parquet(text=[t.encode() for t in TEXTS], label=pa.array([b"positive", b"negative"], pa.large_binary())),
    ),
    "parquet of dictionaries": ("a.parquet", parquet(text=TEXTS, label=pa.array(["pos", "neg"]).dictionary_encode())),
    "gzip": ("a.csv.gz", gzip.compress(table(",").encode(), mtime=0)),
    "zstd": ("a.jsonl.zst", pa.compress(json_lines().encode(), "zstd", asbytes=True)),
    "utf-8 mark": ("a.csv", table(",").encode("utf-8-sig")),
    "utf-16 csv": ("a.csv", table(",", end="\r\n").encode("utf-16")),
    "utf-16 big endian": ("a.tsv", b"\xfe\xff" + table("\t").replace('"', "").encode("utf-16-be")),
    "utf-32 json lines": ("a.jsonl", json_lines().encode("utf-32")),
    "utf-16 json": ("a.json", json.dumps(lines()).encode("utf-16")),
    "utf-16 gzip": ("a.csv.gz", gzip.compress(table(",").encode("utf-16"), mtime=0)),
    "crlf": ("a.csv", table(",", end="\r\n")),
    "carriage returns": ("a.csv", table(",", end="\r")),
    "carriage returns in json lines": ("a.jsonl", json_lines().replace("\n", "\r")),
    "unnamed columns": ("a.csv", f'text,label,,\n"{TEXTS[0]}",1,,\n{TEXTS[1]},0,,\n'),
    "labels in capitals": ("a.csv", table(",", ("POS", "NEG"))),
    "labels with blanks": ("a.csv", table(",", ("pos ", " neg"))),
    "labels as floats": ("a.csv", table(",", ("1.0", "0.0"))),
    "labels as truth": ("a.csv", table(",", ("True", "False"))),
    "labels with signs": ("a.csv", table(",", ("+1", "-1"))),
    "labels of transformers": ("a.csv", table(",", ("LABEL_1", "LABEL_0"))),
    "labels of fasttext": ("a.csv", table(",", ("__label__positive", "__label__negative"))),
    "labels as json truth": ("a.jsonl", json_lines(True, False)),
    "labels as json numbers": ("a.jsonl", json_lines(1.0, -1)),
    "labels as parquet truth": ("a.parquet", parquet(text=TEXTS, label=[True, False])),
}  # fmt: skip


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def score_rows(tiny_bundle: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """``nlpsuite score`` on the tiny model; the rows of the result."""

    def run(path: Path | str, task: str = "sentiment", **more: Any) -> list[dict[str, Any]]:
        output = tmp_path / "scored.jsonl"
        more = {"threads": 1, "workers": 1, "overwrite": True, **more}
        score(task, path, output, model=str(tiny_bundle), **more)
        return [json.loads(line) for line in output.read_text().splitlines()]

    return run


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """``nlpsuite eval`` with a baseline; its report."""

    def run(
        path: Path | str, *flags: str, task: str = "sentiment", baseline: str = "majority"
    ) -> dict[str, Any]:
        code = _run(["eval", task, str(path), "--baseline", baseline, "--json", *flags])
        captured = capsys.readouterr()
        if code not in (0, 3):
            raise InputInvalidError(captured.err)
        report: dict[str, Any] = json.loads(captured.out)
        return report

    return run


@pytest.mark.parametrize("name", FILES)
def test_the_same_examples_for_every_verb(name: str, tmp_path: Path, score_rows: Any, evaluate: Any) -> None:
    path = write(tmp_path / FILES[name][0], FILES[name][1])
    task = load_task("sentiment")
    assert [(e.record.text, e.reference) for e in read_examples(path, task)] == PAIRS  # train adapter
    assert [(e.record.text, e.reference) for e in Shots.read(path, task).examples] == PAIRS
    assert [document.text for document in read_corpus([str(path)])] == TEXTS  # train lm
    rows = score_rows(path)
    assert [(row["status"], row["error"]) for row in rows] == [("ok", None)] * 2
    report = evaluate(path)
    assert [(row["text"], row["references"]) for row in report["worst"]] == [(t, [r]) for t, r in PAIRS]
    assert [row["n"] for row in report["labels"]["classes"]] == [1, 1]


TEXT_FILES: dict[str, tuple[str, bytes]] = {
    "utf-8": ("a.txt", "Great café\n".encode()),
    "utf-8 mark": ("a.txt", "Great café\n".encode("utf-8-sig")),
    "utf-16": ("a.txt", "Great café\n".encode("utf-16")),
    "utf-16 big endian": ("a.txt", b"\xfe\xff" + "Great café\n".encode("utf-16-be")),
    "utf-32": ("a.txt", "Great café\n".encode("utf-32")),
    "gzip": ("a.txt.gz", gzip.compress("Great café\n".encode(), mtime=0)),
    "zstd": ("a.txt.zst", pa.compress("Great café\n".encode(), "zstd", asbytes=True)),
    "utf-16 zstd": ("a.txt.zst", pa.compress("Great café\n".encode("utf-16"), "zstd", asbytes=True)),
}


@pytest.mark.parametrize("name", TEXT_FILES)
def test_the_same_text_for_every_verb(name: str, tmp_path: Path, score_rows: Any) -> None:
    path = write(tmp_path / TEXT_FILES[name][0], TEXT_FILES[name][1])
    assert read_input(str(path)).text == "Great café\n"  # run, prompts show, eval lm
    assert [document.text for document in read_corpus([str(path)])] == ["Great café\n"]
    [row] = score_rows(path)
    assert (row["text"], row["status"]) == ("Great café", "ok")
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / path.name)
    assert [document.text for document in read_corpus([str(tmp_path / "folder")])] == ["Great café\n"]
    [row] = score_rows(tmp_path / "folder")
    assert (row["text"], row["status"]) == ("Great café\n", "ok")


def test_text_lines_that_end_in_carriage_returns(tmp_path: Path, score_rows: Any) -> None:
    path = write(tmp_path / "a.txt", "Great film\rBad film\rFine\r")
    assert [row["text"] for row in score_rows(path)] == ["Great film", "Bad film", "Fine"]
    pair = write(tmp_path / "a.en", "one\rtwo"), write(tmp_path / "a.de", "eins\rzwei\r")
    source = f"{pair[0]},{pair[1]}"
    examples = read_examples(source, load_task("translate"))
    assert [(e.record.text, e.reference) for e in examples] == [("one", "eins"), ("two", "zwei")]
    assert [row["reference"] for row in score_rows(source, "translate", options={"max_tokens": 2})] == [
        "eins",
        "zwei",
    ]


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "unknown type": ("a.xlsx", "PK", "Unsupported file type: "),
    "no such column": (
        "a.csv",
        "a,label,b\nx,1,y\n",
        "has no column called text or sentence or content or review",
    ),
    "two columns of a name": ("a.csv", "text,text,label\nx,y,1\n", ":1: two columns are called 'text'"),
    "misplaced quote": ("a.csv", 'text,label\nx,1\n"y"z,0\n', ":3: "),
    "damaged gzip": ("a.csv.gz", gzip.compress(b"text,label\nx,1\n", mtime=0)[:-9], "a.csv.gz is damaged"),
    "damaged zstd": ("a.jsonl.zst", b"none", "a.jsonl.zst is damaged"),
    "utf-16 without a mark": ("a.csv", "text,label\nx,1\n".encode("utf-16-le"), "looks like UTF-16 without"),
    "broken utf-16": ("a.tsv", b"\xff\xfet\x00\x00\xd8x\x00", "is not valid utf-16"),
    "an open array": ("a.json", '[{"text": "x", "label": 1},', "array isn't closed"),
    "not a table": ("a.json", '"text"', ":1: neither a JSON array of objects nor one object a line"),
    "damaged parquet": ("a.parquet", b"PAR1 no", "a.parquet can't be read"),
    "no row": ("a.jsonl", '{"text": "x", "label": 1},\n', ":1: not valid JSON: Extra data at character 26"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_refusal_from_every_verb(name: str, tmp_path: Path, score_rows: Any, evaluate: Any) -> None:
    file, content, said = REFUSED[name]
    path = write(tmp_path / file, content)
    task = load_task("sentiment")
    for verb in (
        lambda: list(read_examples(path, task)),
        lambda: Shots.read(path, task),
        lambda: score_rows(path),
        lambda: evaluate(path),
    ):
        with pytest.raises(InputInvalidError) as caught:
            verb()
        assert said in caught.value.message, verb
    if name not in ("unknown type", "no such column"):  # any file of text can be learnt
        with pytest.raises(InputInvalidError) as caught:
            list(read_corpus([str(path)]))
        assert said in caught.value.message


def test_a_missing_file_and_an_unknown_encoding_in_every_verb(
    tmp_path: Path, score_rows: Any, evaluate: Any
) -> None:
    task, path = load_task("sentiment"), write(tmp_path / "a.csv", table(","))
    for verb in (
        lambda p, **how: list(read_examples(p, task, **how)),
        lambda p, **how: score_rows(p, **how),
        lambda p, **how: read_input(str(p), **how),
        lambda p, **how: list(read_corpus([str(p)], **how)),
    ):
        with pytest.raises(InputNotFoundError, match="There is no file (or folder )?.*none.csv"):
            verb(tmp_path / "none.csv")
        with pytest.raises(NlpsuiteError, match="There is no encoding 'klingon'"):
            verb(path, encoding="klingon")
    with pytest.raises(InputInvalidError, match="There is no encoding 'klingon'"):
        evaluate(path, "--encoding", "klingon")


# What a user can say about a file.


@pytest.mark.parametrize(
    "content, how",
    [
        (table("#"), {"delimiter": "#"}),
        (table(";"), {"delimiter": ";"}),
        (table("\t"), {"delimiter": "tab"}),
        (table(",").replace("Great café", r"Great \"café\""), {"escape": "\\"}),
        (table(",").encode("latin-1"), {"encoding": "latin-1"}),
        (table(",").encode("utf-16-le"), {"encoding": "utf-16-le"}),
    ],
)
def test_delimiter_escape_and_encoding(
    content: str | bytes, how: dict[str, str], tmp_path: Path, score_rows: Any, evaluate: Any
) -> None:
    path = write(tmp_path / "a.csv", content)
    expected = [text.replace("café", '"café"') if "escape" in how else text for text in TEXTS]
    examples = list(read_examples(path, load_task("sentiment"), **how))
    assert [example.record.text for example in examples] == expected
    assert [row["text"] for row in score_rows(path, **how)] == expected
    assert evaluate(path, *(f"--{name}={value}" for name, value in how.items()))["n"] == 2


def test_an_option_that_a_reader_does_not_take(tmp_path: Path, score_rows: Any) -> None:
    path = write(tmp_path / "a.jsonl", json_lines())
    with pytest.raises(NlpsuiteError, match=r"Files of type \.jsonl take no --delimiter"):
        score_rows(path, delimiter=";")


def test_label_maps(tmp_path: Path, evaluate: Any) -> None:
    path = write(tmp_path / "a.csv", table(",", ("5", "1")))
    with pytest.raises(InputInvalidError, match="'5' is not a label of sentiment") as caught:
        list(read_examples(path, load_task("sentiment")))
    assert "--label-map" in caught.value.hint
    mapped = with_label_map(load_task("sentiment"), "5=positive,1=negative")
    assert [example.reference for example in read_examples(path, mapped)] == ["positive", "negative"]
    assert [
        row["n"] for row in evaluate(path, "--label-map", "5=positive,1=negative")["labels"]["classes"]
    ] == [1, 1]
    for text, said in (
        ("5=great", "'great' is not a label"),
        ("5", "has '5'"),
        ("=positive", "has '=positive'"),
    ):
        with pytest.raises(NlpsuiteError, match=said):
            with_label_map(load_task("sentiment"), text)
    with pytest.raises(NlpsuiteError, match="translate has no labels"):
        with_label_map(load_task("translate"), "a=b")


def test_a_third_class_is_not_taken_for_a_second(tmp_path: Path, evaluate: Any) -> None:
    path = write(tmp_path / "a.csv", "text,label\nx,-1\ny,0\nz,1\n")
    with pytest.raises(InputInvalidError, match="a.csv:3: Both -1 and 0 occur in 'label'"):
        list(read_examples(path, load_task("sentiment")))
    with pytest.raises(InputInvalidError, match="Both -1 and 0 occur"):
        evaluate(path)
    report = evaluate(path, "--label-map=-1=negative,0=negative,1=positive")
    assert sorted(row["n"] for row in report["labels"]["classes"]) == [1, 2]


# Values.


@pytest.mark.parametrize(
    "value, text",
    [(3.5, "3.5"), (7, "7"), (["One.", " Two."], "One. Two."), ("007", "007")],
)
def test_values_that_are_texts_to_every_verb(value: Any, text: str, tmp_path: Path, score_rows: Any) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": value, "label": 1}))
    [example] = read_examples(path, load_task("sentiment"))
    assert example.record.text == text
    assert [document.text for document in read_corpus([str(path)])] == [text]
    assert [row["status"] for row in score_rows(path)] == ["ok"]


def test_values_that_are_no_texts(tmp_path: Path, score_rows: Any) -> None:
    path = tmp_path / "a.parquet"
    times = pa.array([1, 2], pa.timestamp("us", "Europe/Berlin"))
    path.write_bytes(parquet(text=pa.array([b"fine", b"\xff"]), at=times, label=["pos", "neg"]))
    assert [row["status"] for row in score_rows(path)] == ["ok", "error"]
    rows = score_rows(path, text_columns=("at",))
    assert {row["status"] for row in rows} == {"error"} and "'at' is not a text: \"1970-" in rows[0]["error"]
    with pytest.raises(InputInvalidError, match="a.parquet:2: The value of 'text' is not a text"):
        list(read_examples(path, load_task("sentiment")))


# Conversations.


TURNS = [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]


@pytest.mark.parametrize("form", ["messages", "sharegpt", "csv", "question"])
def test_conversations_in_every_verb(form: str, tmp_path: Path, score_rows: Any, evaluate: Any) -> None:
    messages: list[dict[str, str]] = [{"role": role, "content": said} for role, said in TURNS]
    path = tmp_path / ("a.csv" if form == "csv" else "a.jsonl")
    if form == "sharegpt":
        names = {"user": "human", "assistant": "gpt", "system": "system"}
        turns = [{"from": names[role], "value": said} for role, said in TURNS]
        write(path, json.dumps({"conversations": turns}))
    elif form == "csv":
        quoted = json.dumps(messages).replace('"', '""')
        write(path, f'messages\n"{quoted}"\n')
    else:
        write(path, json.dumps({"messages": messages[:-1] if form == "question" else messages}))
    [row] = score_rows(path, "chat", options={"max_tokens": 2})
    assert row["status"] == "ok", row["error"]
    task = load_task("chat")
    answers = [(e.record.text, len(e.record.history), e.reference) for e in read_examples(path, task)]
    if form == "question":
        assert answers == [("a", 1, "b")]
        with pytest.raises(InputInvalidError, match='messages is "user"; it must end with an answer'):
            evaluate(path, task="chat", baseline="copy")
        return
    assert answers == [("a", 1, "b"), ("c", 3, "d")]
    assert [e.reference for e in Shots.read(path, task).examples] == ["b", "d"]
    [worst] = evaluate(path, task="chat", baseline="copy")["worst"]
    assert (worst["text"], worst["references"], worst["prediction"]) == ("c", ["d"], "c")


def test_options_of_each_row_in_every_verb(tmp_path: Path, score_rows: Any) -> None:
    from nlpsuite.data.columns import Selection

    rows = [("dog", "Hund", "German"), ("dog", "chien", "French"), ("dog", "hond", "")]
    content = "".join(json.dumps({"text": s, "target": t, "lang": lang}) + "\n" for s, t, lang in rows)
    path = write(tmp_path / "a.jsonl", content)
    examples = read_examples(path, load_task("translate"), Selection(options={"to": "lang"}))
    assert [dict(example.options) for example in examples] == [{"to": "German"}, {"to": "French"}, {}]
    found = score_rows(path, "translate", option_columns={"to": "lang"}, options={"max_tokens": 2})
    assert [row["status"] for row in found] == ["ok"] * 3
    with pytest.raises(InputInvalidError, match="has no column 'language'"):
        list(read_examples(path, load_task("translate"), Selection(options={"to": "language"})))


def test_an_option_with_the_name_of_a_keyword_in_every_verb(tmp_path: Path, score_rows: Any) -> None:
    from nlpsuite.data.columns import Selection

    path = write(tmp_path / "a.jsonl", json.dumps({"text": "Hund", "target": "dog", "lang": "German"}))
    [example] = read_examples(path, load_task("translate"), Selection(options={"from": "lang"}))
    assert example.options == {"from_": "German"}
    for name in ("from", "from_"):
        options = {name: "French", "to": "English", "max_tokens": 2}
        [row] = score_rows(path, "translate", option_columns={name: "lang"}, options=options)
        assert row["status"] == "ok"


def test_a_data_set_by_name_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_rows: Any
) -> None:
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path))
    write(tmp_path / "dev.tsv", "sentence\tlabel\nGreat\t1\nBad\t0\n")
    examples = read_examples("sst2:dev", load_task("sentiment"))
    assert [(e.record.text, e.reference) for e in examples] == [("Great", "positive"), ("Bad", "negative")]
    assert [row["text"] for row in score_rows("sst2:dev")] == ["Great", "Bad"]


def test_a_data_set_may_bring_options_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_rows: Any
) -> None:
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path))
    row = {
        "task_id": "a",
        "prompt": "def f(x):\n",
        "canonical_solution": "    y = x\n",
        "suffix": "    return y\n",
    }
    write(
        tmp_path / "HumanEval-SingleLineInfilling.jsonl", json.dumps({**row, "entry_point": "f", "test": ""})
    )
    [example] = read_examples("humaneval-infilling:single-line", load_task("complete"))
    assert example.options == {"suffix": "\n    return y\n"} and example.reference == "    y = x"
    [done] = score_rows("humaneval-infilling:single-line", "complete", options={"max_tokens": 9})
    assert done["status"] == "ok" and "\n" not in done["output"].strip()


def test_a_closed_standard_input_is_empty(monkeypatch: pytest.MonkeyPatch, score_rows: Any) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputInvalidError, match="standard input is empty"):
        read_input("-")
    with pytest.raises(InputInvalidError, match="standard input has no rows"):
        score_rows("-", format="txt")
