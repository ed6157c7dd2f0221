"""Reading a corpus of any form, and holding a part of it out."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError, InputNotFoundError, OptionError
from nlpsuite.training.corpus import Document, read_corpus, split_corpus


def texts_of(*sources: Path | str, **options: object) -> list[str]:
    return [document.text for document in read_corpus([str(s) for s in sources], **options)]  # type: ignore[arg-type]


def documents(*texts: str) -> list[Document]:
    return [Document(text, str(i)) for i, text in enumerate(texts)]


# Reading.


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_bytes("One\r\n\r\nzwölf\n".encode())
    assert list(read_corpus([str(tmp_path / "a.rst")])) == [
        Document("One\n\nzwölf\n", str(tmp_path / "a.rst"))
    ]


def test_a_folder_is_read_at_any_depth_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/c.text", ".hidden.txt", ".git/x.txt", "code.py", "d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(b"packed", mtime=0))
    (tmp_path / "f.jsonl").write_text('{"text": "line"}\n')
    (tmp_path / "blank.txt").write_text(" \n")
    assert texts_of(tmp_path) == ["a/c.text", "a/z.md", "b.txt", "packed", "line"]


def test_patterns_and_files_named_twice(tmp_path: Path) -> None:
    for name in ("b.py", "a.py"):
        (tmp_path / name).write_text(name)
    assert texts_of(tmp_path / "b.py", f"{tmp_path}/**/*.py", tmp_path / "." / "a.py") == ["b.py", "a.py"]
    with pytest.raises(InputNotFoundError, match="No file matches"):
        read_corpus([f"{tmp_path}/*.rs"])


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one\u2028two"}\n\n{"text": " "}\n{"id": 3, "text": "three"}', encoding="utf-8")
    assert list(read_corpus([str(path)])) == [
        Document("one\u2028two", f"{path}:1"),
        Document("three", f"{path}:4"),
    ]
    path.write_text('{"body": "x"}\n')
    assert texts_of(path, text_key="body") == ["x"]


def test_tables_of_every_kind(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("id;text\n1;one\n2;two\n")
    (tmp_path / "a.json").write_text('[{"text": "one"}, {"text": "two"}]')
    (tmp_path / "a.jsonl.zst").write_bytes(
        pa.compress(b'{"text": "one"}\n{"text": "two"}\n', "zstd", asbytes=True)
    )
    for name in ("a.parquet", "a.csv", "a.json", "a.jsonl.zst"):
        assert texts_of(tmp_path / name) == ["one", "two"]
    (tmp_path / "a.txt.zst").write_bytes(pa.compress("zwölf\r\n".encode("utf-16"), "zstd", asbytes=True))
    assert texts_of(tmp_path / "a.txt.zst") == ["zwölf\n"]


@pytest.mark.parametrize(
    "line, message, hint",
    [
        ('{"text": "a"', r"a\.jsonl:2: not valid JSON", "one JSON object"),
        ('["a"]', r"a\.jsonl:2: \[.*isn't a JSON object", '{"text": "…"}'),
        ("3", r"a\.jsonl:2: 3 isn't a JSON object", "{"),
        ('{"body": "a", "id": 1}', r"a\.jsonl:2: There is no column 'text'", "body, id"),
        ('{"text": {}}', r"a\.jsonl:2: The value of 'text' is not a text: {}", "another column"),
        ('{"text": "\\ud800"}', r"a\.jsonl:2: The text has a lone surrogate", ""),
        ("[" * 100_000, r"a\.jsonl:2: not valid JSON: it is nested too deeply", ""),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str, hint: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(InputInvalidError, match=message) as caught:
        texts_of(tmp_path / "a.jsonl")
    assert hint in caught.value.hint


def test_standard_input_is_read_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped text")))
    corpus = read_corpus(["-"])
    assert list(corpus) == list(corpus) == [Document("piped text", "standard input")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_is_read_once_and_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=["through a pipe"])
    writer.start()
    corpus = read_corpus([str(tmp_path / "pipe")])
    assert [d.text for d in corpus] == [d.text for d in corpus] == ["through a pipe"]
    writer.join()


def test_a_long_file_is_several_documents_cut_at_paragraphs(tmp_path: Path) -> None:
    text = "".join(f"Line {i} of it.\n" + "\n" * (i % 5 == 0) for i in range(400))
    (tmp_path / "a.txt").write_text(text)
    found = list(read_corpus([str(tmp_path / "a.txt")], longest=1000))
    assert "".join(d.text for d in found) == text
    assert len(found) > 5 and all(len(d.text) <= 1000 for d in found)
    assert all(d.text.endswith("\n\n") for d in found[:-1])
    assert found[1].source == f"{tmp_path / 'a.txt'} (part 2)"


@given(text=st.text("ab \n", max_size=300), longest=st.integers(1, 40))
def test_nothing_is_lost_between_parts(
    text: str, longest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.txt"
    path.write_text("x" + text)
    assert "".join(texts_of(path, longest=longest)).rstrip() == ("x" + text).rstrip()


# Input that can't be used.


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="There is no file or folder"):
        read_corpus([str(tmp_path / "none")])
    with pytest.raises(InputNotFoundError, match="No corpus"):
        read_corpus([])
    with pytest.raises(InputNotFoundError, match="null"):
        read_corpus(["a\0b"])


def test_a_folder_without_texts_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="has no text files"):
        read_corpus([str(tmp_path)])
    for name in ("a.py", "b.py", "c.rs"):
        (tmp_path / name).touch()
    with pytest.raises(InputNotFoundError) as caught:
        read_corpus([str(tmp_path)])
    assert f"2 .py files, name them: '{tmp_path}/**/*.py'" in caught.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch(mode=0)
    with pytest.raises(InputNotFoundError, match="Permission denied"):
        texts_of(tmp_path / "a.txt")


def test_files_without_any_text(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("\n")
    with pytest.raises(InputInvalidError, match=r"a\.txt is empty"):
        texts_of(tmp_path / "a.txt")
    with pytest.raises(InputInvalidError, match="Each of 2 files is empty"):
        texts_of(tmp_path)


@pytest.mark.parametrize("before", [3, (1 << 20) - 1, (1 << 20) + 5])
def test_a_byte_that_is_no_text_is_named_with_its_offset(tmp_path: Path, before: int) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * before + b"\xc3(")
    with pytest.raises(InputInvalidError, match=rf"not valid utf-8: byte 0xc3 at offset {before:,}\."):
        texts_of(path)
    path.write_bytes(b"x" * before + b"\0")
    with pytest.raises(InputInvalidError, match=rf"NUL byte at offset {before:,}\."):
        texts_of(path)
    path.write_bytes(b"x" * before + b"\xe2\x82")
    with pytest.raises(InputInvalidError, match=rf"byte 0xe2 at offset {before:,}\."):
        texts_of(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-8-sig", "shift_jis"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "line one\nline two " + (
        "漢字" if encoding == "shift_jis" else "é" if encoding == "latin-1" else "ž漢"
    )
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (tmp_path / "a.jsonl").write_bytes(json.dumps({"text": text}, ensure_ascii=False).encode(encoding))
    assert texts_of(tmp_path, encoding=encoding) == [text, text]


def test_a_byte_order_mark_overrules_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ž".encode("utf-16"))
    (tmp_path / "b.txt").write_bytes("ž".encode("utf-8-sig"))
    assert texts_of(tmp_path) == ["ž", "ž"]


@pytest.mark.parametrize("encoding", ["no-such", "base64", "hex"])
def test_names_that_are_no_text_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("zz top")
    with pytest.raises(OptionError, match=encoding):
        texts_of(tmp_path, encoding=encoding)


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b"text " * 99, mtime=0)[:-12], gzip.compress(b"t" * 9, mtime=0)[:8] + b"junk"],
)
def test_a_damaged_gzip_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt.gz").write_bytes(data)
    with pytest.raises(InputInvalidError, match=r"a\.txt\.gz is damaged"):
        texts_of(tmp_path / "a.txt.gz")


# Holding a part out.


def test_of_many_documents_each_tenth_is_held_out() -> None:
    train, heldout = split_corpus(documents(*map(str, range(25))))
    assert list(heldout) == ["9", "19"]
    assert list(train) == [str(i) for i in range(25) if i not in (9, 19)]
    assert list(train) == list(train)  # again from the start


def test_a_copy_of_what_is_held_out_is_not_trained_on() -> None:
    train, heldout = split_corpus(documents(*(str(i % 6) for i in range(20))))
    assert not set(train) & set(heldout)
    assert set(heldout) == {"3", "1"}


def test_of_few_documents_the_ends_are_held_out_at_a_paragraph() -> None:
    paragraphs = [f"Paragraph {i}, first line\nand second line.\n\n" for i in range(40)]
    text = "".join(paragraphs)
    train, heldout = split_corpus(documents(text, text + "x"))
    assert list(train) == ["".join(paragraphs[:36])] * 2
    assert list(heldout) == ["".join(paragraphs[36:]), "".join(paragraphs[36:]) + "x"]


def test_without_paragraphs_the_cut_is_after_a_line_or_a_word() -> None:
    (train,), (heldout,) = split_corpus(documents("word word\n" * 50))
    assert (len(train), len(heldout)) == (450, 50)
    (train,), (heldout,) = split_corpus(documents("word " * 100))
    assert (len(train), len(heldout)) == (450, 50)


@given(
    texts=st.lists(st.text("ab \n", min_size=1, max_size=60), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.5),
)
def test_parts_are_disjoint_complete_and_the_same_each_time(texts: list[str], fraction: float) -> None:
    try:
        parts = [split_corpus(make(documents(*texts)), fraction) for make in (list, iter)]
    except InputInvalidError:
        return
    (train, heldout), (again, heldout_again) = [[list(part) for part in pair] for pair in parts]
    assert (train, heldout) == (again, heldout_again)
    if int(len(texts) * fraction) >= 2:
        assert abs(len(heldout) - len(texts) * fraction) <= 1
        assert set(train) | set(heldout) == set(texts)
        assert not set(train) & set(heldout)
    else:
        kept = iter(heldout)
        assert [t if t == whole else t + next(kept) for t, whole in zip(train, texts)] == texts


def test_a_corpus_too_small_to_split() -> None:
    with pytest.raises(InputInvalidError, match="1 document, 4 characters"):
        split_corpus(documents("word"))
    with pytest.raises(InputInvalidError, match="nothing to train on"):
        split_corpus(documents(*["same"] * 20))


@pytest.mark.parametrize("fraction", [0, -0.1, 0.6, float("nan")])
def test_a_fraction_that_makes_no_sense(fraction: float) -> None:
    with pytest.raises(OptionError, match="held out"):
        split_corpus(documents("a b c"), fraction)
