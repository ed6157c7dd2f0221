"""Each hook of the contract is documented, as it is, and has a test here called ``test_hook_NAME``."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pluggy
import pytest
from fake_plugins import BROKEN, good, install, nlpsuite

from nlpsuite import hookspecs
from nlpsuite.errors import PluginError
from nlpsuite.plugins import API_VERSION, ENTRY_POINT_GROUP, load_task, loading

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def hooks() -> list[str]:
    manager = pluggy.PluginManager("nlpsuite")
    manager.add_hookspecs(hookspecs)
    return sorted(name for name in vars(manager.hook) if not name.startswith("_"))


def signature(name: str) -> str:
    return f"{name}{inspect.signature(getattr(hookspecs, name))}".replace("'", "")


def test_there_are_hooks() -> None:
    assert hooks() and set(hooks()) == set(hookspecs.__all__) - {"hookimpl"}


@pytest.mark.parametrize("name", hooks())
def test_a_hook_has_a_docstring_and_a_test(name: str) -> None:
    assert (inspect.getdoc(getattr(hookspecs, name)) or "").endswith(".")
    assert callable(globals().get(f"test_hook_{name}")), f"write test_hook_{name}"


@pytest.mark.parametrize("name", hooks())
def test_a_hook_stands_in_the_docs_with_its_signature(name: str) -> None:
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section, f"{PAGE} has no section {name}"
    assert f"```python\ndef {signature(name)}\n```" in section[1]
    first_line = (inspect.getdoc(getattr(hookspecs, name)) or "").split("\n")[0]
    assert first_line.replace("``", "`") in section[1]


def test_the_docs_have_no_other_hooks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^### (nlpsuite_\w+)", text, re.M)) == set(hooks())
    assert ENTRY_POINT_GROUP.endswith(f".v{API_VERSION}") and ENTRY_POINT_GROUP in text


def test_hook_nlpsuite_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = good("one").replace(
        "def nlpsuite_task(): return It()", "def nlpsuite_task(name):\n    It.name = name\n    return It()"
    )
    info = install(tmp_path, "one", code, "two-tasks-in-one")
    with (info / "entry_points.txt").open("a") as file:
        file.write("two = two_tasks_in_one\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [load_task(name).name for name in ("one", "two")] == ["one", "two"]


def test_hook_nlpsuite_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from nlpsuite import hookimpl\nfrom nlpsuite.tasks.guard import Guard, Screening\n"
        "class Mute(Guard):\n    name = 'mute'\n"
        "    def screen(self, texts, model): return [Screening() for text in texts]\n"
        "@hookimpl\ndef nlpsuite_guard(name): return Mute() if name == 'mute' else 3\n"
    )
    info = install(tmp_path, "unused", code, "guards-of-mine")
    (info / "entry_points.txt").write_text(
        "[nlpsuite.guards.v1]\nmute = guards_of_mine\nodd = guards_of_mine\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert loading.load("guard", "mute").name == "mute"
    assert loading.load("guard", "guard").name == "guard"  # the bundled one
    with pytest.raises(PluginError, match="returned int instead of a Guard"):
        loading.load("guard", "odd")


def test_calls_can_be_watched(tmp_path: Path) -> None:
    install(tmp_path, "works", good("works"), "good-plugin")
    install(tmp_path, "raises", BROKEN["raises"], "bad-plugin")
    done = nlpsuite(tmp_path, "run", "works", "--help", NLPSUITE_TRACE_PLUGINS="1")
    lines = [line for line in done.stderr.splitlines() if line.startswith("[plugins] good-plugin 1.2: ")]
    events = [line.split(": ", 1)[1] for line in lines]
    assert re.match(r"imported good_plugin in \d+\.\d ms", events[0])
    assert events[1] == "calling nlpsuite_task(name='works')"
    assert re.match(r"nlpsuite_task returned <good_plugin.It object at .*> in \d+\.\d ms", events[2])
    done = nlpsuite(tmp_path, "run", "raises", "--help", NLPSUITE_TRACE_PLUGINS="1")
    assert done.returncode == 70 and "nlpsuite_task raised ValueError('no')" in done.stderr
    assert "[plugins]" not in nlpsuite(tmp_path, "run", "works", "--help", NLPSUITE_TRACE_PLUGINS="0").stderr


def test_the_switch_has_its_name() -> None:
    assert loading.TRACE in PAGE.read_text(encoding="utf-8")
