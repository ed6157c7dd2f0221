"""Each hook of the contract is documented, as it is, and has a test here called ``test_hook_NAME``."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pluggy
import pytest
from fake_plugins import BROKEN, good, install, nlpsuite

from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.data.examples import read_examples
from nlpsuite.errors import InputInvalidError, ModelNotFoundError, PluginError, UnknownTaskError
from nlpsuite.models.resolve import resolve_model
from nlpsuite.models.spec import ModelSpec, Silent
from nlpsuite.plugins import API_VERSION, ENTRY_POINT_GROUP, hookspecs, load_task, loading
from nlpsuite.plugins.builtin import BUILTIN
from nlpsuite.plugins.kinds import KINDS, VERBS, Kind
from nlpsuite.plugins.loading import load_metric, measure
from nlpsuite.plugins.registry import installed
from nlpsuite.tasks.result import Output

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def hooks() -> list[str]:
    manager = pluggy.PluginManager("nlpsuite")
    manager.add_hookspecs(hookspecs)
    return sorted(name for name in vars(manager.hook) if not name.startswith("_"))


def signature(name: str) -> str:
    return f"{name}{inspect.signature(getattr(hookspecs, name))}".replace("'", "")


def example(name: str) -> str:
    """The example of a hook's section in the docs: its last block of Python."""
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section
    return re.findall(r"^```python\n(.*?)^```$", section[1], re.M | re.S)[-1]


def offer(place: Path, kind: str, name: str, code: str, distribution: str) -> None:
    """Put a distribution with one plugin of whatever kind into ``place``."""
    info = install(place, name, code, distribution)
    module = distribution.replace("-", "_")
    (info / "entry_points.txt").write_text(f"[{KINDS[kind].group}]\n{name} = {module}\n")


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


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_hook_is_used_by_the_suite_or_an_example(kind: Kind) -> None:
    root = PAGE.parents[1]
    projects = [root / "pyproject.toml", *(root / "examples").glob("*/pyproject.toml")]
    points = [tomllib.loads(path.read_text())["project"].get("entry-points", {}) for path in projects]
    assert BUILTIN.get(kind.name) or any(groups.get(kind.group) for groups in points)


def test_the_docs_have_no_other_hooks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^### (nlpsuite_\w+)", text, re.M)) == set(hooks())
    assert ENTRY_POINT_GROUP.endswith(f".v{API_VERSION}")
    assert {kind.hook for kind in KINDS.values()} == set(hooks())
    for kind in KINDS.values():
        assert f"| `{kind.group}` | `{kind.hook}` |" in text
        assert list(inspect.signature(getattr(hookspecs, kind.hook)).parameters) == [kind.argument]


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
        "from nlpsuite import hookimpl\nfrom nlpsuite.plugins import Guard, Screening\n"
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


def test_hook_nlpsuite_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "metric", "overlap", example("nlpsuite_metric"), "overlap-metric")
    offer(tmp_path, "metric", "odd", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_metric(): return lambda outputs, references: 'good'\n", "odd-metric")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    assert measure("overlap", ["a b x", ""], ["a b", "c"]) == 0.5
    assert measure("accuracy", ["a", "b"], ["a", "c"]) == 0.5  # a bundled one
    assert nlpsuite(tmp_path, "plugins", "check", "metric:overlap").returncode == 0

    class Own(type(load_task("summarize"))):  # type: ignore[misc]
        metrics = ("overlap", "exact_match")

    figures = Own().evaluate([Output("a b")], ["a c"], Own.options())
    assert figures == {"overlap": 0.5, "exact_match": 0.0}
    with pytest.raises(PluginError, match=r"odd-metric 1.2.* returned 'good' instead of a number"):
        measure("odd", ["a"], ["a"])
    with pytest.raises(UnknownTaskError, match="no metric 'overlab'") as caught:
        measure("overlab", ["a"], ["a"])
    assert "Did you mean 'overlap'?" in caught.value.hint


def test_bundled_metrics_say_range_and_source() -> None:
    names = list(installed("metric"))
    assert "accuracy" in names
    for name in names:
        assert re.search(r"0 (and|to) 1|fraction|mean", load_metric(name).__doc__ or ""), name


def test_hook_nlpsuite_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "source", "shelf", example("nlpsuite_source"), "shelf-source")
    offer(tmp_path, "source", "odd", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_source(): return lambda rest, offline: rest\n", "odd-source")  # fmt: skip
    offer(tmp_path, "source", "raising", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_source(): return lambda rest, offline: {}[rest]\n", "raising-source")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MODEL_SHELF", str(tmp_path))
    (tmp_path / "small.gguf").touch()
    base = resolve_model("shelf:small")
    assert isinstance(base, ModelSpec) and (base.origin, base.slug) == ("shelf:small", "small")
    assert base.obtain(tmp_path, Silent()) == tmp_path / "small.gguf"
    assert resolve_model(base) is base
    hub = resolve_model("hf:owner/name@v1")
    assert isinstance(hub, ModelSpec) and hub.origin == "hf:owner/name@v1"
    for spec in ("model.gguf", "C:\\model.gguf", "unheard:of"):
        with pytest.raises(ModelNotFoundError):
            resolve_model(spec)
    with pytest.raises(PluginError, match=r"odd-source 1.2.* gave str instead of a ModelSpec"):
        resolve_model("odd:x")
    # As a user types it; the empty file gets as far as being read.
    done = nlpsuite(tmp_path, "pull", "shelf:small", MODEL_SHELF=str(tmp_path))
    assert done.returncode == 5 and "small.gguf" in done.stderr
    done = nlpsuite(tmp_path, "pull", "shelf:absent", MODEL_SHELF=str(tmp_path))
    assert done.returncode == 5 and "absent.gguf" in done.stderr
    done = nlpsuite(tmp_path, "pull", "raising:x")
    assert done.returncode == 6 and "raising-source 1.2" in done.stderr  # it is named
    assert nlpsuite(tmp_path, "plugins", "check", "source:shelf").returncode == 0


def test_hook_nlpsuite_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "reader", "qa", example("nlpsuite_reader"), "questions-reader")
    offer(tmp_path, "reader", "odd", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_reader(): return lambda path: iter([{'text': 'a'}])\n", "odd-reader")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    task = load_task("chat")
    file = tmp_path / "some.qa"
    file.write_text("Q: Where?\nA: Here.\n\nQ: When?\nA: Now.\n")
    examples = list(read_examples(file, task))
    assert [(e.record.text, e.reference, e.line) for e in examples] == [
        ("Where?", "Here.", 1), ("When?", "Now.", 4),
    ]  # fmt: skip
    assert nlpsuite(tmp_path, "plugins", "check", "reader:qa").returncode == 0
    file.write_text("Q: Where?\nHere.\n")
    with pytest.raises(InputInvalidError, match="some.qa:2: neither"):
        list(read_examples(file, task))
    for name, error, message in (
        ("a.odd", PluginError, r"odd-reader 1.2.* gave a dict instead of a line and its values"),
        ("a.xyz", InputInvalidError, "Unsupported file type"),
    ):
        (tmp_path / name).touch()
        with pytest.raises(error, match=message) as caught:
            list(read_examples(tmp_path / name, task))
    assert ".odd, .qa" in caught.value.hint and ".csv" in caught.value.hint
    monkeypatch.setenv("NLPSUITE_NO_PLUGINS", "questions-reader")
    with pytest.raises(UnknownTaskError, match=r"reader 'qa' .* is blocked"):
        list(read_examples(file, task))


def test_hook_nlpsuite_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "writer", "html", example("nlpsuite_writer"), "html-writer")
    offer(tmp_path, "writer", "odd", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_writer(): return 'html'\n", "odd-writer")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    file = io.BytesIO()
    rows: list[dict[str, Any]] = [{"id": "007", "label": "a < b"}, {"id": "NA"}]
    loading.load("writer", "html")(file, lambda: rows, ["id", "label"], b"")
    assert file.getvalue().decode().splitlines()[2:] == ["<tr><td>007<td>a &lt; b", "<tr><td>NA<td>"]
    assert nlpsuite(tmp_path, "plugins", "check", "writer:html").returncode == 0
    with pytest.raises(PluginError, match=r"odd-writer 1.2.* returned str instead of a function"):
        loading.load("writer", "odd")


def test_hook_nlpsuite_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "engine", "here", example("nlpsuite_engine"), "here-engine")
    offer(tmp_path, "engine", "odd", "from nlpsuite import hookimpl\n@hookimpl\n"
          "def nlpsuite_engine(): return 1\n", "odd-engine")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    place = tmp_path / "runs"
    place.mkdir()
    work = Work("nlpsuite.testing.toy_chunks:open_toy", {"directory": str(place), "parent": os.getpid()})
    events = list(loading.load("engine", "here")(work, [0, 1]))
    assert events == [Beat(3, 6), Done(0, 3, 0, 0, 1), Beat(3, 6), Done(1, 3, 1, 1, 1)]
    assert nlpsuite(tmp_path, "plugins", "check", "engine:here").returncode == 0
    with pytest.raises(PluginError, match=r"odd-engine 1.2.* returned int instead of a function"):
        loading.load("engine", "odd")


def test_hook_nlpsuite_command(tmp_path: Path) -> None:
    offer(tmp_path, "command", "count", example("nlpsuite_command"), "count-command")
    offer(tmp_path, "command", "bad", "print('NOISE'); raise ValueError('no')", "bad-command")
    offer(tmp_path, "command", "run", "print('NOISE'); raise ValueError('no')", "run-command")
    (tmp_path / "text").write_text("one two three\n")
    assert nlpsuite(tmp_path, "plugins", "check", "command:count").returncode == 0
    help_ = nlpsuite(tmp_path, "--help")
    assert re.search(r"^  count +Count the words of a file\.$", help_.stdout, re.M)
    assert re.search(r"^  bad +About bad-command$", help_.stdout, re.M)
    assert "NOISE" not in help_.stdout + help_.stderr and help_.stdout.count("\n  run ") == 1
    assert nlpsuite(tmp_path, "count", str(tmp_path / "text")).stdout == "3\n"
    assert "nlpsuite count [OPTIONS] FILE" in nlpsuite(tmp_path, "count", "--help").stdout
    assert nlpsuite(tmp_path, "count").returncode == 2
    bad = nlpsuite(tmp_path, "bad")
    assert bad.returncode == 6 and bad.stdout == "" and "plugins disable command:bad" in bad.stderr
    near = nlpsuite(tmp_path, "coumt")
    assert near.returncode == 2 and "Did you mean 'count'?" in near.stderr
    assert nlpsuite(tmp_path, "--no-plugins=count", "--help").stdout.count("Count the words") == 0
    blocked = nlpsuite(tmp_path, "--no-plugins", "count")
    assert blocked.returncode == 2 and "is blocked by --no-plugins" in blocked.stderr
    done = nlpsuite(
        tmp_path, "", _NLPSUITE_COMPLETE="bash_complete", COMP_WORDS="nlpsuite co", COMP_CWORD="1"
    )
    assert {"plain,config", "plain,completion", "plain,count"} <= set(done.stdout.split()), done.stdout


def test_the_suites_own_verbs_are_reserved() -> None:
    from nlpsuite.cli import cli

    assert list(cli.list_commands(click.Context(cli))) == list(VERBS)


def test_help_does_without_a_damaged_record(tmp_path: Path) -> None:
    (tmp_path / "plugins.json").write_text("{broken")
    done = nlpsuite(tmp_path, "--help", NLPSUITE_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 0 and done.stderr == "" and "\n  completion " in done.stdout
    assert nlpsuite(tmp_path, "completion", "bash", NLPSUITE_CONFIG_DIR=str(tmp_path)).returncode == 0
    offer(tmp_path, "command", "count", example("nlpsuite_command"), "count-command")
    done = nlpsuite(tmp_path, "count", "file", NLPSUITE_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 7 and "nlpsuite --no-plugins" in done.stderr


def test_kinds_of_one_name_are_told_apart(tmp_path: Path) -> None:
    settings = {"NLPSUITE_CONFIG_DIR": str(tmp_path / "config")}
    for name in ("first", "second"):
        offer(tmp_path, "metric", "same", example("nlpsuite_metric"), f"{name}-metric")
    install(tmp_path, "same", good("same"), "same-task")

    def states() -> dict[str, str]:
        rows = json.loads(nlpsuite(tmp_path, "plugins", "list", "--json", **settings).stdout)
        return {
            f"{row['kind']} of {row['distribution']}": row["state"] for row in rows if row["name"] == "same"
        }

    assert states() == {
        "task of same-task": "enabled", "metric of first-metric": "clash", "metric of second-metric": "clash",
    }  # fmt: skip
    chosen = nlpsuite(tmp_path, "plugins", "enable", "metric:same", "--from", "first-metric", **settings)
    assert chosen.returncode == 0, chosen.stderr
    assert (
        states()["metric of first-metric"] == "enabled" and states()["metric of second-metric"] == "shadowed"
    )
    assert nlpsuite(tmp_path, "plugins", "disable", "metric:same", **settings).returncode == 0
    assert states()["metric of first-metric"] == "disabled" and states()["task of same-task"] == "enabled"
    info = nlpsuite(tmp_path, "plugins", "info", "same", **settings).stdout
    assert re.search(r"^kind: +task$", info, re.M) and re.search(r"^kind: +metric$", info, re.M)
    listed = nlpsuite(tmp_path, "plugins", "list", "--all", **settings)
    assert re.search(r"^csv +reader +nlpsuite ", listed.stdout, re.M)
    assert "nlpsuite plugins enable metric:same" in listed.stderr


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
    assert done.returncode == 6 and "nlpsuite_task raised ValueError('no')" in done.stderr
    assert "[plugins]" not in nlpsuite(tmp_path, "run", "works", "--help", NLPSUITE_TRACE_PLUGINS="0").stderr


def test_the_switch_has_its_name() -> None:
    assert loading.TRACE in PAGE.read_text(encoding="utf-8")
