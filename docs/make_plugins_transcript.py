"""Write docs/plugins-transcript.md: a plugin's life in a new environment, as seen on a terminal.

python docs/make_plugins_transcript.py           writes the page
python docs/make_plugins_transcript.py --print   prints it instead; a test compares that with the page

The new environment sees the packages of this one, so nothing is fetched; pip and setuptools must be
among them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PAGE = Path(__file__).with_name("plugins-transcript.md")
EXAMPLES = Path(__file__).parents[1] / "examples"
COMMANDS = (
    "nlpsuite plugins install ./examples/nlpsuite-keywords --yes",
    "nlpsuite run keywords --help",
    "nlpsuite plugins check keywords",
    "nlpsuite plugins list",
    "nlpsuite plugins uninstall keywords --yes",
    "nlpsuite run keywords --help",
)
HEAD = """# A plugin's life

<!-- Made by docs/make_plugins_transcript.py; don't edit. -->

A new environment with nlpsuite in it, from installing a plugin to uninstalling it, as seen on a terminal.
Paths, versions and times are replaced by `…`, and pip's own output is suppressed (`PIP_QUIET=1`).
"""


def page() -> str:
    """The page's text."""
    with tempfile.TemporaryDirectory(prefix="nlpsuite-") as name:
        place = Path(name).resolve()
        python = _new_environment(place / "env")
        project = place / "examples" / "nlpsuite-keywords"
        # A copy: building leaves files in the source tree.
        shutil.copytree(
            EXAMPLES / project.name,
            project,
            ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"),
        )
        parts = [HEAD]
        for line in COMMANDS:
            code, text = _run(python, line.split()[1:], place)
            shown = _masked(text, place)
            parts.append(f"```console\n$ {line}\n{shown}```\n\nExit code: {code}\n")
    return "\n".join(parts)


def _new_environment(home: Path) -> Path:
    """The interpreter of an environment that finds what this one finds."""
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    [packages] = home.glob("lib/python*/site-packages")
    seen = [path for path in sys.path if "site-packages" in path]
    suite = [
        path for path in sys.path if Path(path, "nlpsuite").is_dir() or Path(path, "nlpsuite_chat").is_dir()
    ]
    # addsitedir also follows the .pth files there, as editable installs have them.
    lines = [*suite, *(f"import site; site.addsitedir({path!r})" for path in seen)]
    (packages / "outer.pth").write_text("\n".join(lines))
    return home / "bin" / "python"


def _run(python: Path, arguments: list[str], place: Path) -> tuple[int, str]:
    """Exit code, and stdout and stderr as they come."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "NLPSUITE_", "PYTHON"))}
    environment = inherited | {
        "COLUMNS": "100",
        "NLPSUITE_CONFIG": os.devnull,
        "NLPSUITE_CONFIG_DIR": str(place / "config"),
        "PIP_NO_INDEX": "1",
        "PIP_QUIET": "1",
        # setuptools is there already; "0" is pip's way to say no in the environment
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONUNBUFFERED": "1",
    }
    done = subprocess.run(
        [python, "-P", "-m", "nlpsuite", *arguments],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def _masked(text: str, place: Path) -> str:
    text = text.replace(str(place / "env" / "bin" / "python"), "…/python").replace(str(place), "…")
    # In a table the columns behind a version stay where they are.
    text = re.sub(r"\b\d+\.\d+\.\d+(?=  )", lambda version: "…".ljust(len(version[0])), text)
    text = re.sub(r"\b\d+\.\d+\.\d+\b", "…", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", r"… \2", text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(page().encode())
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(PAGE)
