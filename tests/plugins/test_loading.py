"""A broken plugin harms nobody but its own task."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "from nlpsuite import Options, Prompt, Task, hookimpl\n"
BROKEN = {
    "import_error": "import nothing_of_that_name",
    "syntax_error": "def (",
    "exits": "import sys; sys.exit(0)",
    "raises": HEAD + "@hookimpl\ndef nlpsuite_task(): raise ValueError('no')",
    "wrong_type": HEAD + "@hookimpl\ndef nlpsuite_task(): return 3",
    "no_hook": "x = 1",
    "mistyped": HEAD + "@hookimpl\ndef nlpsuite_tsak(): return 3",
    "prints": "print('NOISE'); raise ValueError('no')",
}


def install(place: Path, task: str, code: str, distribution: str) -> None:
    module = distribution.replace("-", "_")
    (place / f"{module}.py").write_text(code)
    info = place / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[nlpsuite.tasks.v1]\n{task} = {module}\n")


def nlpsuite(place: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "nlpsuite", *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("kind", BROKEN)
def test_running_it_names_the_culprit(tmp_path: Path, kind: str) -> None:
    install(tmp_path, "bad", BROKEN[kind], "bad-plugin")
    done = nlpsuite(tmp_path, "run", "bad", "--text", "a")
    assert done.returncode == 70 and done.stdout == "" and "Traceback" not in done.stderr
    assert "bad-plugin 1.2" in done.stderr and "nlpsuite plugins disable bad" in done.stderr


def test_the_others_keep_working(tmp_path: Path, tiny_bundle: Path) -> None:
    for kind, code in BROKEN.items():
        install(tmp_path, kind, code, f"bad-{kind.replace('_', '-')}")
    assert nlpsuite(tmp_path, "--help").returncode == 0
    listed = nlpsuite(tmp_path, "list")
    assert listed.returncode == 0 and "NOISE" not in listed.stdout and "raises" in listed.stdout
    done = nlpsuite(
        tmp_path, "run", "summarize", "--text", "a b", "--max-tokens", "3", "--model", str(tiny_bundle)
    )
    assert done.returncode == 0, done.stderr


def test_name_clashes(tmp_path: Path, tiny_bundle: Path) -> None:
    for distribution in ("first-plugin", "second-plugin"):
        install(tmp_path, "same", BROKEN["no_hook"], distribution)
    install(tmp_path, "complete", BROKEN["raises"], "rival-plugin")
    clash = nlpsuite(tmp_path, "run", "same", "--text", "a")
    assert clash.returncode == 70 and "first-plugin 1.2 and second-plugin 1.2" in clash.stderr
    bundled = nlpsuite(
        tmp_path, "run", "complete", "--text", "a", "--max-tokens", "2", "--model", str(tiny_bundle)
    )
    assert bundled.returncode == 0, bundled.stderr
    assert "also offered by rival-plugin" in nlpsuite(tmp_path, "list").stderr
