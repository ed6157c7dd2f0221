"""A broken plugin harms nobody but its own task."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_plugins import BROKEN, EXCEPTIONS, good, install, nlpsuite
from installed import environment_with, fastest, start_limit

from nlpsuite.errors import PluginError
from nlpsuite.plugins import find_task, loading
from nlpsuite.plugins.probe import probe


def reported(stderr: str, *words: str) -> None:
    """Some line of stderr has all the words."""
    joined = stderr.replace("\n  ", " ")  # an error and its hint
    assert any(all(word in line for word in words) for line in joined.splitlines()), stderr


@pytest.mark.parametrize("kind", BROKEN)
def test_running_it_names_the_plugin_and_the_remedy(tmp_path: Path, kind: str) -> None:
    install(tmp_path, "bad", BROKEN[kind], "bad-plugin")
    done = nlpsuite(tmp_path, "run", "bad", "--text", "a")
    assert done.returncode == 6 and done.stdout == "" and "Traceback" not in done.stderr
    assert len(done.stderr) < 1000
    reported(done.stderr, "bad-plugin 1.2", EXCEPTIONS[kind].strip(), "nlpsuite plugins disable bad")


def test_everything_else_goes_on(tmp_path: Path, tiny_bundle: Path) -> None:
    for kind, code in BROKEN.items():
        install(tmp_path, kind, code, f"bad-{kind.replace('_', '-')}")
    install(tmp_path, "v2", BROKEN["exits"], "from-the-future", api="v2")
    install(tmp_path, "sleeps", "import time; time.sleep(600)", "slow-plugin")
    install(tmp_path, "torch", "import torch", "torch-plugin")
    install(tmp_path, "dies", "import os; os._exit(0)", "deadly-plugin")
    install(tmp_path, "no-module", "", "lost-plugin", value="nowhere.to_be_found")
    install(tmp_path, "odd", "", "odd-plugin", value="this is no module")
    install(tmp_path, "damaged", "", "damaged-plugin")
    (tmp_path / "damaged_plugin-1.2.dist-info" / "entry_points.txt").write_text(
        "[nlpsuite.tasks.v1]\nno value\n"
    )
    install(tmp_path, "binary", "", "binary-plugin")
    (tmp_path / "binary_plugin-1.2.dist-info" / "entry_points.txt").write_bytes(
        b"nlpsuite.tasks.v1 \xff\xfe\0"
    )
    started = time.perf_counter()
    for args in [["--help"], ["list"], ["run", "--help"], ["plugins", "list"], ["plugins", "info", "sleeps"]]:
        done = nlpsuite(tmp_path, *args)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert "NOISE" not in done.stdout + done.stderr
    done = nlpsuite(
        tmp_path, "run", "summarize", "--text", "a b", "--max-tokens", "3", "--model", str(tiny_bundle)
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 60  # whoever loads the sleeper waits for ten minutes


def test_the_list_knows_what_shows_without_loading(tmp_path: Path) -> None:
    install(tmp_path, "new", BROKEN["exits"], "from-the-future", api="v2")
    install(tmp_path, "old", BROKEN["exits"], "from-the-past", api="v0")
    install(tmp_path, "odd", "", "odd-plugin", value="this is no module")
    install(tmp_path, "lost", "", "lost-plugin", value="nowhere.to_be_found")
    install(tmp_path, "vague", "", "vague-plugin", api="vNext")
    install(tmp_path, "works", good("works"), "good-plugin")
    rows = {row["name"]: row for row in json.loads(nlpsuite(tmp_path, "plugins", "list", "--json").stdout)}
    states = {name: rows[name]["state"] for name in ("new", "old", "odd", "lost", "vague", "works")}
    assert states == {
        "new": "incompatible", "old": "incompatible", "odd": "broken", "lost": "broken", "vague": "broken",
        "works": "enabled",
    }  # fmt: skip
    assert (rows["new"]["api"], rows["new"]["remedy"]) == (2, "upgrade nlpsuite")
    assert rows["old"]["api"] == 0 and "plugins install --upgrade from-the-past" in rows["old"]["remedy"]
    assert rows["works"]["summary"] == "Do works." and rows["odd"]["summary"] == "About odd-plugin"
    for name in ("new", "old"):
        done = nlpsuite(tmp_path, "run", name, "--text", "a")
        assert done.returncode == 6
        reported(done.stderr, "version", "contract", "this nlpsuite has version 1", "pgrade")


def test_a_plugin_for_several_versions_works(tmp_path: Path) -> None:
    info = install(tmp_path, "both", good("both"), "both-plugin", api="v2")
    with (info / "entry_points.txt").open("a") as file:
        file.write("[nlpsuite.tasks.v1]\nboth = both_plugin\n")
    assert nlpsuite(tmp_path, "run", "both", "--help").returncode == 0


def test_doctor_survives_all_of_them(tmp_path: Path) -> None:
    install(tmp_path, "bad", BROKEN["raises"], "bad-plugin")
    install(tmp_path, "dies", "import os; os._exit(3)", "deadly-plugin")
    install(tmp_path, "noisy", good("noisy", "print('NOISE')"), "noisy-plugin")
    done = nlpsuite(tmp_path, "doctor")
    assert done.returncode == 0, done.stderr
    assert "NOISE" not in done.stdout and "noisy from noisy-plugin 1.2" in done.stdout
    reported(done.stderr, "bad-plugin 1.2", "ValueError: no", "nlpsuite plugins disable bad")
    reported(done.stderr, "deadly-plugin 1.2", "ended Python with code 3", "nlpsuite plugins disable dies")


def test_what_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "sleeps", "import time; time.sleep(600)", "slow-plugin")
    monkeypatch.syspath_prepend(tmp_path)
    found = probe(find_task("sleeps"), timeout_seconds=1)
    assert "slow-plugin 1.2" in found.problem and "within 1 s" in found.problem
    assert "plugins disable sleeps" in found.remedy


def test_a_slow_import_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "slow", good("slow", "import time; time.sleep(0.05)"), "slow-import-plugin")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "SLOW_SECONDS", 0.04)
    assert loading.load_task("slow").name == "slow"
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    reported(err, "slow-import-plugin 1.2", "s to import", "nlpsuite plugins disable slow")


def test_what_it_prints_is_not_a_result(tmp_path: Path, tiny_bundle: Path) -> None:
    install(tmp_path, "noisy", good("noisy", "print('NOISE')"), "noisy-plugin")
    done = nlpsuite(tmp_path, "run", "noisy", "--text", "a", "--json", "--model", str(tiny_bundle))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plugin"] == {
        "distribution": "noisy-plugin", "version": "1.2", "task_version": "1",
    }  # fmt: skip
    assert "NOISE" in done.stderr


def test_interrupting_a_slow_import_is_no_fault_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "stopped", "raise KeyboardInterrupt", "stopped-plugin")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        loading.load_task("stopped")


def test_an_entry_point_may_name_something_in_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = good("inside").replace(
        "@hookimpl\ndef nlpsuite_task()", "class Hooks:\n  @hookimpl\n  def nlpsuite_task(self)"
    )
    install(tmp_path, "inside", code + "hooks = Hooks()\n", "inside-plugin", value="inside_plugin:hooks")
    install(tmp_path, "absent", code, "absent-plugin", value="absent_plugin:hooks")
    monkeypatch.syspath_prepend(tmp_path)
    assert loading.load_task("inside").name == "inside"
    with pytest.raises(PluginError, match="has no attribute 'hooks'"):
        loading.load_task("absent")


def test_nothing_comes_from_the_working_directory(tmp_path: Path) -> None:
    install(tmp_path, "planted", good("planted"), "planted-plugin")
    (tmp_path / "numpy.py").write_text("raise SystemExit('planted')")
    command = [sys.executable, "-m", "nlpsuite", "list"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "planted" not in done.stdout + done.stderr
    assert "summarize" in done.stdout


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty plugins, of which 5 are broken and 3 import torch."""
    place = tmp_path_factory.mktemp("twenty")
    kinds = ("import_error", "syntax_error", "exits", "raises", "mistyped")
    for i in range(20):
        top = "import torch" if 5 <= i < 8 else ""
        code = BROKEN[kinds[i]] if i < 5 else good(f"task-{i}", top) + "# padding\n" * 5_000
        install(place, f"task-{i}", code, f"plugin-{i}")
    return place


COMPLETION = {"_NLPSUITE_COMPLETE": "bash_complete", "COMP_WORDS": "nlpsuite run task-1", "COMP_CWORD": "2"}
NAME = COMPLETION | {"COMP_WORDS": "nlpsuite plugins disable plugin", "COMP_CWORD": "3"}
TOP = COMPLETION | {"COMP_WORDS": "nlpsuite ", "COMP_CWORD": "1"}


@pytest.mark.parametrize(
    "args, variables, shown",
    [
        (["--help"], {}, "plugins "),
        (["list"], {}, "task-19"),
        ([], COMPLETION, "task-19"),
        ([], TOP, "export"),
        ([], NAME, "plugin-19"),
        (["plugins", "--help"], {}, "restore"),
    ],
    ids=["help", "list", "complete-task", "complete-verb", "complete-plugin", "plugins-help"],
)
def test_twenty_plugins_cost_no_time(
    twenty: Path, args: list[str], variables: dict[str, str], shown: str
) -> None:
    code = "import sys; from nlpsuite.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    environment = environment_with(twenty, **variables)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)

    done = run(code)
    assert shown in done.stdout
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"torch", "numpy", "onnxruntime", "pluggy", "transformers", "tokenizers"})
    assert not any(name.startswith("plugin_") for name in loaded)
    quick = [sys.executable, "-c", "from nlpsuite.cli import main; main()", *args]
    limit = start_limit()
    assert fastest(quick, enough=limit, env=environment) <= limit


def test_a_fault_at_work_is_the_plugins(tmp_path: Path, tiny_bundle: Path) -> None:
    code = good("late").replace("return Prompt(", "return 1 // 0 or Prompt(")
    install(tmp_path, "late", code, "late-plugin")
    done = nlpsuite(tmp_path, "run", "late", "--text", "a", "--model", str(tiny_bundle))
    assert done.returncode == 6 and done.stdout == "" and "Traceback" not in done.stderr
    reported(done.stderr, "late-plugin 1.2", "ZeroDivisionError", "nlpsuite plugins disable late")
