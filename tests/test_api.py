"""``import nlpsuite``: the public names, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nlpsuite
from nlpsuite.errors import InputInvalidError, OptionError


def test_load(tiny_bundle: Path) -> None:
    pipeline = nlpsuite.load("complete", model=str(tiny_bundle), max_tokens=4)
    assert str(pipeline("a b")) == pipeline("a b").text
    with pytest.raises(InputInvalidError, match="surrogate"):
        pipeline("\udcff")


def test_a_wrong_option_does_not_wait_for_the_model() -> None:
    with pytest.raises(OptionError, match="lenght"):
        nlpsuite.load("summarize", model="/no/such/model", lenght="short")


@pytest.mark.parametrize("name", nlpsuite.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    if "train" in name.lower():
        pytest.importorskip("torch")
    assert getattr(nlpsuite, name) is not None


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        nlpsuite.nothing  # noqa: B018


def test_type_checkers_see_the_names_that_are_imported_lazily() -> None:
    tree = ast.parse(Path(nlpsuite.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "mypy exports only `import name as name`"
            typed[alias.name] = node.module
    assert typed == nlpsuite._LAZY


def test_export_is_a_function_and_a_package() -> None:
    # In processes of their own: what is imported first must not matter.
    for first in ("nlpsuite.export", "import nlpsuite.export.build", "nlpsuite.load"):
        code = f"import nlpsuite; {first}; nlpsuite.export(precision='int3')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "OptionError" in done.stderr and "int3" in done.stderr, done.stderr


def test_serve_is_a_function_and_a_package() -> None:
    pytest.importorskip("starlette")
    for first in ("nlpsuite.serve", "import nlpsuite.serve.app", "nlpsuite.create_app"):
        code = f"import nlpsuite; {first}; nlpsuite.serve(port=-1)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "OptionError" in done.stderr and "port" in done.stderr, done.stderr


def test_import_is_light() -> None:
    code = "import nlpsuite, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_face_without_torch() -> None:
    """Everything but training and exporting works where torch isn't installed."""
    names = [name for name in nlpsuite.__all__ if "train" not in name.lower()]
    code = f"""
import sys
sys.modules["torch"] = None
import nlpsuite
for name in {names}:
    getattr(nlpsuite, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
