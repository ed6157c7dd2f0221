"""Loading a plugin in a process of its own, where it can hang, exit or print without harm."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nlpsuite.errors import PluginError
from nlpsuite.plugins.kinds import KINDS
from nlpsuite.plugins.loading import failure, load_plugin, resolve
from nlpsuite.plugins.scan import Plugin

__all__ = ["Probe", "probe", "try_plugins"]

_HEAVY = ("torch", "transformers", "tensorflow", "jax")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_LONGEST_TEXT = 200  # characters
# -P and this path keep the working directory out, where anything may lie.
_CHILD = "import sys; sys.path[:] = sys.argv[4:]; from nlpsuite.plugins import probe; probe._main()"


@dataclass
class Probe:
    """What loading a plugin did. A place is a file and a line of the plugin, or None.

    Attributes:
        problem, remedy: message and hint of the error; empty if the plugin loads.
        where: the place in the plugin that raised the error.
        heavy: heavy libraries that it imported, each with the place that did.
        network: attempts to use the network while it was imported, likewise.
        printed: texts that it printed while it was imported, likewise.
        seconds: that the import took, without what the suite imports anyway.
    """

    problem: str = ""
    remedy: str = ""
    where: list[Any] | None = None
    heavy: list[list[Any]] = field(default_factory=list)
    network: list[list[Any]] = field(default_factory=list)
    printed: list[list[Any]] = field(default_factory=list)
    seconds: float = 0.0


def probe(plugin: Plugin, *, strict: bool = False, timeout_seconds: float = 20) -> Probe:
    """Load a plugin in a child process and report. Never raises because of the plugin.

    Args:
        strict: heavy libraries and the network are refused, not only reported.
    """
    with tempfile.TemporaryDirectory(prefix="nlpsuite-") as directory:
        report = Path(directory, "report.json")
        arguments = [json.dumps(asdict(plugin)), str(report), "strict" if strict else ""]
        command = [sys.executable, "-P", "-B", "-c", _CHILD, *arguments, *filter(None, sys.path)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                errors="replace",
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired:
            return _failed(plugin, f"it was not loaded within {timeout_seconds:g} s")
        if not report.is_file():
            return _failed(plugin, f"it ended Python with code {done.returncode}")
        found = Probe(**json.loads(report.read_text(encoding="utf-8")))
    # Printed past sys.stdout, by a library in C or a child process.
    if text := (done.stdout + done.stderr).strip():
        found.printed.append([text, None])
    return found


def try_plugins(plugins: Sequence[Plugin]) -> Iterator[tuple[Plugin, Probe]]:
    """Load each plugin and report, in order: bundled ones here, third parties' with ``probe``."""
    with ThreadPoolExecutor(4) as pool:
        others = pool.map(probe, [plugin for plugin in plugins if not plugin.bundled])
        for plugin in plugins:
            yield plugin, _load_here(plugin) if plugin.bundled else next(others)


def _load_here(plugin: Plugin) -> Probe:
    try:
        load_plugin(plugin)
    except PluginError as error:
        return Probe(error.message, error.hint)
    except Exception as error:  # a built-in's module can't be imported
        return _failed(plugin, f"{type(error).__name__}: {error}")
    return Probe()


def _failed(plugin: Plugin, problem: str) -> Probe:
    error = failure(plugin, problem)
    return Probe(error.message, error.hint)


def _main() -> None:
    """The child process."""
    found = _load_watched(Plugin(**json.loads(sys.argv[1])), strict=bool(sys.argv[3]))
    Path(sys.argv[2]).write_text(json.dumps(asdict(found)), encoding="utf-8")
    os._exit(0)  # whatever the plugin left running


def _load_watched(plugin: Plugin, strict: bool) -> Probe:
    # What every use of such a plugin imports anyway isn't the plugin's doing.
    for name in ("nlpsuite.plugins.hookspecs", "nlpsuite.options"):
        importlib.import_module(name)
    if reference := KINDS[plugin.kind].type:
        resolve(reference)
    watch = _Watch(Probe(), plugin.home, strict)
    found = watch.found
    sys.meta_path.insert(0, watch)
    sys.addaudithook(watch.audit)
    started = time.perf_counter()
    try:
        with contextlib.redirect_stdout(watch), contextlib.redirect_stderr(watch):
            importlib.import_module(plugin.module)
    except BaseException as error:  # a plugin may even call sys.exit
        failed: PluginError | None = failure(plugin, error)
        found.where = watch.place_of(error)
    else:
        found.seconds = time.perf_counter() - started
        failed = None
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                load_plugin(plugin)
            except PluginError as error:
                failed = error
    if failed:
        found.problem, found.remedy = failed.message, failed.hint
    if not strict:  # to look whether there is such a library is not to import it
        found.heavy = [entry for entry in found.heavy if entry[0] in sys.modules]
    return found


class _Watch(io.TextIOBase):
    """Sees imports first, as a finder; the network, as an audit hook; and what is printed, as a stream.

    Args:
        home: what the paths of the plugin's files begin with.
    """

    def __init__(self, found: Probe, home: str, strict: bool) -> None:
        self.found, self._home, self._strict = found, home, strict

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in _HEAVY:
            self.found.heavy.append([name, self._caller()])
            if self._strict:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def audit(self, event: str, args: Any) -> None:
        if event in _NETWORK:
            target = next((a for a in args if isinstance(a, (str, bytes, tuple))), "")
            self.found.network.append([f"{event}: {target!r}"[:_LONGEST_TEXT], self._caller()])
            if self._strict:
                raise OSError("no network while a plugin is imported")

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.strip():
            self.found.printed.append([text.strip()[:_LONGEST_TEXT], self._caller()])
        return len(text)

    def place_of(self, error: BaseException) -> list[Any] | None:
        """The place in the plugin's code that an error passed through last."""
        if isinstance(error, SyntaxError) and error.filename:
            return [error.filename, error.lineno]
        frames = traceback.extract_tb(error.__traceback__)
        own = [[frame.filename, frame.lineno] for frame in frames if frame.filename.startswith(self._home)]
        return own[-1] if own else None

    def _caller(self) -> list[Any] | None:
        """The place in the plugin's code that is running."""
        frame: Any = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith(self._home):
                return [frame.f_code.co_filename, frame.f_lineno]
            frame = frame.f_back
        return None
