"""Plugins are written with public names: the bundled ones and the examples import nothing else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nlpsuite.plugins
import nlpsuite.testing

ROOT = Path(__file__).parents[2]
PUBLIC = {"nlpsuite", "nlpsuite.errors", "nlpsuite.plugins", "nlpsuite.testing"}
SOURCES = [
    *(ROOT / "plugins").rglob("*.py"),
    *(path for path in (ROOT / "examples").rglob("*.py") if path.name != "read_lines.py"),
]  # read_lines.py breaks off in the middle, for `complete`


def imported(source: str) -> Iterator[str]:
    """The modules of the suite that a source file imports, and names that are modules of its packages."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            for alias in node.names:
                part = ROOT.joinpath(*node.module.split("."), alias.name)
                if part.is_dir() or part.with_suffix(".py").is_file():
                    yield f"{node.module}.{alias.name}"


def private(source: str) -> set[str]:
    return {name for name in imported(source) if name.split(".")[0] == "nlpsuite"} - PUBLIC


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_plugin_imports_a_private_module(path: Path) -> None:
    assert not private(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["plugins.md", "writing-plugins.md"])
def test_neither_do_the_docs(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(code) > 5
    lines = "\n".join(line for block in code for line in block.split("\n") if "import" in line.split())
    assert not private(lines)


def test_a_private_import_is_seen() -> None:
    source = (
        "import nlpsuite.tasks.base\nfrom nlpsuite import Task, runtime\nfrom nlpsuite.plugins import Part\n"
    )
    assert private(source) == {"nlpsuite.tasks.base", "nlpsuite.runtime"}


@pytest.mark.parametrize("module", [nlpsuite.plugins, nlpsuite.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_there(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names and set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        module.nonesuch  # type: ignore[attr-defined]  # noqa: B018


def test_what_an_author_needs_is_public() -> None:
    needed = "Columns Part Guard Screening Flag Metric RowMetric Reader Writer Engine Work Done Beat ModelSource ModelSpec"
    assert set(needed.split()) <= set(nlpsuite.plugins.__all__)
    assert {"hookimpl", "Task", "Prompt", "Record", "option"} <= set(nlpsuite.__all__)


def test_the_public_face_imports_nothing_slow() -> None:
    code = "import sys, nlpsuite.plugins; print({'numpy', 'pluggy', 'click'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
