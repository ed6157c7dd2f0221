"""Readers of lines: CSV, TSV, JSON lines and texts, packed or not."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpsuite.data.reading import read_rows, try_rows
from nlpsuite.errors import InputInvalidError, NlpsuiteError, OptionError
from nlpsuite.plugins.registry import find_plugin
from nlpsuite.testing import check_plugin

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
SPACES = "\x0b\x0c\x1c\x85\u2028\u2029"  # which str.splitlines takes for ends of lines


def rows(path: Path, content: str | bytes, encoding: str = "utf-8") -> list[tuple[int, Any]]:
    """Line and values of each row; an error's first line in place of a damaged row's values."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    suffix = path.name.split(".")[1]
    return [
        (line, values.message.rpartition("/")[2] if isinstance(values, InputInvalidError) else dict(values))
        for line, values in try_rows(suffix, path, encoding)
    ]


def test_lines_of_text_keep_their_numbers(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.txt", f"\ufeffa{SPACES}b\r\n\n c \nlast\r") == [
        (1, {"text": f"a{SPACES}b"}),
        (2, {"text": ""}),
        (3, {"text": " c "}),
        (4, {"text": "last\r"}),
    ]
    assert rows(tmp_path / "b.txt", "a\n") == [(1, {"text": "a"})]
    assert rows(tmp_path / "c.txt", "\n") == [(1, {"text": ""})]
    assert rows(tmp_path / "d.txt", "") == []


@pytest.mark.parametrize(
    "name, content, good, message",
    [
        ("a.csv", b"id,text\n1,a\n2\n3,c\n", [2, 4], "a.csv:3: expected 2 values, got 1."),
        ("a.csv", b'id,text\n1,a\n2,"x\n\xff"\n3,c\n', [2, 5], "a.csv:3: byte 0xff is not valid UTF-8."),
        ("a.tsv", b"id\ttext\n1\ta\n2\n3\tc\n", [2, 4], "a.tsv:3: expected 2 values, got 1."),
        ("a.tsv", b"id\ttext\n1\ta\n2\t\xe9\n3\tc\n", [2, 4], "a.tsv:3: byte 0xe9 is not valid UTF-8."),
        ("a.txt", b"a\n\xed\xa0\x80\nc\n", [1, 3], "a.txt:2: byte 0xed is not valid UTF-8."),
        ("a.jsonl", b'{"a":1}\n{"a"\n{"a":2}', [1, 3], "a.jsonl:2: not valid JSON: Expecting ':' delimiter"),
        ("a.jsonl", b'{"a":1}\n{"a":"\xff"}\n{}', [1, 3], "a.jsonl:2: byte 0xff is not valid UTF-8."),
        ("a.jsonl", b'{"a":1}\n7\n{"a":2}', [1, 3], "a.jsonl:2: 7 isn't a JSON object."),
        ("a.jsonl", b'{"a":1}\n{"a":NaN}\n{}', [1, 3], "a.jsonl:2: not valid JSON: NaN isn't a JSON number"),
        ("a.jsonl", b'{"a":1}\n{"a":1e999}\n{}', [1, 3], "a.jsonl:2: not valid JSON: 1e999 is too large"),
        (
            "a.jsonl",
            b'{"a":1}\n{"a":1,"a":2}\n{}',
            [1, 3],
            "a.jsonl:2: not valid JSON: two values are called",
        ),
        ("a.jsonl", b'{"a":1}\n{"a":"\\uD800"}\n{}', [1, 3], "a.jsonl:2: The a has a lone surrogate"),
        ("a.jsonl", b'{"a":1}\n{"a":["\\udfff"]}\n{}', [1, 3], "a.jsonl:2: The a has a lone surrogate"),
        ("a.jsonl", b'{"a":1}\n{"\\udfff":1}\n{}', [1, 3], "a.jsonl:2: A column's name has a lone"),
    ],
)
def test_a_damaged_row_is_told_and_passed(
    tmp_path: Path, name: str, content: bytes, good: list[int], message: str
) -> None:
    found = rows(tmp_path / name, content)
    assert [line for line, values in found if isinstance(values, dict)] == good
    [damage] = [values for _, values in found if isinstance(values, str)]
    assert damage.startswith(message)
    with pytest.raises(InputInvalidError) as caught:  # training ends there
        list(read_rows(name.split(".")[1], tmp_path / name))
    assert message in str(caught.value)


def test_whole_surrogate_pairs_are_characters(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.jsonl", '{"a": "\\ud83e\\udd80"}') == [(1, {"a": "🦀"})]


def test_values_are_never_typed(tmp_path: Path) -> None:
    expected = [(2, {"id": "007", "x": "1e5"}), (3, {"id": "NA", "x": ""}), (4, {"id": "", "x": ""})]
    assert rows(tmp_path / "a.csv", "id,x\n007,1e5\nNA,\n,\n") == expected
    assert rows(tmp_path / "a.tsv", "id\tx\n007\t1e5\nNA\t\n\t\n") == expected


def test_an_empty_text_is_a_row(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", 'text\n""\n\nx\n') == [(2, {"text": ""}), (4, {"text": "x"})]
    assert rows(tmp_path / "a.tsv", "text\n\nx\n") == [(2, {"text": ""}), (3, {"text": "x"})]


def test_a_misplaced_quote_ends_a_csv(tmp_path: Path) -> None:
    with pytest.raises(InputInvalidError, match="a.csv:3: "):
        rows(tmp_path / "a.csv", 'a,b\n1,2\n"x"y,2\n3,4\n')
    with pytest.raises(InputInvalidError, match="a.csv:2: unexpected end of data"):
        rows(tmp_path / "a.csv", 'a,b\n1,"2\n3,4\n')


def test_encodings(tmp_path: Path) -> None:
    text = "text\tn\nnaïve\t1\n"
    expected = [(2, {"text": "naïve", "n": "1"})]
    assert rows(tmp_path / "a.tsv", text.encode("latin-1"), "latin-1") == expected
    assert rows(tmp_path / "a.tsv", text.encode("utf-16"), "utf-16") == expected
    assert rows(tmp_path / "a.tsv", text.encode("utf-8-sig"), "UTF-8-sig") == expected
    # U+0A0A has the byte of a line's end twice.
    assert rows(tmp_path / "a.txt", "\u0a0a\r\n".encode("utf-16-le"), "utf-16-le") == [
        (1, {"text": "\u0a0a"})
    ]
    assert rows(tmp_path / "a.tsv", text.encode("utf-16")) == expected  # by its byte order mark
    with pytest.raises(InputInvalidError, match="a.tsv is not valid utf-16-le: "):
        rows(tmp_path / "a.tsv", text.encode("utf-16-le") + b"\x00\xd8\x0a\x00", "utf-16-le")
    (tmp_path / "a.txt").write_bytes("a\nb\n".encode("utf-16"))
    some = try_rows("txt", tmp_path / "a.txt", "utf-16")
    assert next(some) == (1, {"text": "a"})
    cast(Any, some).close()  # half-way, which leaves no file open
    for name in ("uft-8", "base64", "a\0b"):
        with pytest.raises(OptionError, match="There is no encoding"):
            rows(tmp_path / "a.tsv", text, name)
    with pytest.raises(OptionError, match=r"Files of type \.parquet take no --encoding"):
        rows(tmp_path / "a.parquet", text, "latin-1")


def zst(data: bytes) -> bytes:
    compressed: bytes = pa.compress(data, "zstd", asbytes=True)
    return compressed


SKIPPED = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # a frame for others, RFC 8878 3.1.2


@pytest.mark.parametrize(
    "name, packed",
    [
        ("a.txt.gz", lambda a, b: gzip.compress(a + b, mtime=0)),
        ("a.txt.gz", lambda a, b: gzip.compress(a, mtime=0) + gzip.compress(b, mtime=0)),
        ("a.txt.zst", lambda a, b: zst(a + b)),
        ("a.txt.zst", lambda a, b: zst(a) + SKIPPED + zst(b"") + zst(b)),
        ("a.txt.ZST", lambda a, b: SKIPPED + zst(a) + zst(b)),
    ],
)
def test_packed_in_one_piece_or_several(
    tmp_path: Path, name: str, packed: Callable[[bytes, bytes], bytes]
) -> None:
    texts = [f"line {i} é" for i in range(30_000)]
    whole = "".join(f"{text}\n" for text in texts).encode()
    found = rows(tmp_path / name, packed(whole[:200_001], whole[200_001:]))
    assert [values["text"] for _, values in found] == texts


@pytest.mark.parametrize("name, pack", [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zst)])
def test_what_is_torn_or_flipped_is_told_with_the_files_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(b"".join(b'{"n": %d}\n' % i for i in range(50)))
    for length in range(1, len(whole)):
        with pytest.raises(InputInvalidError, match=f"{name} is damaged: "):
            rows(tmp_path / name, whole[:length])
    with pytest.raises(InputInvalidError, match=f"{name} is damaged: "):
        rows(tmp_path / name, b'{"n": 1}\n')
    with pytest.raises(InputInvalidError, match=f"{name} is damaged: "):
        rows(tmp_path / name, whole + b"more")


@IN_TMP
@given(
    content=st.binary(max_size=60), name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.txt.zst"])
)
def test_any_bytes_give_rows_or_a_clear_error(tmp_path: Path, content: bytes, name: str) -> None:
    try:
        found = rows(tmp_path / name, content)
    except NlpsuiteError as error:
        assert name in error.message
    else:
        assert [line for line, _ in found] == sorted({line for line, _ in found})


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "txt.zst"])
@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    text = "a sentence of some length, as they come"
    if suffix == "csv":
        content = "id,text\n" + "".join(f'{i},"{text}"\n' for i in range(200_000))
    else:
        content = "".join(json.dumps({"id": i, "text": text}) + "\n" for i in range(200_000))
    path.write_bytes(zst(content.encode()) if suffix == "txt.zst" else content.encode())
    del content
    tracemalloc.start()
    try:
        count = sum(1 for _ in try_rows(suffix.split(".")[0], path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 4e6


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson", "txt", "parquet"])
def test_each_passes_the_checks_for_plugins(suffix: str) -> None:
    findings = list(check_plugin(find_plugin("reader", suffix)))
    assert len(findings) == 9 and all(finding.ok for finding in findings), findings
