"""Standard data sets by name: formats as their authors publish them, and where the files are looked for."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.data.datasets import datasets, open_dataset
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of data."""
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path))
    return tmp_path


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def found(table: Table) -> list[dict[str, Any]]:
    rows = []
    for _, values in table.read():
        assert not isinstance(values, InputInvalidError), values
        rows.append(dict(values))
    return rows


def test_each_name_says_what_it_is_for() -> None:
    for name, dataset in datasets().items():
        assert name == dataset.name and dataset.summary and dataset.published.startswith("https://")
        if dataset.task != "lm":
            make_options(load_task(dataset.task).options, dict(dataset.options))
    assert datasets()["multi30k:test2016:en-de"].options == {"from_": "English", "to": "German"}


def test_naming_them_imports_nothing_heavy() -> None:
    code = (
        "import sys; from nlpsuite.data.datasets import datasets; datasets()\n"
        "print([m for m in ('numpy', 'pyarrow', 'pluggy', 'zipfile', 'nlpsuite.tasks.base') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_sst2(data: Path) -> None:
    put(data / "SST-2" / "dev.tsv", 'sentence\tlabel\nit "works \t1\nNA \t0\nbad\t2\n')
    table = open_dataset("sst2:dev")
    assert (table.text, table.reference, table.files) == (
        ("text",),
        "reference",
        (data / "SST-2" / "dev.tsv",),
    )
    assert table.reader == {"format": "dataset", "dataset": "sst2:dev", "version": 1}
    first, second, damaged = (values for _, values in table.read())
    assert first == {"text": 'it "works ', "reference": "positive"}
    assert second == {"text": "NA ", "reference": "negative"}
    assert (
        isinstance(damaged, InputInvalidError) and "dev.tsv:4: not a row of this data set" in damaged.message
    )
    put(data / "sentiment" / "sst2_glue" / "train.tsv.gz", "label\tcontent\n1\tx\n")
    assert found(open_dataset("sst2:train")) == [{"text": "x", "reference": "positive"}]


def test_multi30k(data: Path) -> None:
    put(data / "test_2016_flickr.en.gz", "A dog.\n\nTwo.\n")
    put(data / "test_2016_flickr.de", "Ein Hund.\n\nZwei.\n")
    table = open_dataset("multi30k:test2016:de-en")
    assert found(table)[0] == {"text": "Ein Hund.", "reference": "A dog."}
    assert len(found(table)) == 3 and [file.suffix for file in table.files] == [".de", ".gz"]
    assert table.options == {"from_": "German", "to": "English"}


def test_scitldr(data: Path) -> None:
    row = {
        "source": ["One. ", "Two."],
        "source_labels": [0, 1],
        "paper_id": "SysE",
        "target": ["a", "b"],
        "title": "T",
    }
    put(data / "SciTLDR-A" / "dev.jsonl", json.dumps(row) + "\n" + json.dumps({"source": 7}))
    table = open_dataset("scitldr:dev")
    (_, first), (_, damaged) = table.read()
    assert first == {"paper_id": "SysE", "title": "T", "text": "One. Two.", "reference": ["a", "b"]}
    assert table.id == "paper_id" and isinstance(damaged, InputInvalidError)


def test_humaneval(data: Path) -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def f():\n",
        "entry_point": "f",
        "canonical_solution": "    pass\n",
    }
    row["test"] = "def check(candidate): pass"
    put(data / "HumanEval.jsonl.gz", json.dumps(row))
    table = open_dataset("humaneval")
    assert found(table) == [row]
    assert (table.text, table.reference, table.id) == (("prompt",), "canonical_solution", "task_id")
    row["suffix"] = "x"
    put(data / "HumanEval-SingleLineInfilling.jsonl", json.dumps(row))
    table = open_dataset("humaneval-infilling:single-line")
    assert found(table)[0]["reference"] == "    pass" and found(table)[0]["suffix"] == "\nx"
    assert table.options == {"max_tokens": 96, "line": True, "stop": ""}
    assert table.option_columns == {"suffix": "suffix"}


def test_wikitext_is_cut_at_titles_alone(data: Path) -> None:
    text = " \n = One = \n \n A = B = C . \n = not a title = \n \n = = Part = = \n \n x \n \n = Two thirds = \n \n y"
    path = put(data / "wiki.valid.tokens", text)
    rows = found(open_dataset("wikitext2:valid"))
    assert [row["title"] for row in rows] == ["One", "Two thirds"]
    assert "".join(row["text"] for row in rows) == text
    assert [line for line, _ in open_dataset(f"wikitext2:test@{path}").read()] == [1, 11]


def test_tatoeba_has_a_row_for_each_sentence(data: Path) -> None:
    with zipfile.ZipFile(data / "deu-eng.zip", "w") as archive:
        archive.writestr("deu.txt", "Hi.\tHallo!\tCC-BY 2.0\nGo.\tGeh.\nHi.\tGrüß Gott!\nHi.\tHallo!\n")
    assert found(open_dataset("tatoeba:en-de")) == [
        {"text": "Hi.", "reference": ["Hallo!", "Grüß Gott!"]},
        {"text": "Go.", "reference": ["Geh."]},
    ]
    assert found(open_dataset("tatoeba:de-en"))[0] == {"text": "Hallo!", "reference": ["Hi."]}
    whole = (data / "deu-eng.zip").read_bytes()
    for damage, message in (
        (whole[:40], "damaged"),
        (whole.replace(b"deu.txt", b"fra.txt"), "no file deu.txt"),
    ):
        (data / "deu-eng.zip").write_bytes(damage)
        with pytest.raises(InputInvalidError, match=message):
            found(open_dataset("tatoeba:en-de"))


def test_a_place_of_ones_own(data: Path) -> None:
    path = put(data / "mine" / "anything.tsv", "sentence\tlabel\nx\t1\n")
    assert open_dataset(f"sst2:dev@{path}").files == (path,)
    renamed = path.rename(path.with_name("dev.tsv"))
    assert open_dataset(f"sst2:dev@{path.parent}").files == (renamed,)


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(
        InputInvalidError, match=r"'sst2:dve'.\nDid you mean 'sst2:dev'\? Data sets: sst2:dev, sst2:train"
    ):
        open_dataset("sst2:dve")
    with pytest.raises(
        InputInvalidError, match="Data sets: sst2:dev, multi30k:test2016:en-de, .*, wikitext2:valid"
    ):
        open_dataset("no such thing")


def test_a_file_that_is_not_there(data: Path) -> None:
    with pytest.raises(InputNotFoundError) as caught:
        open_dataset("scitldr:dev")
    assert "needs a file dev.jsonl" in caught.value.message
    assert str(data / "summarization" / "scitldr_a") in caught.value.message
    assert "published at https://github.com/allenai/scitldr" in caught.value.hint
    with pytest.raises(InputNotFoundError, match="there is none in nowhere"):
        open_dataset("scitldr:dev@nowhere")


@pytest.mark.parametrize(
    "name, rows",
    [
        ("sst2:dev", 872),
        ("sst2:train", 67_349),
        ("multi30k:test2016:en-de", 1_000),
        ("multi30k:val:fr-en", 1_014),
        ("scitldr:dev", 619),
        ("scitldr:train", 1_992),
        ("humaneval", 164),
        ("humaneval-infilling:single-line", 1_033),
        ("wikitext2:valid", 60),
        ("wikitext2:test", 60),
        ("tatoeba:en-de", 134_922),
    ],
)
def test_real_ones_have_as_many_rows_as_their_authors_say(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLPSUITE_DATA", str(DATA))
    try:
        table = open_dataset(name)
    except InputNotFoundError as error:
        pytest.skip(f"the data is not here: {error.message}")
    values = found(table)
    assert len(values) == rows
    if table.id:
        assert len({row[table.id] for row in values}) == rows
    if name == "wikitext2:valid":
        assert "".join(row["text"] for row in values).encode() == table.files[0].read_bytes()
    if name == "scitldr:dev":
        assert sum(len(row["reference"]) for row in values) == 1_453
