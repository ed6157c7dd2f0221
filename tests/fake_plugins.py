"""Distributions that are not really installed: a module and its dist-info in a directory of sys.path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from installed import environment_with

HEAD = "from nlpsuite import Options, Prompt, Task, hookimpl\n"

BROKEN = {
    "import_error": "from json import nothing_of_that_name",
    "missing_dependency": "import a_package_that_is_not_there",
    "syntax_error": "def (",
    "exits": "import sys; sys.exit(0)",
    "raises": HEAD + "@hookimpl\ndef nlpsuite_task(): raise ValueError('no')",
    "wrong_type": HEAD + "@hookimpl\ndef nlpsuite_task(): return 3",
    "no_hook": "x = 1",
    "unmarked": "def nlpsuite_task(): return 3",
    "mistyped": HEAD + "@hookimpl\ndef nlpsuite_tsak(): return 3",
    "unknown_argument": HEAD + "@hookimpl\ndef nlpsuite_task(nmae): return 3",
    "misnamed": HEAD
    + "class Other(Task):\n    name = 'other'\n    def prompt(self, record, options): return Prompt(text=record.text)\n"
    + "@hookimpl\ndef nlpsuite_task(): return Other()",
    "prints": "print('NOISE'); raise ValueError('no')",
    "writes_a_book": "raise ValueError('first line\\n' + 'x' * 9999)",
}
"""Modules of plugins that can't be loaded, by what is wrong with them."""

EXCEPTIONS = {
    "import_error": "ImportError",
    "missing_dependency": "ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
    "syntax_error": "SyntaxError",
    "exits": "SystemExit: 0",
    "raises": "ValueError: no",
    "wrong_type": "returned int instead of a Task",
    "no_hook": "no hook nlpsuite_task",
    "unmarked": "is @hookimpl missing?",
    "mistyped": "unknown hook 'nlpsuite_tsak'",
    "unknown_argument": "nmae",
    "misnamed": "calls itself 'other'",
    "prints": "ValueError: no",
    "writes_a_book": "ValueError: first line xxx",
}
"""What the error says of each."""


def good(task: str, top: str = "") -> str:
    """The module of a plugin that works; ``top`` are further lines at its top."""
    return (
        f'"""Do {task}."""\n{top}\n{HEAD}class It(Task):\n    name = {task!r}\n'
        "    def prompt(self, record, options): return Prompt(text=record.text, max_tokens=2)\n"
        "@hookimpl\ndef nlpsuite_task(): return It()\n"
    )


def install(
    place: Path,
    task: str,
    code: str,
    distribution: str,
    *,
    version: str = "1.2",
    api: str = "v1",
    value: str | None = None,
    direct_url: str = "",
) -> Path:
    """Put a distribution with one task into ``place``. Returns its dist-info directory."""
    module = distribution.replace("-", "_")
    (place / f"{module}.py").write_text(code)
    info = place / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: About {distribution}\n"
    )
    (info / "entry_points.txt").write_text(f"[nlpsuite.tasks.{api}]\n{task} = {value or module}\n")
    if direct_url:
        (info / "direct_url.json").write_text(direct_url)
    return info


def nlpsuite(place: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that sees the distributions in ``place``."""
    environment = environment_with(place, **variables)
    command = [sys.executable, "-m", "nlpsuite", *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
