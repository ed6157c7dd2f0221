"""A plugin's life in a fresh environment, with the real pip."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
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
    assert seen, "the packages of this environment can't be found"
    # addsitedir also follows the .pth files there, as editable installs have them.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in seen]
    (place / "outer.pth").write_text("".join(lines))
    return home / "bin" / "python"


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``nlpsuite`` in the fresh environment, without an index and with a configuration of its own."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say no in the environment
        "NLPSUITE_CONFIG_DIR": str(tmp_path / "config"),
    }

    def run(*args: object, code: int = 0, module: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(python), *(["-m", "nlpsuite"] if module else []), *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.mark.parametrize("layout", ["", "src"])
def test_an_editable_install_reports_the_new_state(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, layout: str
) -> None:
    # Not imported: that swaps distutils for all that comes after.
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("builds the plugin: setuptools is not installed")
    project = Path(run("plugins", "new", "title", "--output", tmp_path).stdout.strip())
    if layout:
        (project / layout).mkdir()
        (project / "nlpsuite_title.py").rename(project / layout / "nlpsuite_title.py")
        about = project / "pyproject.toml"
        modules = 'py-modules = ["nlpsuite_title"]'
        assert modules in about.read_text()
        about.write_text(
            about.read_text().replace(modules, f'{modules}\npackage-dir = {{ "" = "{layout}" }}')
        )
    done = run("plugins", "install", "-y", "--no-deps", "-e", project)
    assert "New task: title (nlpsuite-title 0.1.0). Say in one line what title does" in done.stderr
    assert "broken" not in done.stderr
    [row] = [row for row in json.loads(run("plugins", "list", "--json").stdout) if row["name"] == "title"]
    assert row["state"] == "enabled"
    assert run("run", "title", "--help").stdout.startswith("Usage")
    assert "Uninstalled nlpsuite-title" in run("plugins", "uninstall", "-y", "title").stderr
    assert "title" not in run("list").stdout
    # From Python: the process that has installed it can use it.
    script = (
        "from nlpsuite.plugins import load_task, manage\n"
        f"changes = manage.install(manage.install_command(editables=[{str(project)!r}], no_deps=True))\n"
        "print(*(plugin.state for plugin in changes.plugins), load_task('title').name)"
    )
    assert run("-c", script, module=False).stdout == "enabled title\n"


@pytest.mark.skipif(os.name == "nt", reason="the paths of an environment are written as on Unix")
def test_a_plugins_life(
    run: Callable[..., subprocess.CompletedProcess[str]], python: Path, tmp_path: Path
) -> None:
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
