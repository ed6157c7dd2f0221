"""Tables: what a user's input names."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_plugins import install

from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, InputNotFoundError


def found(table: Table) -> list[tuple[int, Any]]:
    """All rows, which are the same whenever they are read; an error as its message."""
    once, again = (
        [(line, v.message if isinstance(v, InputInvalidError) else dict(v)) for line, v in table.read()]
        for _ in range(2)
    )
    assert once == again
    return once


def test_a_file_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.CSV.gz"
    path.write_bytes(gzip.compress(b"id,text\n007,x\n1\n", mtime=0))
    table = open_table(str(path))
    assert found(table) == [
        (2, {"id": "007", "text": "x"}),
        (3, f"{path}:3: expected 2 values, got 1."),
    ]
    assert (table.name, table.files, table.schema) == (str(path), (path,), b"")
    assert table.reader == {"format": "csv", "encoding": "utf-8", "packing": "gz"}


def test_a_file_by_the_format_given(tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    path.write_bytes(b"text\nna\xefve\n")
    with pytest.raises(
        InputInvalidError, match=r"Unsupported file type: .*a\.data.*\n.*\.csv, \.json, \.jsonl, .*\.txt"
    ):
        open_table(str(path))
    with pytest.raises(InputInvalidError, match="Unsupported file type"):
        open_table(str(path), format="xlsx")
    assert found(open_table(str(path), format="csv", encoding="latin-1")) == [(2, {"text": "naïve"})]
    assert len(found(open_table(str(path), format=".txt"))) == 2


def test_readers_of_plugins_are_used_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site"
    module = (
        "from nlpsuite import hookimpl\n@hookimpl\ndef nlpsuite_reader(suffix):\n"
        "    return lambda path: iter([(1, {'text': path.read_text()})])\n"
    )
    place.mkdir()
    info = install(place, "words", module, "nlpsuite-words")
    (info / "entry_points.txt").write_text("[nlpsuite.readers.v1]\nwords = nlpsuite_words\n")
    monkeypatch.syspath_prepend(str(place))
    path = tmp_path / "a.words"
    path.write_text("some words")
    table = open_table(str(path))
    assert found(table) == [(1, {"text": "some words"})]
    assert "nlpsuite-words" in table.reader["plugin"] and table.reader["format"] == "words"
    with pytest.raises(InputInvalidError, match=r"Plugins add \.words"):
        open_table(str(path.rename(tmp_path / "a.other")))


def test_parquet_has_a_schema(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([7], pa.int8()), "text": ["x"]}).replace_schema_metadata(
        {"pandas": "{}"}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    opened = open_table(str(tmp_path / "a.parquet"))
    assert found(opened) == [(1, {"id": 7, "text": "x"})]
    schema = pa.ipc.read_schema(pa.py_buffer(opened.schema))
    assert schema == table.schema and not schema.metadata
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputInvalidError, match=r"b\.parquet can't be read"):
        open_table(str(tmp_path / "b.parquet"))


def test_two_files_whose_lines_belong_together(tmp_path: Path) -> None:
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"a\r\n\nc\n", mtime=0))
    (tmp_path / "a.de").write_bytes(b"A\n\nC\xff\n")
    source = f"{tmp_path}/a.en.gz,{tmp_path}/a.de"
    table = open_table(source)
    assert found(table) == [
        (1, {"text": "a", "reference": "A"}),
        (2, {"text": "", "reference": ""}),
        (3, f"{tmp_path}/a.de:3: byte 0xff is not valid UTF-8."),
    ]
    assert (table.text, table.reference, len(table.files)) == (("text",), "reference", 2)
    assert table.reader == {"format": "pair", "encoding": "utf-8", "packing": ["gz", ""]}
    (tmp_path / "a.de").write_bytes(b"A\n")
    with pytest.raises(InputInvalidError, match=r"a\.en\.gz has a line 2, .*a\.de has only 1"):
        list(open_table(source).read())
    with pytest.raises(InputInvalidError, match="names 3 files; a pair has two"):
        open_table("a,b,c")
    with pytest.raises(InputNotFoundError, match=r"There is no file c\.de"):
        open_table(f"{tmp_path}/a.de,c.de")


def test_the_text_files_of_a_directory(tmp_path: Path) -> None:
    place = tmp_path / "texts"
    for name, content in {
        "b.txt": b"second\r\n",
        "a/z.md": b"\xef\xbb\xbffirst \xe2\x80\xa8",
        "c.txt.gz": gzip.compress(b"third", mtime=0),
        "d.png": b"\x89PNG\r\n\0",
        "e.txt": b"na\xefve",
        "f.gz": b"\x1f\x8b torn",
        "g.txt": "wide".encode("utf-16"),
        ".hidden": b"x",
        ".git/x": b"x",
        "old.job/manifest.json": b"{}",
        "new.job/x.txt": b"no job",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    os.mkfifo(place / "pipe")  # which would never end
    table = open_table(str(place))
    rows = found(table)
    assert [line for line, _ in rows] == list(range(1, 9))
    assert rows[:3] == [
        (1, {"file": "a/z.md", "text": "first \u2028"}),
        (2, {"file": "b.txt", "text": "second\r\n"}),
        (3, {"file": "c.txt.gz", "text": "third"}),
    ]
    assert "d.png is not a text file: it has a NUL" in rows[3][1]
    assert "e.txt is not valid utf-8: byte 0xef at offset 2" in rows[4][1]
    assert "f.gz is damaged" in rows[5][1]
    assert rows[6:] == [
        (7, {"file": "g.txt", "text": "wide"}),
        (8, {"file": "new.job/x.txt", "text": "no job"}),
    ]
    assert table.files[1] == place / "b.txt" and table.text == ("text",)
    assert found(open_table(str(place), encoding="latin-1"))[4][1]["text"] == "naïve"
    (place / "b.txt").rename(place / "bb.txt")
    assert open_table(str(place)).reader != table.reader
    with pytest.raises(InputInvalidError, match="is a directory"):
        open_table(str(place), format="csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputNotFoundError, match="There are no files"):
        open_table(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "content, format, name, expected",
    [
        (b' \n{"a": 1}\n', "", "stdin.jsonl", [(2, {"a": 1})]),
        (b"\xef\xbb\xbf{}", "", "stdin.jsonl", [(1, {})]),
        (b"a\n\n", "", "stdin.txt", [(1, {"text": "a"}), (2, {"text": ""})]),
        (b"", "", "stdin.txt", []),
        (b'[{"a": 1}]', "", "stdin.json", [(1, {"a": 1})]),
        ('{"a": 1}\n'.encode("utf-16"), "", "stdin.jsonl", [(1, {"a": 1})]),
        (b"text\n007\n", "csv", "stdin.csv", [(2, {"text": "007"})]),
        (gzip.compress(b"text\n007\n", mtime=0), "csv.gz", "stdin.csv.gz", [(2, {"text": "007"})]),
    ],
)
def test_standard_input_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    format: str,
    name: str,
    expected: list[tuple[int, Any]],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    table = open_table("-", format=format, directory_for_stdin=tmp_path)
    assert table.files == (tmp_path / name,) and table.name == "standard input"
    assert (tmp_path / name).read_bytes() == content
    assert found(table) == expected


def test_standard_input_that_can_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x")))
    with pytest.raises(InputInvalidError, match="Save it to a file first"):
        open_table("-")
    with pytest.raises(InputInvalidError, match="Unsupported file type"):
        open_table("-", format="xlsx", directory_for_stdin=tmp_path)
    assert sys.stdin.read() == "x"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputInvalidError, match=r"pipe\.csv can't be read more than once"):
        open_table(str(tmp_path / "pipe.csv"))


def test_what_is_not_there() -> None:
    with pytest.raises(InputNotFoundError, match=r"There is no file nowhere\.csv"):
        open_table("nowhere.csv")
