"""``nlpsuite plugins`` without installing anything, and what the user's decisions do."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from fake_plugins import good, install

from nlpsuite.errors import PluginInstallError
from nlpsuite.plugins import find_task, installed_tasks, installer, manage
from nlpsuite.plugins.kinds import KINDS

EXPLODES = "raise SystemExit('a plugin was loaded')"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on sys.path for distributions, and a configuration of the test's own."""
    monkeypatch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NLPSUITE_NO_PLUGINS", "")  # what --no-plugins sets is undone with it
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    return directory


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "config" / "plugins.json"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run."""
    seen: list[list[str]] = []
    monkeypatch.setattr(installer, "run_installer", seen.append)
    return seen


def states(cli) -> dict[str, str]:
    outcome = cli("plugins", "list", "--json")
    assert outcome.code == 0, outcome.err
    return {f"{row['name']} of {row['distribution']}": row["state"] for row in json.loads(outcome.out)}


def test_list(cli, place) -> None:
    install(place, "keywords", EXPLODES, "keys-plugin", version="0.3")
    outcome = cli("plugins", "list")
    assert outcome.code == 0 and re.fullmatch(r"\d+ more come with nlpsuite: .* Add --all\.\n", outcome.err)
    lines = [line.split(maxsplit=6) for line in outcome.out.splitlines()]
    assert lines[0] == ["NAME", "KIND", "DISTRIBUTION", "VERSION", "API", "STATE", "SUMMARY"]
    assert ["keywords", "task", "keys-plugin", "0.3", "1", "enabled", "About keys-plugin"] in lines
    assert any(
        line[:3] == ["summarize", "task", "nlpsuite"] and line[4:6] == ["1", "enabled"] for line in lines
    )
    assert {line[1] for line in lines[1:]} == {"task"}
    everything = cli("plugins", "list", "--all")
    assert everything.code == 0 and everything.err == ""
    assert {line.split()[1] for line in everything.out.splitlines()[1:]} == set(KINDS) - {"command"}


def test_what_others_offer_is_listed_whatever_its_kind(cli, place) -> None:
    info = install(place, "overlap", EXPLODES, "overlap-metric")
    (info / "entry_points.txt").write_text("[nlpsuite.metrics.v1]\noverlap = overlap_metric\n")
    assert "overlap" in cli("plugins", "list").out and "overlap" not in cli("list").out
    assert states(cli)["overlap of overlap-metric"] == "enabled"


def test_info(cli, place) -> None:
    info = install(place, "keywords", '"""Find keywords."""\n' + EXPLODES, "keys-plugin")
    with (info / "METADATA").open("a") as file:
        file.write("License: MIT\nProject-URL: Source, https://example.org\nRequires-Dist: yake>=1\n")
    for name in ("keywords", "keys-plugin", "Keys_Plugin"):
        outcome = cli("plugins", "info", name)
        assert outcome.code == 0
        for text in ("Find keywords.", "keys_plugin.py", "MIT", "https://example.org", "yake>=1", "enabled"):
            assert text in outcome.out
    (found,) = json.loads(cli("plugins", "info", "keywords", "--json").out)
    assert found["requires"] == ["yake>=1"] and found["bundled"] is False and found["api"] == 1
    unknown = cli("plugins", "info", "keywodrs")
    assert unknown.code == 2 and "Did you mean 'keywords'?" in unknown.err


def test_disable_and_enable(cli, place, record) -> None:
    install(place, "keywords", EXPLODES, "keys-plugin")
    assert cli("plugins", "disable", "keywords").code == 0
    assert json.loads(record.read_text())["disabled"] == ["keywords"]
    listed = cli("list")
    assert listed.code == 0 and "keywords" not in listed.out
    assert listed.err == "1 disabled: keywords (nlpsuite plugins list)\n"
    refused = cli("run", "keywords", "--text", "a")
    assert refused.code == 2 and "nlpsuite plugins enable keywords" in refused.err
    assert states(cli)["keywords of keys-plugin"] == "disabled"
    assert "Enabled: keywords of keys-plugin 1.2" in cli("plugins", "enable", "keywords").err
    assert states(cli)["keywords of keys-plugin"] == "enabled"


def test_a_distribution_is_disabled_with_all_its_tasks(cli, place) -> None:
    info = install(place, "one", EXPLODES, "two-tasks")
    (info / "entry_points.txt").write_text("[nlpsuite.tasks.v1]\none = two_tasks\ntwo = two_tasks\n")
    assert cli("plugins", "disable", "two-tasks").code == 0
    assert {"one", "two"}.isdisjoint(installed_tasks())
    # Enabling a task does not undo that, and says so.
    assert "nlpsuite plugins enable two-tasks" in cli("plugins", "enable", "one").err
    assert cli("plugins", "enable", "Two_Tasks").code == 0
    assert {"one", "two"} <= set(installed_tasks())


def test_a_bundled_task_can_be_disabled_but_not_the_suite(cli) -> None:
    assert cli("plugins", "disable", "chat").code == 0
    assert cli("run", "chat").code == 2
    assert cli("plugins", "enable", "chat").code == 0
    refused = cli("plugins", "disable", "nlpsuite")
    assert refused.code == 2 and "summarize" in cli("list").out
    assert cli("plugins", "disable", "nonesuch").code == 2


def test_a_clash_is_settled_by_the_user_alone(cli, place, record) -> None:
    for name in ("first-plugin", "second-plugin"):
        install(place, "same", good("same"), name)
    clash = cli("run", "same", "--text", "a")
    assert clash.code == 6 and "first-plugin 1.2 and second-plugin 1.2" in clash.err
    assert "nlpsuite plugins enable same --from second-plugin" in clash.err
    assert "1 offered by more than one plugin: same" in cli("list").err
    assert states(cli)["same of first-plugin"] == "clash"
    assert cli("plugins", "enable", "same", "--from", "Second.Plugin").code == 0
    assert json.loads(record.read_text())["chosen"] == {"same": "second-plugin"}
    assert find_task("same").distribution == "second-plugin"
    assert states(cli)["same of first-plugin"] == "shadowed"
    refused = cli("plugins", "enable", "same", "--from", "third-plugin")
    assert refused.code == 2 and "first-plugin, second-plugin" in refused.err
    assert cli("plugins", "disable", "second-plugin").code == 0
    assert find_task("same").distribution == "first-plugin"


def test_bundled_tasks_win_until_the_user_says_otherwise(cli, place) -> None:
    install(place, "complete", good("complete"), "rival-plugin")
    assert find_task("complete").bundled and find_task("complete").rivals == ("rival-plugin",)
    assert "also offered by rival-plugin" in cli("list").err
    assert cli("plugins", "enable", "complete", "--from", "rival-plugin").code == 0
    assert find_task("complete").distribution == "rival-plugin"
    assert cli("--no-plugins", "run", "complete", "--help").code == 0
    assert find_task("complete").bundled


def test_back_to_the_bundled_task(cli, place, record) -> None:
    install(place, "complete", good("complete"), "rival-plugin")
    cli("plugins", "enable", "complete", "--from", "rival-plugin")
    cli("plugins", "enable", "complete", "--from", "nlpsuite")
    assert find_task("complete").bundled and json.loads(record.read_text())["chosen"] == {}


@pytest.mark.parametrize(
    "option, left",
    [("--no-plugins", set()), ("--no-plugins=a", {"b", "c"}), ("--no-plugins=B_Plugin", {"a", "c"})],
)
def test_no_plugins(cli, place, option: str, left: set[str]) -> None:
    for name in "abc":
        install(place, name, EXPLODES, f"{name}-plugin")
    outcome = cli(option, "list")
    names = {line.split()[0] for line in outcome.out.splitlines()}
    assert outcome.code == 0 and names & set("abc") == left and "summarize" in names
    assert "blocked" in outcome.err
    for name in set("abc") - left:
        refused = cli(option, "run", name, "--text", "x")
        assert refused.code == 2 and "--no-plugins" in refused.err


def test_several_can_be_left_out(cli, place) -> None:
    for name in "abc":
        install(place, name, EXPLODES, f"{name}-plugin")
    names = {
        line.split()[0] for line in cli("--no-plugins=a", "--no-plugins=b,sentiment", "list").out.splitlines()
    }
    assert names & {"a", "b", "c", "sentiment", "summarize"} == {"c", "summarize"}


@pytest.mark.parametrize("allowed, left", [("", set()), ("a", {"a"}), ("a, c-plugin", {"a", "c"})])
def test_allow_list(cli, place, monkeypatch: pytest.MonkeyPatch, allowed: str, left: set[str]) -> None:
    for name in "abc":
        install(place, name, EXPLODES, f"{name}-plugin")
    monkeypatch.setenv("NLPSUITE_PLUGINS", allowed)
    assert set(installed_tasks()) & set("abc") == left and "chat" in installed_tasks()
    refused = cli("run", "b", "--text", "x")
    assert refused.code == 2 and "NLPSUITE_PLUGINS" in refused.err


DAMAGE = ["", "{", "[]", '{"version": 2}', '{"version": 1, "disabled": 3}', '{"version": 1, "installed": {"a": 1}}',
          '{"version": 1, "chosen": {"a": 1}}', "\ud800" * 3]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_named_and_kept(cli, record, damage: str) -> None:
    record.parent.mkdir()
    data = damage.encode(errors="surrogatepass")
    record.write_bytes(data)
    for args in (
        ["plugins", "disable", "chat"],
        ["list"],
        ["run", "chat"],
        ["plugins", "install", "x", "--yes"],
    ):
        outcome = cli(*args)
        assert outcome.code == 7 and str(record) in outcome.err and "Traceback" not in outcome.err
        assert outcome.out == ""
    assert record.read_bytes() == data and [path.name for path in record.parent.iterdir()] == ["plugins.json"]
    assert cli("--help").code == 0
    assert "summarize" in cli("--no-plugins", "list").out


def test_what_a_later_version_records_is_kept(cli, record) -> None:
    record.parent.mkdir()
    record.write_text('{"version": 1, "colour": {"chat": "red"}}')
    assert cli("plugins", "disable", "chat").code == 0
    assert json.loads(record.read_text())["colour"] == {"chat": "red"}


def test_a_record_that_cannot_be_written(cli, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path / "file"))
    outcome = cli("plugins", "disable", "chat")
    assert outcome.code == 7 and "NLPSUITE_CONFIG_DIR" in outcome.err


def test_install_shows_what_will_run_and_asks(cli, runs) -> None:
    refused = cli("plugins", "install", "keys-plugin", "./here dir")
    assert refused.code == 2 and runs == [] and "--yes" in refused.err
    assert "trusting its code" in refused.err and "keys-plugin './here dir'" in refused.err
    assert cli("plugins", "install").code == 2


def test_install_passes_on_what_pip_knows(cli, runs) -> None:
    outcome = cli(
        "plugins", "install", "git+https://example.org/x", "-r", "all.txt", "-e", "here", "--require-hashes",
        "--upgrade", "--index-url", "https://example.org/simple", "--no-deps", "--yes",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (words,) = runs
    assert words == shlex.split(
        f"{shlex.quote(sys.executable)} -P -m pip --disable-pip-version-check install --upgrade --index-url "
        "https://example.org/simple --require-hashes --no-deps git+https://example.org/x -r all.txt -e here"
    )
    assert "nothing has changed" in outcome.err


def test_install_says_what_came(cli, place, monkeypatch: pytest.MonkeyPatch, record) -> None:
    def arrive(words: list[str]) -> None:
        install(place, "keywords", '"""Find keywords."""\n' + EXPLODES, "keys-plugin")
        install(place, "complete", EXPLODES, "rival-plugin")
        install(place, "later", EXPLODES, "future-plugin", api="v9")
        (place / "library-3.0.dist-info").mkdir()
        (place / "library-3.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: library\nVersion: 3.0\n"
        )

    monkeypatch.setattr(installer, "run_installer", arrive)
    outcome = cli("plugins", "install", "whatever", "--yes")
    assert outcome.code == 0 and outcome.out == ""
    assert "New task: keywords (keys-plugin 1.2). Find keywords." in outcome.err
    assert "complete of rival-plugin 1.2 is passed over" in outcome.err
    assert "nlpsuite plugins enable complete --from rival-plugin" in outcome.err
    assert "later of future-plugin 1.2 is for another version" in outcome.err
    assert "Also installed: library 3.0." in outcome.err
    installed = json.loads(record.read_text())["installed"]
    assert installed["keys-plugin"] == {"version": "1.2", "requirement": "keys-plugin==1.2"}


ORIGINS = [
    ({"url": "file:///a%20b", "dir_info": {}}, "/a b", False),
    ({"url": "file:///dev/it", "dir_info": {"editable": True}}, "/dev/it", True),
    ({"url": "https://e.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "s"},
     "keys-plugin @ git+https://e.org/x.git@abc#subdirectory=s", False),
    ({"url": "https://e.org/x.whl", "archive_info": {"hashes": {"sha256": "ff"}}},
     "keys-plugin @ https://e.org/x.whl#sha256=ff", False),
    ({"url": "https://e.org/x.whl", "archive_info": {}}, "keys-plugin @ https://e.org/x.whl", False),
]  # fmt: skip


@pytest.mark.parametrize("origin, requirement, editable", ORIGINS)
def test_where_it_came_from_is_recorded(place, origin, requirement: str, editable: bool) -> None:
    install(place, "keywords", EXPLODES, "keys-plugin", direct_url=json.dumps(origin))
    found = manage.recordable()["keys-plugin"]
    assert (found.requirement, found.editable) == (requirement, editable)


def test_restore(cli, place, record, runs) -> None:
    assert "No plugins are recorded" in cli("plugins", "restore").err
    install(place, "there", EXPLODES, "there-plugin")
    record.parent.mkdir()
    rows = {
        "there-plugin": {"version": "1.2", "requirement": "there-plugin==1.2"},
        "lost-plugin": {"version": "1.0", "requirement": "lost-plugin==1.0"},
        "own-plugin": {"version": "1.0", "requirement": "/nowhere/own", "editable": True},
    }
    record.write_text(json.dumps({"version": 1, "installed": rows}))
    refused = cli("plugins", "restore")
    assert refused.code == 2 and runs == []
    shown = {line.split()[0]: line for line in refused.out.splitlines()}
    assert "present, 1.2" in shown["there-plugin"] and "missing" in shown["lost-plugin"]
    assert "no longer there" in shown["own-plugin"]
    assert cli("plugins", "restore", "--yes").code == 0
    assert [words[-2:] for words in runs] == [["install", "lost-plugin==1.0"], ["-e", "/nowhere/own"]]


def test_restoring_goes_on_after_a_failure(cli, record, monkeypatch: pytest.MonkeyPatch) -> None:
    record.parent.mkdir()
    rows = {name: {"version": "1", "requirement": f"{name}==1"} for name in ("a-plugin", "b-plugin")}
    record.write_text(json.dumps({"version": 1, "installed": rows}))
    tried = []

    def fail_first(words: list[str]) -> None:
        tried.append(words[-1])
        if words[-1] == "a-plugin==1":
            raise PluginInstallError("pip failed with code 1.")

    monkeypatch.setattr(installer, "run_installer", fail_first)
    outcome = cli("plugins", "restore", "--yes")
    assert outcome.code == 6 and tried == ["a-plugin==1", "b-plugin==1"]
    assert "Not restored: a-plugin." in outcome.err and set(
        json.loads(record.read_text())["installed"]
    ) == set(rows)
    assert cli("plugins", "uninstall", "a-plugin").code == 0
    assert set(json.loads(record.read_text())["installed"]) == {"b-plugin"}


def test_uninstall(cli, place, record, runs) -> None:
    install(place, "keywords", EXPLODES, "keys-plugin")
    install(place, "complete", EXPLODES, "rival-plugin")
    cli("plugins", "disable", "keywords")
    asked = cli("plugins", "uninstall", "keywords")
    assert asked.code == 2 and runs == [] and "task keywords" in asked.err
    assert cli("plugins", "uninstall", "keywords", "--yes").code == 0
    assert runs[0][-3:] == ["uninstall", "--yes", "keys-plugin"]
    left = json.loads(record.read_text())
    assert left["disabled"] == [] and set(left["installed"]) == {"rival-plugin"}
    both = cli("plugins", "uninstall", "complete", "--yes")
    assert both.code == 2 and "nlpsuite plugins uninstall rival-plugin" in both.err
    for name in ("chat", "nlpsuite"):
        bundled = cli("plugins", "uninstall", name, "--yes")
        assert bundled.code == 2 and "part of nlpsuite" in bundled.err
    assert cli("plugins", "uninstall", "numpy", "--yes").code == 2
    assert len(runs) == 1


def test_an_answer_of_no_does_nothing(cli, runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlpsuite.cli.plugins_command._has_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *args, **kwargs: False)
    declined = cli("plugins", "install", "x")
    assert declined.code == 2 and "Nothing was done." in declined.err and runs == []
    monkeypatch.setattr("click.confirm", lambda *args, **kwargs: True)
    assert cli("plugins", "install", "x").code == 0
    assert len(runs) == 1


def test_uv_where_there_is_no_pip(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    uv = tmp_path / ("uv.exe" if os.name == "nt" else "uv")
    uv.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installer.installer_command("install", "--upgrade", "x") == [
        str(uv), "pip", "install", "--python", sys.executable, "--upgrade", "x",
    ]  # fmt: skip
    words = installer.installer_command("uninstall", "x")
    assert words == [str(uv), "pip", "uninstall", "--python", sys.executable, "x"]
    uv.unlink()
    with pytest.raises(PluginInstallError) as caught:
        installer.installer_command("install", "x")
    assert "ensurepip" in caught.value.hint and caught.value.exit_code == 6


def test_a_command_that_is_not_there_has_a_suggestion(cli) -> None:
    outcome = cli("plugins", "instal", "x")
    assert outcome.code == 2 and "Did you mean 'install'?" in outcome.err
