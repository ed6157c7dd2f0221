"""Loading a plugin in a process of its own, where it can hang or end without harm.

``python -m nlpsuite.plugins.probe KEY DISTRIBUTION`` is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from nlpsuite.plugins.loading import failure
from nlpsuite.plugins.registry import Plugin, registered

__all__ = ["Probe", "probe"]

_MARK = "nlpsuite-probe:"


@dataclass(frozen=True)
class Probe:
    """What came of loading a plugin.

    Attributes:
        problem, remedy: message and hint of the error; empty where it loads.
        imports_torch: it, or what it imports, imported torch.
    """

    problem: str = ""
    remedy: str = ""
    imports_torch: bool = False


def probe(plugin: Plugin, timeout_seconds: float = 20) -> Probe:
    """Load a plugin in a child process and report. Raises nothing about the plugin."""
    # -P: the working directory may be anybody's.
    command = [sys.executable, "-P", "-m", "nlpsuite.plugins.probe", plugin.key, plugin.distribution]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_seconds, errors="replace"
        )
    except subprocess.TimeoutExpired:
        error = failure(plugin, f"it was not loaded within {timeout_seconds:g} s")
        return Probe(error.message, error.hint)
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            return Probe(**json.loads(line.removeprefix(_MARK)))
    error = failure(plugin, f"it ended Python with code {done.returncode}")
    return Probe(error.message, error.hint)


def _report(key: str, distribution: str) -> None:
    from dataclasses import asdict

    from nlpsuite.errors import PluginError
    from nlpsuite.plugins.loading import load_plugin

    plugin = next(p for p in registered() if (p.key, p.distribution) == (key, distribution))
    try:
        load_plugin(plugin)
        found = Probe(imports_torch="torch" in sys.modules)
    except PluginError as error:
        found = Probe(error.message, error.hint)
    # On a line of its own, whatever the plugin has written before.
    print(f"\n{_MARK}{json.dumps(asdict(found))}", flush=True)


if __name__ == "__main__":
    _report(*sys.argv[1:])
