"""Every kind of input to every kind of output, and rows that fail."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import gzip
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_help import IDS, TEXTS, ask, read_back, run, write_rows

from nlpsuite.batch.job import Job, job_directory
from nlpsuite.batch.manage import verify
from nlpsuite.batch.score import score_request
from nlpsuite.errors import (
    InputInvalidError,
    JobRefusedError,
    NlpsuiteError,
    OptionError,
    StorageError,
    TooManyErrorsError,
)
from nlpsuite.tasks.result import Output

ROWS = [{"n": n, "text": text} for n, text in zip(IDS, TEXTS)]


def packed(path: Path, packing: str) -> Path:
    data = path.read_bytes()
    target = path.with_name(path.name + packing)
    target.write_bytes(
        gzip.compress(data, mtime=0) if packing == ".gz" else pa.compress(data, "zstd", asbytes=True)
    )
    return target


def source_of(kind: str, place: Path) -> str:
    if kind == "folder":
        folder = place / "texts"
        folder.mkdir()
        for i, text in enumerate(TEXTS):
            (folder / f"{i}.txt").write_text(text)
        return str(folder)
    if kind == "pair":
        first, second = write_rows(place / "a.txt", ROWS), write_rows(place / "b.txt", ROWS)
        return f"{first},{second}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), place / "in.parquet")
        return str(place / "in.parquet")
    suffix, _, packing = kind.partition(".")
    path = write_rows(place / f"in.{suffix}", ROWS)
    return str(packed(path, f".{packing}") if packing else path)


KINDS = [
    "csv",
    "tsv",
    "jsonl",
    "parquet",
    "txt",
    "folder",
    "pair",
    "csv.gz",
    "jsonl.zst",
    "txt.gz",
    "tsv.zst",
]


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_input_to_every_output(kind: str, suffix: str, tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out.{suffix}"
    report = run(tiny_bundle, source_of(kind, tmp_path), output)
    assert (report.rows, report.scored, report.errors, report.exit_code) == (7, 7, 0, 0)
    rows = read_back(output)
    assert [row["text"] for row in rows] == list(TEXTS)
    if kind.startswith(("csv", "tsv", "jsonl", "parquet")):
        assert [row["n"] for row in rows] == list(IDS)
    assert {row["output"] for row in rows} <= {"positive", "negative", "neutral"}
    assert {row["status"] for row in rows} == {"ok"} and not any(row["error"] for row in rows)
    assert all(0 < float(row["confidence"]) <= 1 for row in rows)


def test_types_of_parquet_are_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    utc = datetime.UTC
    columns: dict[str, tuple[Any, list[Any]]] = {
        "text": (pa.string(), ["fine", "dull", "bad"]),
        "small": (pa.int8(), [1, None, -128]),
        "large": (pa.uint64(), [2**64 - 1, 0, None]),
        "float": (pa.float32(), [0.5, math.inf, None]),
        "money": (pa.decimal128(20, 4), [decimal.Decimal("1.5000"), None, decimal.Decimal("-99.9999")]),
        "day": (pa.date32(), [datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
        "at": (pa.timestamp("us", "UTC"), [datetime.datetime(2024, 1, 1, 1, 2, 3, 4, utc), None, None]),
        "clock": (pa.time64("us"), [datetime.time(1, 2, 3), None, datetime.time(0)]),
        "long": (pa.duration("us"), [datetime.timedelta(1, 2, 3), None, datetime.timedelta(0)]),
        "yes": (pa.bool_(), [True, False, None]),
        "raw": (pa.binary(), [b"\0\xff", b"", None]),
        "list": (pa.list_(pa.int16()), [[1, 2], [], None]),
        "deep": (
            pa.struct([("$", pa.string()), ("d", pa.date32())]),
            [{"$": "x", "d": datetime.date(2020, 1, 1)}, {"$": None, "d": None}, None],
        ),
        "word": (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
        "nothing": (pa.null(), [None, None, None]),
    }
    table = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    pq.write_table(table, tmp_path / "in.parquet")
    run(tiny_bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    result = pq.read_table(tmp_path / "out.parquet")
    assert result.select(list(columns)).equals(table)
    assert result.column_names[len(columns) :] == ["output", "confidence", "probabilities", "status", "error"]
    # Where there is no infinity, there is none; all else is text or what JSON has.
    run(tiny_bundle, tmp_path / "in.parquet", tmp_path / "other.jsonl")
    first, second, _ = read_back(tmp_path / "other.jsonl")
    assert (first["large"], first["day"], first["list"], second["float"]) == (
        2**64 - 1,
        "2024-02-29",
        [1, 2],
        None,
    )


def test_an_empty_line_of_text_is_an_error_row(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a fine film\n\n  \ndull\n")
    report = run(tiny_bundle, tmp_path / "in.txt", tmp_path / "out.jsonl")
    rows = read_back(tmp_path / "out.jsonl")
    assert [row["status"] for row in rows] == ["ok", "error", "error", "ok"]
    assert rows[1]["output"] is None and "empty" in rows[1]["error"]
    assert (report.errors, report.exit_code) == (2, 3)


def test_damaged_rows_stay_in_their_place(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(
        b'{"text": "fine"}\n{"text": }\n{"text": NaN}\n{"text": 3}\n[]\n{"text": "\xff"}\n{"text": ["a", "b"]}\n'
        b'{"text": {"a": 1}}\n{"text": "\\ud800"}\n{"other": 1}\n{"text": true}\n'
    )
    report = run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    rows = read_back(tmp_path / "out.jsonl")
    bad = {1, 2, 4, 5, 7, 8, 9, 10}
    assert [row["status"] for row in rows] == ["error" if i in bad else "ok" for i in range(11)]
    assert all(row["error"] for row in rows if row["status"] == "error")
    assert "in.jsonl:2" in rows[1]["error"]
    assert report.errors == len(bad)
    assert [row.index for row in Job.open(tmp_path / "out.job").rows()] == list(range(11))


def test_a_text_too_long_is_an_error_row(tiny_bundle: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "in.csv", [{"text": "fine"}, {"text": "word " * 3000}, {"text": "dull"}])
    run(tiny_bundle, tmp_path / "in.csv", tmp_path / "out.jsonl", max_parts=2)
    fine, long, dull = read_back(tmp_path / "out.jsonl")
    assert (fine["status"], long["status"], dull["status"]) == ("ok", "error", "ok")
    assert [r.error["type"] for r in Job.open(tmp_path / "out.job").results() if r.error] == [
        "InputTooLongError"
    ]


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_standard_input(
    packing: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "in.csv", ROWS)
    run(tiny_bundle, path, tmp_path / "expected.jsonl")
    data = packed(path, packing).read_bytes() if packing else path.read_bytes()
    for _ in range(2):  # the same command, and the same input, go on
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        run(tiny_bundle, "-", tmp_path / "out.jsonl", format=f"csv{packing}")
        assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
    assert not list((tmp_path / "out.job").glob("stdin*"))  # its rows are stored once


# Columns.


def test_several_columns_of_text(tiny_bundle: Path, tmp_path: Path) -> None:
    rows = [
        {"title": "Fine", "body": "It is."},
        {"title": "", "body": "Dull."},
        {"title": "Good", "body": ""},
    ]
    write_rows(tmp_path / "two.csv", rows)
    run(tiny_bundle, tmp_path / "two.csv", tmp_path / "two.jsonl", text_columns=("title", "body"))
    texts = [{"text": text} for text in ("Fine\n\nIt is.", "Dull.", "Good")]
    write_rows(tmp_path / "one.csv", texts)
    run(tiny_bundle, tmp_path / "one.csv", tmp_path / "one.jsonl")
    one, two = read_back(tmp_path / "one.jsonl"), read_back(tmp_path / "two.jsonl")
    assert [row["probabilities"] for row in one] == [row["probabilities"] for row in two]


def test_the_column_of_the_text(tiny_bundle: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "only.csv", [{"whatever": "fine"}])
    assert run(tiny_bundle, tmp_path / "only.csv", tmp_path / "only.jsonl").errors == 0
    write_rows(tmp_path / "two.csv", [{"a": "fine", "b": "dull"}])
    with pytest.raises(InputInvalidError, match="no column called") as caught:
        run(tiny_bundle, tmp_path / "two.csv", tmp_path / "two.jsonl")
    assert "--text-column" in caught.value.hint and "'a', 'b'" in caught.value.hint
    with pytest.raises(InputInvalidError, match="no column 'c'"):
        run(tiny_bundle, tmp_path / "two.csv", tmp_path / "two.jsonl", text_columns=("c",))
    assert not (tmp_path / "two.job").exists()


def test_options_of_each_row(tiny_bundle: Path, tmp_path: Path) -> None:
    rows = [("good", "4"), ("good", "1"), ("good", "many"), ("good", "0"), ("good", "")]
    write_rows(tmp_path / "in.csv", [{"text": text, "most": most} for text, most in rows])
    more: dict[str, Any] = {"task": "translate", "options": {"max_tokens": 4}}
    run(
        tiny_bundle,
        tmp_path / "in.csv",
        tmp_path / "out.jsonl",
        option_columns={"max_tokens": "most"},
        **more,
    )
    four, one, no_number, none, default = read_back(tmp_path / "out.jsonl")
    assert {row["status"] for row in (four, one, default)} == {"ok"}
    assert four["output"] == default["output"] != one["output"]
    assert "'many'" in no_number["error"] and "max_tokens" in none["error"]
    for asked in ({"to": "language"}, {"into": "most"}):
        with pytest.raises(NlpsuiteError, match="no column 'language'|no option 'into'"):
            run(tiny_bundle, tmp_path / "in.csv", tmp_path / "a.jsonl", option_columns=asked, **more)


def test_prefix_and_columns_of_the_same_name(tiny_bundle: Path, tmp_path: Path) -> None:
    run(tiny_bundle, write_rows(tmp_path / "in.csv", ROWS), tmp_path / "first.csv")
    with pytest.raises(InputInvalidError, match="already has a column 'output'") as caught:
        run(tiny_bundle, tmp_path / "first.csv", tmp_path / "second.csv")
    assert "--prefix" in caught.value.hint
    run(tiny_bundle, tmp_path / "first.csv", tmp_path / "second.csv", prefix="new_")
    first, second = read_back(tmp_path / "first.csv"), read_back(tmp_path / "second.csv")
    assert [row["new_output"] for row in second] == [row["output"] for row in first]


def test_what_a_guard_finds_is_in_the_result(tiny_bundle: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.csv", ROWS[:2])
    run(
        tiny_bundle, source, tmp_path / "out.jsonl", guard="warn", task="summarize", options={"max_tokens": 3}
    )
    assert [row["guard"] for row in read_back(tmp_path / "out.jsonl")] == [[], []]


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_limit_and_the_edges_of_chunks(rows: int, tiny_bundle: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.csv", ROWS)
    run(tiny_bundle, source, tmp_path / "limited.jsonl", limit=rows, chunk_rows=2)
    run(tiny_bundle, write_rows(tmp_path / "few.csv", ROWS[:rows]), tmp_path / "few.jsonl", chunk_rows=2)
    assert (tmp_path / "limited.jsonl").read_bytes() == (tmp_path / "few.jsonl").read_bytes()
    assert Job.open(tmp_path / "few.job").chunks == -(-rows // 2)


@pytest.mark.parametrize("text", ["", "n,text\n"])
def test_no_rows(text: str, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(InputInvalidError, match="no rows"):
        run(tiny_bundle, tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


# Ids.


def test_ids(tiny_bundle: Path, tmp_path: Path) -> None:
    run(tiny_bundle, write_rows(tmp_path / "in.csv", ROWS), tmp_path / "out.jsonl", id_column="n")
    assert [row.id for row in Job.open(tmp_path / "out.job").rows()] == list(IDS)
    (tmp_path / "in.jsonl").write_text('{"n": 1, "text": "a"}\n{"n": "1", "text": "b"}\n{"n" 2}\n')
    run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "two.jsonl", id_column="n")
    assert [row.id for row in Job.open(tmp_path / "two.job").rows()] == [1, "1", None]


@pytest.mark.parametrize(
    "lines, said",
    [
        (['{"n": 1}', '{"n": 2}', "", '{"n": 1}'], r"in.jsonl:4: the id 1 is also that of line 1\."),
        (['{"text": ""}'], r"No row .* The first: .*in.jsonl:1: there is no 'n'"),
        (['{"n": ""}'], "in.jsonl:1: the id is empty"),
        (['{"n": null}'], "in.jsonl:1: the id is null"),
        (['{"n": true}'], "in.jsonl:1: the id is true"),
        (['{"n": 1.5}'], "in.jsonl:1: the id is 1.5"),
    ],
)
def test_ids_that_will_not_do(lines: list[str], said: str, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputInvalidError, match=said):
        run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", id_column="n")
    assert not (tmp_path / "out.job").exists()


def test_a_row_without_an_id_is_one_error_row(tiny_bundle: Path, tmp_path: Path) -> None:
    lines = [
        '{"n": "a", "text": "fine"}',
        '{"text": "dull"}',
        '{"n": null, "text": "x"}',
        '{"n": 2, "text": "bad"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    assert run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", id_column="n").errors == 2
    rows = read_back(tmp_path / "out.jsonl")
    assert [(row["n"], row["text"], row["status"]) for row in rows] == [
        ("a", "fine", "ok"), (None, "dull", "error"), (None, "x", "error"), (2, "bad", "ok"),
    ]  # fmt: skip
    assert "in.jsonl:2: there is no 'n'" in rows[1]["error"] and "the id is null" in rows[2]["error"]


@pytest.mark.parametrize(
    "name, content, read",
    [
        (
            "in.jsonl",
            '{"n":"a","text":"fine","x":NaN}\n{"n":"b","text":"x"}',
            {"n": "a", "text": "fine", "x": None},
        ),
        ("in.jsonl", '{"n":"a","text":"fine","x":1e999}\n{"n":"b","text":"x"}', {"n": "a", "text": "fine"}),
        ("in.jsonl", '{"n":"a","x":1,"x":2}\n{"n":"b","text":"x"}', {"n": "a"}),
        ("in.jsonl", '{"n":"a","x":"\\ud800"}\n{"n":"b","text":"x"}', {"n": "a"}),
        ("in.jsonl", '{"n":"a","x":%s}\n{"n":"b","text":"x"}' % ("[" * 900 + "]" * 900), {"n": "a"}),
        ("in.jsonl", b'{"n":"a","x":"\xff"}\n{"n":"b","text":"x"}', {"n": "a"}),
        ("in.json", '[{"n":"a","text":"fine","x":NaN},{"n":"b","text":"x"}]', {"n": "a", "text": "fine"}),
        ("in.csv", "n,text,x\na,fine\nb,x,y\n", {"n": "a", "text": "fine"}),
        ("in.csv", b"n,text,x\na,fine,\xff\nb,x,y\n", {"n": "a", "text": "fine"}),
        ("in.tsv", "n\ttext\na\nb\tx\n", {"n": "a"}),
    ],
)
def test_what_can_be_read_of_a_damaged_row_is_in_the_result(
    name: str, content: str | bytes, read: dict[str, Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run(tiny_bundle, tmp_path / name, tmp_path / "out.jsonl", id_column="n").errors == 1
    damaged, good = read_back(tmp_path / "out.jsonl")
    assert damaged["status"] == "error" and f"{name}:" in damaged["error"] and good["status"] == "ok"
    assert {column: damaged[column] for column in read} == read
    assert [row.id for row in Job.open(tmp_path / "out.job").rows()] == ["a", "b"]


def test_a_table_without_a_usable_row_names_the_first_reason(tiny_bundle: Path, tmp_path: Path) -> None:
    for text, said in (
        ('{"text":"Great","text":"Bad"}\n', "in.jsonl:1: not valid JSON: two values are called 'text'"),
        ('{"text":"Great"},\n{"text":"Bad"},\n', "in.jsonl:1: .*\nRemove the comma at the end"),
        ('[{"text":"Great"}]', "in.jsonl:1: .*\n.*--format json"),
    ):
        (tmp_path / "in.jsonl").write_text(text)
        with pytest.raises(InputInvalidError, match=f"No row of .* can be used. The first: .*{said}"):
            run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl")


# What can't be written is refused before it is scored.


def test_parquet_that_python_has_no_types_for_passes_through(tiny_bundle: Path, tmp_path: Path) -> None:
    far = 900_000_000_000_000_000  # in the year 30489, in microseconds
    pairs = pa.struct([("x", pa.map_(pa.string(), pa.int32()))])
    columns = {
        "text": pa.array(["fine", "dull"]),
        "far": pa.array([far, 1], pa.timestamp("us")),
        "days": pa.array([10_000_000, None], pa.int32()).cast(pa.date32()),
        "exact": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
        "took": pa.array([1, None], pa.duration("ns")),
        "clock": pa.array([1, None], pa.time64("ns")),
        "pairs": pa.array([{"x": [("k", 1)]}, None], pairs),
        "list": pa.array([[far], []], pa.list_(pa.timestamp("us"))),
        "times": pa.array([[1], None], pa.list_(pa.timestamp("ns"))),
        "raw": pa.array([b"\xff", b"x"], pa.large_binary()),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    source = pq.read_table(tmp_path / "in.parquet")
    run(tiny_bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").select(source.column_names).equals(source)
    for suffix in ("jsonl", "csv"):
        assert (
            run(tiny_bundle, tmp_path / "in.parquet", tmp_path / f"other.{suffix}", overwrite=True).errors
            == 0
        )


def test_what_a_file_can_not_hold_is_refused_by_name_before_scoring(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "in.jsonl", [{"text": "fine", "note": "a"}, {"text": "dull", "note": "a\tb"}])
    with pytest.raises(InputInvalidError, match="Row 2 has a tab or a line break in 'note', which TSV"):
        run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.tsv")
    assert not (tmp_path / "out.job").exists()


def test_equal_hashes_of_ids_that_differ_pass(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpsuite.batch.stage._hash", lambda value: 7)
    source = write_rows(tmp_path / "in.csv", ROWS)
    assert run(tiny_bundle, source, tmp_path / "out.jsonl", id_column="n").rows == len(ROWS)
    write_rows(tmp_path / "twice.csv", [*ROWS, ROWS[2]])
    with pytest.raises(InputInvalidError, match=r"twice.csv:9: the id 'NA' is also that of line 4"):
        run(tiny_bundle, tmp_path / "twice.csv", tmp_path / "twice.jsonl", id_column="n")


# OpenAI's batches.


def test_openai_batch(tiny_bundle: Path, tmp_path: Path) -> None:
    def request(name: str, text: str, **body: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        body = {"model": "any", "messages": messages, "max_tokens": 4, **body}
        return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}

    lines = [request("007", "Hello"), request("1e5", "Hello", max_tokens=2), request("x", "Hello", n=2)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    more: dict[str, Any] = {"task": "chat", "format": "openai-batch"}
    report = run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", **more)
    first, second, refused = read_back(tmp_path / "out.jsonl")
    assert [line["custom_id"] for line in (first, second, refused)] == ["007", "1e5", "x"]
    assert first["error"] is None and second["response"]["body"]["usage"]["completion_tokens"] <= 2
    assert refused["response"] is None and "n is 2" in refused["error"]["message"]
    assert report.exit_code == 3
    with pytest.raises(InputInvalidError, match="JSON lines"):
        run(tiny_bundle, tmp_path / "in.jsonl", tmp_path / "out.csv", **more)
    (tmp_path / "twice.jsonl").write_text(json.dumps(lines[0]) + "\n" + json.dumps(lines[0]) + "\n")
    with pytest.raises(InputInvalidError, match="'007' is also that of line 1"):
        run(tiny_bundle, tmp_path / "twice.jsonl", tmp_path / "twice_out.jsonl", **more)


# Rows that fail, and how many may.


@pytest.mark.parametrize(
    "most, ends", [("0", True), ("1", True), ("2", False), ("0%", True), ("49%", True), ("50%", False), ("100%", False)]
)  # fmt: skip
def test_most_errors(most: str, ends: bool, tiny_bundle: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "in.csv", [{"n": i, "text": "" if i % 2 else "fine"} for i in range(4)])
    asked = ask(tiny_bundle, tmp_path / "in.csv", tmp_path / "out.jsonl", max_errors=most)
    if not ends:
        assert score_request(asked).errors == 2
        return
    with pytest.raises(TooManyErrorsError, match=r"The first is row 1: The text is empty"):
        score_request(asked)
    assert not (tmp_path / "out.jsonl").exists()
    assert Job.open(tmp_path / "out.job").report()["reason"].startswith("failed: ")
    assert run(tiny_bundle, tmp_path / "in.csv", tmp_path / "out.jsonl").errors == 2  # more are allowed now


@pytest.mark.parametrize("most", ["-1", "x", "101%", "nan%", "1.5", "%"])
def test_most_errors_that_mean_nothing(most: str, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="max-errors"):
        run(tiny_bundle, write_rows(tmp_path / "in.csv", ROWS), tmp_path / "out.jsonl", max_errors=most)


def test_a_plugin_that_says_nan_fails_its_row(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite_sentiment import Sentiment

    real = Sentiment.parse

    def broken(self: Sentiment, *args: Any) -> Output:
        return dataclasses.replace(real(self, *args), data={"x": math.nan})

    monkeypatch.setattr(Sentiment, "parse", broken)
    report = run(tiny_bundle, write_rows(tmp_path / "in.csv", ROWS[:2]), tmp_path / "out.jsonl")
    assert report.errors == 2
    assert "bug in its plugin" in read_back(tmp_path / "out.jsonl")[0]["error"]


# Where the output may be.


def test_outputs_that_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.csv", ROWS)
    with pytest.raises(OptionError, match="also an input"):
        run(tiny_bundle, source, source, overwrite=True)
    (tmp_path / "link.csv").symlink_to(source)
    with pytest.raises(OptionError, match="also an input"):
        run(tiny_bundle, source, tmp_path / "link.csv", overwrite=True)
    (tmp_path / "there.jsonl").write_text("mine")
    with pytest.raises(JobRefusedError, match="exists") as caught:
        run(tiny_bundle, source, tmp_path / "there.jsonl")
    assert caught.value.exit_code == 2 and (tmp_path / "there.jsonl").read_text() == "mine"
    with pytest.raises(StorageError, match="no directory"):
        run(tiny_bundle, source, tmp_path / "no" / "out.jsonl")
    with pytest.raises(InputInvalidError, match="Unsupported file type"):
        run(tiny_bundle, source, tmp_path / "out.xlsx")
    folder = Path(source_of("folder", tmp_path))
    with pytest.raises(JobRefusedError, match="whose files are the input"):
        run(tiny_bundle, folder, folder / "out.jsonl")
    assert not list(tmp_path.rglob("*.job")) and len(read_back(source)) == len(ROWS)


def test_a_folder_that_is_no_job_is_left_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    mine = job_directory(tmp_path / "out.jsonl") / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(JobRefusedError, match="isn't a job directory"):
            source = write_rows(tmp_path / "in.csv", ROWS)
            run(tiny_bundle, source, tmp_path / "out.jsonl", overwrite=overwrite)
    assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no FIFOs")
@pytest.mark.parametrize("kind", ["FIFO", "link to standard output"])
def test_a_fifo_or_a_device_is_written_to(kind: str, tiny_bundle: Path, tmp_path: Path) -> None:
    source, output = write_rows(tmp_path / "in.csv", ROWS), tmp_path / "out.jsonl"
    run(tiny_bundle, source, tmp_path / "file.jsonl")
    if kind == "FIFO":
        os.mkfifo(output)
    else:
        output.symlink_to("/dev/stdout")
    command = [
        sys.executable,
        "-m",
        "nlpsuite",
        "score",
        "sentiment",
        source,
        "-o",
        output,
        "--model",
        tiny_bundle,
    ]
    command += ["--chunk-rows", "2", "--threads", "1", "--workers", "1"]
    for _ in range(2):  # the second time, all rows are scored already
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            written = output.read_bytes() if kind == "FIFO" else process.stdout.read()
            assert process.wait(60) == 0
        assert written == (tmp_path / "file.jsonl").read_bytes()
    assert output.is_fifo() or output.is_symlink()
    assert kind != "FIFO" or verify(job_directory(output)) == []


def test_bytes_of_a_parquet_file_are_base64_where_there_are_no_bytes(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a fine film"], "picture": [b"\x89PNG\xff"]}), source)
    run(tiny_bundle, source, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["picture"] == "iVBOR/8="
    run(tiny_bundle, source, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["picture"].to_pylist() == [b"\x89PNG\xff"]
