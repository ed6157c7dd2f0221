"""docs/cli.md says what ``--help`` says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_plugins import good, install
from installed import environment_with

from nlpsuite.plugins import installed_tasks

DOCS = Path(__file__).parents[2] / "docs"


def generated(**variables: str) -> str:
    command = [sys.executable, DOCS / "make_cli_reference.py", "--print"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **variables}, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def committed() -> str:
    return (DOCS / "cli.md").read_text(encoding="utf-8")


def test_the_page_is_what_help_says_now(committed: str) -> None:
    assert generated() == committed, "run `just docs`, that is python docs/make_cli_reference.py"


def test_neither_terminal_nor_plugins_nor_settings_change_it(committed: str, tmp_path: Path) -> None:
    install(tmp_path, "another", good("another"), "another-plugin")
    (tmp_path / "config.toml").write_text('[run]\nprecision = "fp32"\n')
    (tmp_path / "plugins.json").write_text('{"version": 1, "disabled": ["chat"]}')
    for variables in (
        {"COLUMNS": "40", "FORCE_COLOR": "1"},
        {"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"},
    ):
        places = {
            "PYTHONPATH": environment_with(tmp_path)["PYTHONPATH"],
            "NLPSUITE_CONFIG": str(tmp_path / "config.toml"),
            "NLPSUITE_CONFIG_DIR": str(tmp_path),
        }
        assert generated(**variables, **places) == committed


def test_every_bundled_task_and_verb_is_there(committed: str) -> None:
    from nlpsuite.cli import _VERBS

    headings = set(re.findall(r"^## (.+)$", committed, re.M))
    assert {f"nlpsuite {verb}" for verb in _VERBS} | {"nlpsuite completion"} <= headings
    bundled = [plugin.name for plugin in installed_tasks().values() if plugin.bundled]
    assert {f"nlpsuite run {task}" for task in bundled} <= headings
    assert "\x1b" not in committed


def test_it_is_what_users_see(cli, committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for args in (["--help"], ["run", "summarize", "--help"], ["plugins", "install", "--help"]):
        done = cli(*args)
        words = re.search(
            rf"^## {' '.join(['nlpsuite', *args[:-1]])}\n\n```text\n(.*?)^```", committed, re.M | re.S
        )
        assert words is not None and words[1].split() == done.out.split()
