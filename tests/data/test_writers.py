"""Files of results: what is written is read again."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from nlpsuite.data.sources import open_table
from nlpsuite.data.values import from_json, to_json
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins.loading import load

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = [
    "007",
    "1e5",
    "NA",
    "null",
    "true",
    "🦀",
    "שלום",
    "a\u2028b",
    '"',
    "a\nb",
    "a\r\nb",
    "\r",
    " a ",
    "",
    ",",
    "\ufeff",
    "\0",
]
IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(
    suffix: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], schema: bytes = b""
) -> bytes:
    file = io.BytesIO()
    load("writer", suffix)(file, lambda: iter(rows), columns, schema)
    return file.getvalue()


def read_again(path: Path, data: bytes) -> list[dict[str, Any]]:
    path.write_bytes(data)
    rows = []
    for _, values in open_table(str(path)).read():
        assert not isinstance(values, InputInvalidError), values
        rows.append(dict(values))
    return rows


@IN_TMP
@given(rows=st.lists(st.tuples(st.none() | TEXTS, TEXTS | st.sampled_from(ODD)), max_size=5))
@example(rows=[(text, text) for text in ODD])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "ndjson", "parquet"])
def test_texts_come_back(tmp_path: Path, suffix: str, rows: list[tuple[str | None, str]]) -> None:
    given = [{"id": left, "text": right} for left, right in rows]
    data = written(suffix, given, ["id", "text"])
    assert data == written(suffix, given, ["id", "text"])
    # CSV can't tell null from an empty text.
    expected = [
        {"id": row["id"] or "" if suffix == "csv" else row["id"], "text": row["text"]} for row in given
    ]
    assert read_again(tmp_path / f"a.{suffix}", data) == expected


@IN_TMP
@given(texts=st.lists(TEXTS | st.sampled_from(ODD), min_size=1, max_size=5), name=TEXTS.filter(bool))
@example(texts=[";"], name=";")
@example(texts=["a|b", "c|d"], name="a|b")
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_column_alone_comes_back(tmp_path: Path, suffix: str, texts: list[str], name: str) -> None:
    assume(suffix != "csv" or name.strip())  # the reader of CSV gives a column without a name one
    rows = [{name: text} for text in texts]
    assert read_again(tmp_path / f"a.{suffix}", written(suffix, rows, [name])) == rows


@IN_TMP
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_tsv_gives_the_same_texts_or_refuses(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    given = [{"id": left, "text": right} for left, right in rows]
    if any(c in text for row in rows for text in row for c in "\t\r\n"):
        with pytest.raises(InputInvalidError, match=r"Row \d has a tab or a line break in"):
            written("tsv", given, ["id", "text"])
    else:
        assert read_again(tmp_path / "a.tsv", written("tsv", given, ["id", "text"])) == given


def test_tsv_names_row_and_column() -> None:
    with pytest.raises(InputInvalidError, match=r"Row 2 .* in 'b'.*\nWrite \.csv, \.jsonl or \.parquet"):
        written("tsv", [{"a": "x", "b": "y"}, {"a": "x", "b": "y\n"}], ["a", "b"])


def test_csv_is_quoted_where_it_must_be() -> None:
    rows = [{"a": "x y", "b": 'say "a, b"'}, {"a": " x", "b": "\r"}, {}]
    assert written("csv", rows, ["a", "b"]) == b'a,b\nx y,"say ""a, b"""\n" x","\r"\n,\n'


VALUES = {
    "none": None,
    "yes": True,
    "n": 7,
    "x": 0.5,
    "nan": float("nan"),
    "list": ["é", 1],
    "object": {"a": float("-inf")},
    "at": datetime.datetime(2026, 1, 2, 3, 4, 5),
    "day": datetime.date(2026, 1, 2),
    "price": decimal.Decimal("1.10"),
    "bytes": b"\xff\x00",
    "long": 1 << 80,
}


def test_values_that_are_no_texts() -> None:
    line = written("jsonl", [VALUES], list(VALUES)).decode()
    assert line == (
        '{"none": null, "yes": true, "n": 7, "x": 0.5, "nan": null, "list": ["é", 1], "object": {"a": null}, '
        '"at": "2026-01-02T03:04:05", "day": "2026-01-02", "price": "1.10", "bytes": "/wA=", '
        '"long": 1208925819614629174706176}\n'
    )
    cells = written("csv", [VALUES], list(VALUES)).decode().splitlines()[1]
    assert cells == (
        ',true,7,0.5,,"[""é"", 1]","{""a"": null}",2026-01-02T03:04:05,2026-01-02,1.10,/wA=,1208925819614629174706176'
    )


def test_json_lines_have_every_column_in_order_and_keep_line_separators() -> None:
    data = written("jsonl", [{"b": "x\u2028y"}, {"a": 1}], ["a", "b"])
    assert data.decode() == '{"a": null, "b": "x\u2028y"}\n{"a": 1, "b": null}\n'


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_half_a_character_is_refused(suffix: str) -> None:
    with pytest.raises(InputInvalidError, match="Row 2 has a lone surrogate"):
        written(suffix, [{"a": "x"}, {"a": "\ud800"}], ["a"])


@pytest.mark.parametrize(
    "values, type_, expected",
    [
        (["a", None], pa.string(), ["a", None]),
        ([None, None], pa.string(), [None, None]),
        ([1, None, 2], pa.int64(), [1, None, 2]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([(1 << 53) + 1, 0.5], pa.string(), ["9007199254740993", "0.5"]),
        ([(1 << 53) + 1, 2], pa.int64(), [(1 << 53) + 1, 2]),
        ([1 << 70], pa.string(), [str(1 << 70)]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["007", 7], pa.string(), ["007", "7"]),
        ([["a"], [], None], pa.list_(pa.string()), [["a"], [], None]),
        ([["a", 1]], pa.string(), ['["a", 1]']),
        (
            [{"p": 0.5, "q": 1}, None, {"p": 1, "q": 0.5}],
            None,
            [{"p": 0.5, "q": 1.0}, None, {"p": 1.0, "q": 0.5}],
        ),
        ([{"p": 1}, {"q": 1}], pa.string(), ['{"p": 1}', '{"q": 1}']),
        ([{}], pa.string(), ["{}"]),
    ],
)
def test_parquet_has_the_type_that_all_values_have(
    tmp_path: Path, values: list[Any], type_: pa.DataType | None, expected: list[Any]
) -> None:
    for order in (1, -1):  # whichever comes first
        rows = [{"a": value} for value in values[::order]]
        (tmp_path / "a.parquet").write_bytes(written("parquet", rows, ["a"]))
        table = pq.read_table(tmp_path / "a.parquet")
        # Arrow calls the items of a list otherwise once they were written.
        assert type_ is None or str(table.schema.field("a").type).replace("element", "item") == str(type_)
        assert table.column("a").to_pylist() == expected[::order]
        assert not table.schema.metadata


TYPED = pa.table(
    {
        "id": pa.array(["007", None]),
        "small": pa.array([1, None], pa.int8()),
        "exact": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
        "zoned": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
        "at": pa.array([datetime.datetime(2026, 1, 2), None], pa.timestamp("ms", "Europe/London")),
        "price": pa.array([decimal.Decimal("1.10"), None], pa.decimal128(9, 2)),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "bytes": pa.array([b"\xff", None]),
        "tags": pa.array([["a", None], None]),
        "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        "inner": pa.array([{"x": 1.5}, None], pa.struct([("x", pa.float32())])),
    }
)


def test_types_of_a_parquet_file_are_kept(tmp_path: Path) -> None:
    pq.write_table(TYPED.replace_schema_metadata({"pandas": "{}"}), tmp_path / "a.parquet")
    table = open_table(str(tmp_path / "a.parquet"))

    def rows() -> Iterator[Mapping[str, Any]]:
        for number, values in table.read():
            assert isinstance(values, Mapping)
            stored = from_json(json.loads(json.dumps(to_json(values))))  # as in a job
            yield {**stored, "output": f"text {number}"}

    with (tmp_path / "b.parquet").open("wb") as file:
        load("writer", "parquet")(file, rows, [*TYPED.column_names, "output"], table.schema)
    again = pq.read_table(tmp_path / "b.parquet")
    assert again.drop_columns(["output"]).equals(pq.read_table(tmp_path / "a.parquet"))
    assert again.column("output").to_pylist() == ["text 1", "text 2"]
    assert not again.schema.metadata


def test_row_groups_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(written("parquet", [{"n": n} for n in range(20_000)], ["n"]))
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 3
    (tmp_path / "b.parquet").write_bytes(written("parquet", [{"t": "x" * (1 << 24)}] * 4, ["t"]))
    assert pq.read_metadata(tmp_path / "b.parquet").num_row_groups == 2


def test_no_rows_are_a_file_of_columns(tmp_path: Path) -> None:
    assert written("csv", [], ["a", "b"]) == b"a,b\n"
    assert written("jsonl", [], ["a"]) == b""
    (tmp_path / "a.parquet").write_bytes(written("parquet", [], ["a"]))
    assert pq.read_schema(tmp_path / "a.parquet").names == ["a"]


class _Nowhere(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.slow
def test_memory_stays_flat(suffix: str) -> None:
    def rows() -> Iterator[Mapping[str, Any]]:
        return ({"id": i, "text": f"text {i}", "p": [0.5, 0.5]} for i in range(50_000))

    write = load("writer", suffix)
    write(io.BytesIO(), lambda: [{"id": 1}], ["id"], b"")  # not counting the memory of imports
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        write(io.BufferedWriter(_Nowhere()), rows, ["id", "text", "p"], b"")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6
    assert pa.total_allocated_bytes() - before < 8e6


def test_what_is_written_is_json(tmp_path: Path) -> None:
    rows = [{"a": {"b": [1, None, "x"]}}, {"a": "\u2029"}]
    lines = written("jsonl", rows, ["a"]).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == rows
