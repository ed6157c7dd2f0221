"""A plugin installed by hand: its directory and a dist-info beside it, on ``sys.path``; commands timed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

__all__ = ["dist_info", "environment_with", "fastest", "put_on_path", "start_limit"]

# What a command of click and entry points can't do without.
LIBRARY = (
    "import dataclasses, importlib.metadata, inspect, json, pathlib, re, subprocess, typing, urllib.parse"
)


def dist_info(project: Path) -> None:
    """Write what pip would: the metadata and entry points of ``project``'s pyproject.toml."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = project / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (info / "METADATA").write_text(metadata)
    groups = "".join(
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(groups)


def environment_with(place: Path, **variables: str) -> dict[str, str]:
    """The environment of a child process that finds the modules in ``place`` first."""
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **variables}


def put_on_path(project: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``project`` importable in this process, as if its ``module`` had never been imported."""
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.delitem(sys.modules, module, raising=False)


def fastest(command: list[str], *, enough: float, env: dict[str, str] | None = None) -> float:
    """CPU seconds of a command, of its best run: other processes on the machine take wall time, not this.

    Args:
        enough: stop at a run that takes no longer.
    """
    best = float("inf")
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, env=env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if best <= enough:
            break
    return best


@cache
def start_limit() -> float:
    """CPU seconds that a start may take: 150 ms, or on a slower machine twice the imports of `LIBRARY`."""
    return max(0.150, 2 * fastest([sys.executable, "-c", LIBRARY], enough=0.075))
