"""Imports a plugin in a fresh interpreter and reports what that did. Run as a script.

Arguments: the file for the report, the plugin's module, then the entries of ``sys.path``. What every
run of a task imports anyway is imported before the time is taken.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import time
import traceback
from typing import Any

_HEAVY = ("torch", "transformers", "tensorflow", "jax")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
# What the report says of one thing is enough.
_SHOWN_CHARACTERS = 200


def main(report_path: str, module: str, *path: str) -> None:
    sys.path[:] = path
    for name in ("nlpsuite.plugins.hookspecs", "nlpsuite.tasks.base", "nlpsuite.options"):
        importlib.import_module(name)
    report = probe(module)
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report, file)
    os._exit(0)  # whatever the plugin left running


def probe(module: str) -> dict[str, Any]:
    report: dict[str, Any] = {"heavy": [], "network": [], "printed": [], "error": None, "seconds": 0.0}
    home = _home(module)
    sys.meta_path.insert(0, _Watch(report, home))

    def watch(event: str, args: Any) -> None:
        if event in _NETWORK:
            target = next((a for a in args if isinstance(a, (str, bytes, tuple))), "")
            report["network"].append([f"{event}: {target!r}"[:_SHOWN_CHARACTERS], _caller(home)])
            raise OSError("no network while a plugin is imported")

    sys.addaudithook(watch)
    noise = _Noise(report, home)
    started = time.perf_counter()
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            importlib.import_module(module)
    except BaseException as error:  # a plugin may even call sys.exit
        trace = traceback.extract_tb(error.__traceback__)
        frames = [f for f in trace if f.filename.startswith(home)]
        where = [frames[-1].filename, frames[-1].lineno] if frames else None
        if isinstance(error, SyntaxError) and error.filename:
            where = [error.filename, error.lineno]
        report["error"] = [f"{type(error).__name__}: {error}"[:_SHOWN_CHARACTERS], where]
    report["seconds"] = time.perf_counter() - started
    return report


class _Watch:
    """Sees every import first; what is heavy is noted and not imported at all."""

    def __init__(self, report: dict[str, Any], home: str) -> None:
        self._report, self._home = report, home

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in _HEAVY:
            self._report["heavy"].append([name, _caller(self._home)])
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _Noise(io.TextIOBase):
    """Standard output and error while the plugin is imported."""

    def __init__(self, report: dict[str, Any], home: str) -> None:
        self._report, self._home = report, home

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.strip():
            self._report["printed"].append([text.strip()[:_SHOWN_CHARACTERS], _caller(self._home)])
        return len(text)


def _home(module: str) -> str:
    """What the paths of the plugin's files begin with: its package's directory, or its only file."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(module.split(".")[0])
        if spec and spec.submodule_search_locations:
            return os.path.join(next(iter(spec.submodule_search_locations)), "")
        if spec and spec.origin:
            return spec.origin
    return "?"


def _caller(home: str) -> list[Any] | None:
    """File and line of the plugin's statement at work."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(home):
            return [frame.f_code.co_filename, frame.f_lineno]
        frame = frame.f_back
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
