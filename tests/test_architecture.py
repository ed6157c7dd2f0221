"""The house as a whole: which rooms there are, and which way imports go between them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def rooms() -> Iterator[ModuleType]:
    """dev/rooms.py; not every distribution of the sources has it."""
    pytest.importorskip("grimp")
    if not (ROOT / "dev" / "rooms.py").is_file():
        pytest.skip("dev/rooms.py is missing")
    sys.path.insert(0, str(ROOT / "dev"))
    try:
        yield importlib.import_module("rooms")
    finally:
        sys.path.remove(str(ROOT / "dev"))


@pytest.fixture(scope="module")
def house(rooms: ModuleType) -> object:
    return rooms.survey(ROOT)


def test_no_modules_import_each_other(house) -> None:
    assert house.cycles == []


def test_every_room_has_its_layer_and_arrows_go_down(house) -> None:
    named = {room for row in house.layers for room in row}
    there = {path.stem for path in (ROOT / "nlpsuite").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert named == there - {"__init__", "__pycache__"} == set(house.modules)
    assert house.upward() == []
    contract = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.search(r'^type = "layers"\n(?:.+\n)*?exhaustive = true$', contract, re.MULTILINE)


def package(root: Path, **modules: str) -> Path:
    (root / "nlpsuite").mkdir()
    for name, text in {"__init__": "", **modules}.items():
        path = root / "nlpsuite" / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.parent.joinpath("__init__.py").touch()
    (root / "pyproject.toml").write_text(
        "[[tool.importlinter.contracts]]\ntype = 'layers'\nlayers = ['top', 'left : right']\n"
    )
    return root


def test_cycles_and_wrong_arrows_are_found(rooms: ModuleType, tmp_path: Path) -> None:
    package(
        tmp_path,
        top="def f():\n    from nlpsuite.left import a\n",
        left__in__a="import nlpsuite.right.b\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import nlpsuite.top\n",
        left__in__c="from nlpsuite.left import d\n",
        left__in__d="from nlpsuite.left import e\n",
        left__in__e="from nlpsuite.left import c\n",
        right__in__b='"""Words."""\n\nx = 1\n',
    )
    house = survey_apart(tmp_path)
    assert "right        " in house
    assert "1 arrows that go up or sideways\n  left -> right (1)" in house
    assert "1 cycles of imports\n  3 modules: nlpsuite.left.c, nlpsuite.left.d, nlpsuite.left.e" in house


def survey_apart(root: Path) -> str:
    """In another process, since this one has imported the real package."""
    program = "import rooms, pathlib, sys; print(*rooms.as_text(rooms.survey(pathlib.Path(sys.argv[1]))), sep='\\n')"
    command = [sys.executable, "-c", program, str(root)]
    environment = {"PYTHONPATH": str(ROOT / "dev")}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, cwd=root
    ).stdout


def test_the_picture_names_every_room(rooms: ModuleType, house) -> None:
    picture = ElementTree.fromstring(rooms.as_svg(house))
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert set(house.modules) <= texts
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}path"))) == len(house.arrows)
