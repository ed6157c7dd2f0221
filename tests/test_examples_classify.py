"""``examples/embed_classify.py``: a bundle with an adapter gives the same probabilities without nlpsuite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import nlpsuite
from nlpsuite.runtime.bundle import MANIFEST

EXAMPLE = Path(__file__).parents[1] / "examples" / "embed_classify.py"


@pytest.mark.slow
def test_the_same_probabilities(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for path in tiny_bundle.iterdir():
        (bundle / path.name).symlink_to(path)
    manifest = json.loads((bundle / MANIFEST).read_text())
    options = {"labels": "good,bad thing,other", "plain": True, "calibrate": False}
    manifest["adapter"] = {
        "task": "classify", "task_version": "1", "options": options, "temperature": 2.5, "sha256": "0",
    }  # fmt: skip
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    found = nlpsuite.load("classify", model=bundle, device="cpu", threads=1)("The sea is calm.").probabilities
    command = [sys.executable, str(EXAMPLE), str(bundle), "The sea is calm."]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = dict(line.split(": ") for line in done.stdout.splitlines())
    assert done.stderr == "" and found is not None
    assert {label: float(value[:-1]) / 100 for label, value in lines.items()} == pytest.approx(
        found, abs=2e-3
    )
