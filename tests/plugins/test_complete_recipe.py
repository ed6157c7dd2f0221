"""The recipe's training data: what is taken, how it is cut, and that training reads it as meant."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import tokenizers
from tiny import tiny_tokenizer_json

from nlpsuite import Record
from nlpsuite.data.columns import Selection
from nlpsuite.data.examples import read_examples
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.tokenizer import Tokenizer

RECIPE = Path(__file__).parents[2] / "plugins" / "nlpsuite_complete" / "recipe"
MODULE = '''\
import math
from . import other


def area(radius, digits=2):
    """The area of a circle, rounded.

    >>> area(1)
    3.14
    """
    if radius < 0:
        raise ValueError("a radius can't be negative")
    found = math.pi * radius**2
    return round(found, digits)


class Shape:
    def scaled(self, factor):
        """This shape, so many times as large."""
        copy = type(self)()
        for name, value in vars(self).items():
            setattr(copy, name, value * factor)
        return copy

    def nothing(self):
        """Not yet."""
        raise NotImplementedError
'''


@pytest.fixture(scope="module")
def recipe() -> Iterator[ModuleType]:
    if not RECIPE.is_dir():
        pytest.skip("the recipe is missing")
    sys.path.insert(0, str(RECIPE))
    try:
        yield importlib.import_module("make_data")
    finally:
        sys.path.remove(str(RECIPE))


def wheel(folder: Path, name: str, license: str, **files: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\nLicense: {license}\n\nText"
        )
        for file, text in files.items():
            archive.writestr(f"{name}/{file}.py", text)


def made(
    recipe: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[list[dict[str, str]], dict[str, object]]:
    sources = sys.modules["python_sources"]
    package = sources.Package("python", "3", "PSF-2.0", "", 0)
    monkeypatch.setattr(sources, "_interpreter", lambda: (package, iter(())))
    monkeypatch.setattr(sys, "argv", ["make_data.py", str(folder), str(folder / "out"), *arguments])
    recipe.main()
    rows = (folder / "out" / "train.jsonl").read_text().splitlines()
    return [json.loads(row) for row in rows], json.loads((folder / "out" / "manifest.json").read_text())


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "held.jsonl"
    path.write_text(json.dumps({"text": "def f(): pass", "entry_point": "secret"}))
    return path


def test_examples_are_cut_out_of_functions(
    recipe: ModuleType,
    tmp_path: Path,
    held: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipe, "MOST_PER_PACKAGE", 1.0)
    wheel(tmp_path, "shapes", "MIT", shapes=MODULE, broken="def f(:\n")
    rows, manifest = made(recipe, tmp_path, monkeypatch, "--tokens", "3000", "--without", str(held))
    kinds = Counter(row["kind"] for row in rows)
    assert set(kinds) == set(recipe.KINDS) and manifest["kinds"] == dict(kinds)
    assert manifest["packages"][1]["license"] == "MIT" and manifest["packages"][1]["files"] == 1
    for row in rows:
        assert row["completion"].strip()
        whole = row["text"] + row["completion"] + row["suffix"]
        if row["kind"] == "function":
            ast.parse(whole)
            assert not row["suffix"] and row["text"].endswith('"""\n')
        else:
            assert whole in MODULE or whole.partition("\n")[2] in MODULE
        assert "NotImplementedError" not in row["completion"]
    [area] = [row for row in rows if row["kind"] == "function" and "area" in row["text"]]
    assert area["text"].startswith("import math\n\n\ndef area(") and "other" not in area["text"]
    assert area["completion"].startswith("    if radius") and area["completion"].endswith("digits)")


def test_training_reads_them_with_the_prompts_of_running(
    recipe: ModuleType,
    tmp_path: Path,
    held: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipe, "MOST_PER_PACKAGE", 1.0)
    wheel(tmp_path, "shapes", "MIT", shapes=MODULE)
    rows, _ = made(recipe, tmp_path, monkeypatch, "--tokens", "3000", "--without", str(held))
    core = tokenizers.Tokenizer.from_str(tiny_tokenizer_json())
    core.add_special_tokens(["<repo_name>", "<filename>"])
    tokenizer = Tokenizer(core, None, {})
    task = load_task("complete")
    asked = Selection(options={"suffix": "suffix"})
    examples = list(read_examples(tmp_path / "out" / "train.jsonl", task, asked))
    assert len(examples) == len(rows)
    for example, row in zip(examples, rows):
        assert example.options == ({"suffix": row["suffix"]} if row["suffix"] else {})
        options = make_options(task.options, {**task.adapter_options, **example.options})
        prompt = task.prompt(Record(example.record.text), options)
        assert task.target(example.reference, example.record, options) == row["completion"]
        controls = [text for text, control in tokenizer.segments(prompt) if control]
        assert controls == (["<repo_name>", "<filename>"] if row["suffix"] else [])


def test_what_an_evaluation_set_holds_is_left_out(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recipe, "MOST_PER_PACKAGE", 1.0)
    wheel(tmp_path, "shapes", "MIT", shapes=MODULE)
    held = tmp_path / "held.jsonl"
    body = MODULE[MODULE.index("        copy") : MODULE.index("    def nothing")]
    held.write_text(json.dumps({"prompt": body, "entry_point": "area"}))
    with pytest.raises(SystemExit, match="no function"):
        made(recipe, tmp_path, monkeypatch, "--tokens", "3000", "--without", str(held))


def test_a_license_that_is_not_on_the_list_is_refused(
    recipe: ModuleType, tmp_path: Path, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path, "shapes", "GPL-3.0", shapes=MODULE)
    with pytest.raises(SystemExit, match="shapes-1.0-py3-none-any.whl: its license"):
        made(recipe, tmp_path, monkeypatch, "--tokens", "3000", "--without", str(held))
