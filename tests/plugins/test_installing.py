"""A plugin's life in a fresh environment, with the real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from fake_plugins import good

pytestmark = pytest.mark.slow

pytest.importorskip("pip")


def write_wheel(directory: Path, version: str) -> Path:
    """A wheel with one module and one task, as a build tool would write it."""
    info = f"little_plugin-{version}.dist-info"
    files = {
        "little_plugin.py": good("little", "print('it was loaded')"),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: little-plugin\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[nlpsuite.tasks.v1]\nlittle = little_plugin\n",
    }
    path = directory / f"little_plugin-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        rows = []
        for name, text in files.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(text.encode())}\n")
        wheel.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a fresh environment that sees the packages of this one."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    place = Path(
        subprocess.check_output(
            [home / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            text=True,
        ).strip()
    )
    seen = [path for path in sys.path if path and Path(path).is_dir() and "site-packages" in path]
    assert seen
    # addsitedir also follows the .pth files there, as editable installs have them.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in seen]
    (place / "outer.pth").write_text("".join(lines))
    return home / "bin" / "python"


@pytest.mark.skipif(os.name == "nt", reason="the paths of an environment are written as on Unix")
def test_a_plugins_life(python: Path, tmp_path: Path) -> None:
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        "PIP_NO_INDEX": "1",
        "NLPSUITE_CONFIG_DIR": str(tmp_path / "config"),
    }

    def run(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "nlpsuite", *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stderr
        return done

    def tasks() -> set[str]:
        return {row["task"] for row in json.loads(run("list", "--json").stdout)}

    wheel = write_wheel(tmp_path, "1.0")
    assert "little" not in tasks()
    refused = run("plugins", "install", wheel, code=2)
    assert "There is no terminal to ask at" in refused.stderr
    failed = run("plugins", "install", "--require-hashes", wheel, "--yes", code=6)
    assert "--require-hashes" in failed.stderr and "failed with code 1" in failed.stderr

    done = run("plugins", "install", "--no-deps", wheel, "--yes")
    assert done.stdout == "" and "New task: little (little-plugin 1.0). Do little." in done.stderr
    assert "Also installed" not in done.stderr and "it was loaded" not in done.stderr
    recorded = json.loads((tmp_path / "config" / "plugins.json").read_text())["installed"]["little-plugin"]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert recorded == {
        "version": "1.0",
        "requirement": f"little-plugin @ {wheel.as_uri()}#sha256={digest}",
    }
    assert run("run", "little", "--help").stdout.startswith("Usage")

    # The environment loses it, as an upgrade of the suite may; the record brings it back.
    (place,) = python.parent.parent.glob("lib/python*/site-packages")
    shutil.rmtree(place / "little_plugin-1.0.dist-info")
    assert "little" not in tasks()
    restored = run("plugins", "restore", "--yes")
    assert "missing" in restored.stdout and "New task: little" in restored.stderr
    assert "little" in tasks()
    assert "Nothing is missing" in run("plugins", "restore").stderr

    removed = run("plugins", "uninstall", "little", "--yes")
    assert "Uninstalled little-plugin" in removed.stderr and "it was loaded" not in removed.stderr
    assert "little" not in tasks() and not (place / "little_plugin.py").exists()
    assert "No plugins are recorded" in run("plugins", "restore").stderr
