"""Reading examples from files."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpsuite.data.columns import Selection
from nlpsuite.data.examples import Example, read_examples
from nlpsuite.errors import InputInvalidError, InputNotFoundError, NlpsuiteError
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Message

DATA = Path(__file__).parents[3] / "shared" / "data"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path | str, task: str = "sentiment", text: str = "", reference: str = "") -> list[Example]:
    asked = Selection((text,) if text else (), reference=reference)
    return list(read_examples(path, load_task(task), asked))


def pairs(examples: list[Example]) -> list[tuple[str, str]]:
    return [(example.record.text, example.reference) for example in examples]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_tsv_as_glue_writes_it(tmp_path: Path) -> None:
    text = 'sentence\tlabel\nit "works \t1\r\n\n so, so \t0\n'
    examples = read(write(tmp_path / "a.tsv", text))
    assert pairs(examples) == [('it "works ', "positive"), (" so, so ", "negative")]
    assert [example.line for example in examples] == [2, 4]


def test_csv_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    text = '\ufeffLabel,id,Text\nPositive,007,"a ""b"",\nc"\n\nnegative,NA,d\n'
    examples = read(write(tmp_path / "a.csv", text))
    assert pairs(examples) == [('a "b",\nc', "positive"), ("d", "negative")]
    assert [example.line for example in examples] == [2, 5]


def test_a_long_value(tmp_path: Path) -> None:
    [example] = read(write(tmp_path / "a.csv", "text,label\n" + "x" * 200_000 + ",1\n"))
    assert len(example.record.text) == 200_000


def test_jsonl(tmp_path: Path) -> None:
    rows = [
        {"source": ["One.", " Two. "], "target": ["first", "second"], "n": 1.5},
        {"source": "Three.", "target": "third"},
    ]
    path = write(tmp_path / "a.jsonl", "\n\n".join(json.dumps(row) for row in rows))
    assert pairs(read(path, "summarize")) == [("One. Two.", "first"), ("Three.", "third")]
    assert pairs(read(write(tmp_path / "b.jsonl", '{"text": "a", "label": 0}'))) == [("a", "negative")]


def test_compressed_and_aligned(tmp_path: Path) -> None:
    english = write(tmp_path / "t.en.gz", gzip.compress(b"A dog.\n\nA cat.\n", mtime=0))
    german = write(tmp_path / "t.de", "Ein Hund.\r\n\nEine Katze.")
    examples = read(f"{english},{german}", "translate")
    assert pairs(examples) == [("A dog.", "Ein Hund."), ("A cat.", "Eine Katze.")]
    assert [example.line for example in examples] == [1, 3]
    write(tmp_path / "t.de", "Ein Hund.\n")
    with pytest.raises(InputInvalidError, match="t.en.gz has a line 2, .*t.de has only 1"):
        read(f"{english},{german}", "translate")


def test_a_comma_in_a_files_name(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "a,b.tsv", "text\tlabel\nx\t1\n"))) == 1
    with pytest.raises(InputInvalidError, match="3 files"):
        read("a,b,c")


def test_columns_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\tmine\tright\tlabel\nx\ty\t1\t0\n")
    assert pairs(read(path)) == [("x", "negative")]
    assert pairs(read(path, text="mine", reference="right")) == [("y", "positive")]
    with pytest.raises(InputInvalidError, match="a.tsv has no column 'rihgt'") as caught:
        read(path, reference="rihgt")
    assert "'text', 'mine', 'right', 'label'" in str(caught.value)
    with pytest.raises(InputInvalidError, match="source or en or text") as caught:
        read(write(tmp_path / "b.tsv", "a\tb\nx\ty\n"), "translate")
    assert "--text-column. Columns: 'a', 'b'" in str(caught.value)


def test_a_conversation_gives_an_example_for_each_answer(tmp_path: Path) -> None:
    turns = [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages = [{"role": role, "content": content} for role, content in turns]
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": messages}))
    first, second = read(path, "chat")
    assert (first.record.text, first.reference) == ("a", "b")
    assert first.record.history == (Message("system", "Be brief."),)
    assert (second.record.text, second.reference, len(second.record.history)) == ("c", "d", 3)
    [plain] = read(write(tmp_path / "b.jsonl", '{"prompt": "a", "response": "b"}'), "chat")
    assert (plain.record.text, plain.reference, plain.record.history) == ("a", "b", ())


@pytest.mark.parametrize(
    "messages, message",
    [
        ("hello", 'messages is "hello"; it must be a list of messages'),
        ([{"role": "user", "content": "a"}], "has no answer"),
        ([{"role": "assistant", "content": "a"}], "must end with a message of the user's"),
        ([{"role": "tool", "content": "a"}], r'messages\[0\].role is "tool"'),
        ([{"role": "user", "content": 7}], r"messages\[0\].content is 7; it must be a text"),
        ([7], r"messages\[0\] is 7; it must be an object"),
    ],
)
def test_conversations_that_can_not_be_used(tmp_path: Path, messages: Any, message: str) -> None:
    with pytest.raises(InputInvalidError, match=f"a.jsonl:1: .*{message}"):
        read(write(tmp_path / "a.jsonl", json.dumps({"messages": messages})), "chat")


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "a.tsv",
            "text\tlabel\nx\t2\n",
            r"a.tsv:2: '2' is not a label of sentiment.\nLabels: negative, positive",
        ),
        ("a.tsv", "text\tlabel\nx\t1\ny\n", r"a.tsv:3: expected 2 values, got 1"),
        ("a.tsv", "text\ttext\nx\t1\n", r"a.tsv:1: two columns are called 'text'"),
        ("a.tsv", "text\tlabel\n \t1\n", r"a.tsv:2: The text is empty"),
        ("a.tsv", "text\tlabel\nx\t\n", r"a.tsv:2: The reference in 'label' is empty"),
        ("a.tsv", b"text\tlabel\nx\t1\nn\xff\t1\n", r"a.tsv:3: byte 0xff is not valid UTF-8"),
        ("a.tsv", "", r"no examples"),
        ("a.tsv", "text\tlabel\n\t\n", r"no examples"),
        ("a.csv", 'text,label\n"x,1\n', r"a.csv:2: unexpected end of data"),
        ("a.csv", 'text,label\na,1\n"x"y,1\n', r"a.csv:3: "),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text"\n', r"a.jsonl:2: not valid JSON"),
        ("a.jsonl", "[1]\n", r"a.jsonl:1: \[1\] isn't a JSON object"),
        (
            "a.jsonl",
            '{"text": {"a": 1}, "label": 1}',
            r"a.jsonl:1: The value of 'text' is not a text: {\"a\": 1}",
        ),
        ("a.jsonl", '{"text": "x", "label": {}}', r"a.jsonl:1: The value of 'label' is not a text: {}"),
        ("a.jsonl", '{"text": "x", "label": null}', r"a.jsonl:1: The reference in 'label' is missing"),
        ("a.jsonl", '{"text": "x", "label": []}', r"a.jsonl:1: The reference in 'label' is missing"),
        ("a.jsonl", r'{"text": "x\ud800", "label": 1}', r"a.jsonl:1: The text has a lone surrogate"),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: not valid JSON"),
        ("a.tsv.gz", "text\tlabel\n", r"a.tsv.gz is damaged"),
        ("a.tsv.gz", gzip.compress(b"text\tlabel\n" + b"x\t1\n" * 99, mtime=0)[:-12], r"a.tsv.gz is damaged"),
        ("a.xlsx", "PK", r"Unsupported file type: .*a.xlsx"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputInvalidError, match=message):
        read(write(tmp_path / name, content))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a.tsv", f"{tmp_path}/a.en,{tmp_path}/a.de", tmp_path / "empty"):
        with pytest.raises(InputNotFoundError):
            read(path)


@IN_TMP
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), kind=st.sampled_from(["csv", "jsonl"]))
def test_what_is_written_is_read(tmp_path: Path, rows: list[tuple[str, str]], kind: str) -> None:
    rows = [("x" + text, "y" + reference) for text, reference in rows]
    buffer = io.StringIO(newline="")
    if kind == "csv":
        csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "target"), *rows])
    else:
        for text, reference in rows:
            buffer.write(json.dumps({"text": text, "target": reference}) + "\n")
    assert pairs(read(write(tmp_path / f"a.{kind}", buffer.getvalue()), "summarize")) == rows


@IN_TMP
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"]))
def test_any_bytes_give_examples_or_a_clear_error(tmp_path: Path, content: bytes, name: str) -> None:
    path = write(tmp_path / name, b"text,label\n" + content)
    try:
        assert read(path)
    except NlpsuiteError as error:
        assert name in error.message


def test_real_sentiment() -> None:
    path = DATA / "sentiment" / "sst2_glue"
    if not path.is_dir():
        pytest.skip("no data here")
    train, dev = read(path / "train.tsv"), read(path / "dev.tsv")
    assert (len(train), len(dev)) == (67_349, 872)
    assert sum(example.reference == "positive" for example in dev) == 444


def test_real_translation() -> None:
    path = DATA / "translation" / "multi30k"
    if not path.is_dir():
        pytest.skip("no data here")
    examples = read(f"{path / 'val.en.gz'},{path / 'val.de.gz'}", "translate")
    assert len(examples) == 1_014
    assert examples[0].reference == "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen"


def test_real_summarization() -> None:
    path = DATA / "summarization" / "scitldr_a"
    if not path.is_dir():
        pytest.skip("no data here")
    examples = read(path / "dev.jsonl", "summarize")
    assert len(examples) == 619
    assert examples[0].reference.startswith("We devise adaptive loss scaling")
