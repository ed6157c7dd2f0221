"""A plugin installed by hand: its directory and a dist-info beside it, on ``sys.path``."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

__all__ = ["dist_info", "environment_with", "put_on_path"]


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
