"""docs/plugins-transcript.md is what happens: a new environment, a real pip, a plugin from its source."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="the paths of an environment are written as on Unix"),
]


@pytest.fixture(scope="module")
def committed() -> str:
    return (DOCS / "plugins-transcript.md").read_text(encoding="utf-8")


def test_it_is_what_happens(committed: str) -> None:
    pytest.importorskip("pip")
    # Not imported: that swaps distutils for all that comes after.
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("builds the plugin: setuptools is not installed")
    command = [sys.executable, DOCS / "make_plugins_transcript.py", "--print"]
    done = subprocess.run(command, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == committed, (
        "run `just docs`, that is python docs/make_plugins_transcript.py"
    )


def test_it_says_what_it_should(committed: str) -> None:
    steps = re.findall(
        r"^```console\n\$ nlpsuite (.*?)\n(.*?)^```\n\nExit code: (\d+)$", committed, re.M | re.S
    )
    assert [(command.split()[:2], code) for command, _, code in steps] == [
        (["plugins", "install"], "0"),
        (["run", "keywords"], "0"),
        (["plugins", "check"], "0"),
        (["plugins", "list"], "0"),
        (["plugins", "uninstall"], "0"),
        (["run", "keywords"], "2"),
    ]
    said = [text for _, text, _ in steps]
    assert "means trusting" in said[0] and "New task: keywords" in said[0]
    assert "--count" in said[1]
    assert all(line.startswith("ok ") for line in said[2].splitlines()) and said[2].count("\n") > 15
    assert re.search(r"^keywords +task +nlpsuite-keywords +… +1 +enabled ", said[3], re.M)
    assert "Uninstalled nlpsuite-keywords." in said[4] and "There is no task 'keywords'" in said[5]
    assert "/tmp" not in committed and str(Path.home()) not in committed
