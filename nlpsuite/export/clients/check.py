"""Runs the clients that are installed and compares their answers with nlpsuite's."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nlpsuite.errors import OptionError
from nlpsuite.export.clients.job import Job, Reference, make_job
from nlpsuite.export.clients.report import ClientReport, compare
from nlpsuite.runtime.bundle import Bundle, Graph

__all__ = ["CLIENTS", "check_clients", "split_clients"]

_PROGRAMS = Path(__file__).with_name("programs")
_TIMEOUT = 900.0  # seconds for one client


class _NotInstalledError(Exception):
    """A client isn't there; the message says how to get it."""


class _ClientFailedError(Exception):
    """A client ended without an answer; the message is its own."""


def check_clients(
    bundle: Bundle,
    clients: Sequence[str],
    on_client: Callable[[str], None] = lambda name: None,
    *,
    graphs: Sequence[Graph] = (),
) -> Iterator[ClientReport]:
    """Run clients on the graphs of a portable bundle, one after the other.

    Args:
        clients: names out of ``CLIENTS``, each possibly with ``=`` and where it is: a Python, or for JavaScript a
            node_modules directory.
        on_client: called before each.
        graphs: of the bundle, by default all.

    Raises:
        OptionError: an unknown client, or the bundle isn't portable.
    """
    named = split_clients(",".join(clients))
    if bundle.graphs[0].layout != "portable":
        raise OptionError(
            "Other programs can only run a portable bundle.", hint="Export it with --layout portable."
        )
    for graph in graphs or bundle.graphs:
        job, reference = make_job(bundle, graph)
        for name, place in named.items():
            on_client(f"{name} ({graph.precision})")
            yield _check(name, place, graph.precision, job, reference)


def split_clients(text: str) -> dict[str, str]:
    """Names to places, as ``check_clients`` takes them. Raises OptionError for an unknown name."""
    found = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, _, place = each.partition("=")
        if name not in CLIENTS:
            raise OptionError(f"Unknown client {name!r}.", hint=f"Choose from: {', '.join(CLIENTS)}.")
        found[name] = place
    return found


def _check(name: str, place: str, precision: str, job: Job, reference: Reference) -> ClientReport:
    try:
        answer = CLIENTS[name](place, job)
    except _NotInstalledError as error:
        return ClientReport(name, precision, "missing", detail=str(error))
    except _ClientFailedError as error:
        return ClientReport(name, precision, "failed", detail=str(error))
    return compare(name, precision, answer, reference)


def _answer(command: Sequence[str], job: Job) -> dict[str, Any]:
    """The last line that a program prints."""
    try:
        done = subprocess.run(command, input=job.text(), capture_output=True, text=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise _ClientFailedError(f"It took more than {_TIMEOUT:.0f} seconds.") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        errors = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise _ClientFailedError(next((line for line in errors if "Error" in line), errors[-1])[:500])
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _python(program: str, modules: Sequence[str], package: str, place: str, job: Job) -> dict[str, Any]:
    python = place or sys.executable
    # Isolated: neither PYTHONPATH nor the current directory adds to what is installed.
    known = f"from importlib.util import find_spec as f; exit(any(f(m) is None for m in {list(modules)!r}))"
    try:
        there = subprocess.run([python, "-I", "-c", known], capture_output=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NotInstalledError(f"{python} can't be run ({error}).") from None
    if there.returncode:
        raise _NotInstalledError(f"pip install {package}; a Python with it: {program}=PATH.")
    return _answer([python, "-I", str(_PROGRAMS / f"run_{program}.py")], job)


def _modules(place: str, client: str) -> Path:
    """The node_modules directory with transformers.js: the one named, else the nearest above, as Node looks."""
    here = Path.cwd()
    candidates = [Path(place)] if place else [each / "node_modules" for each in (here, *here.parents)]
    for modules in candidates:
        if (modules / "@huggingface" / "transformers").is_dir():
            return modules.resolve()
    raise _NotInstalledError(
        f"npm install --ignore-scripts @huggingface/transformers; a directory with it: {client}=NODE_MODULES."
    )


def _transformersjs(place: str, job: Job) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        raise _NotInstalledError("Install Node.js 20 or later.")
    modules = _modules(place, "transformersjs")
    return _answer([node, str(_PROGRAMS / "run_transformersjs.mjs"), str(modules)], job)


def _browser(place: str, job: Job) -> dict[str, Any]:
    modules = _modules(place, "browser")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        raise _NotInstalledError("pip install playwright") from None
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root can't have one
    with _served(Path(job.bundle), modules) as url, sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=sandbox)
        except Error as error:
            raise _NotInstalledError("Install Chromium, or: playwright install chromium") from error
        try:
            page = browser.new_page()
            page.set_default_timeout(_TIMEOUT * 1000)
            page.goto(f"{url}/programs/browser.html")
            page.wait_for_function("document.title === 'ready'")
            found: dict[str, Any] = page.evaluate("job => window.answer(job)", json.loads(job.text()))
        except Error as error:
            raise _ClientFailedError(error.message.splitlines()[0][:500]) from None
        finally:
            browser.close()
    return found


class _Handler(SimpleHTTPRequestHandler):
    """Serves the programs, the bundle and node_modules, isolated as threads in WebAssembly need it."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def __init__(self, *args: Any, roots: dict[str, Path]) -> None:
        self._roots = roots
        super().__init__(*args)

    def translate_path(self, path: str) -> str:
        inside = Path(super().translate_path(path)).relative_to(self.directory).parts
        root = self._roots.get(inside[0]) if inside else None
        return str(root.joinpath(*inside[1:])) if root else str(Path(self.directory) / "nothing")

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""


@contextlib.contextmanager
def _served(bundle: Path, modules: Path) -> Iterator[str]:
    roots = {"programs": _PROGRAMS, "bundle": bundle, "modules": modules}
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, roots=roots)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


CLIENTS: dict[str, Callable[[str, Job], dict[str, Any]]] = {
    "ort": functools.partial(_python, "ort", ("onnxruntime", "tokenizers"), "onnxruntime tokenizers"),
    "genai": functools.partial(_python, "genai", ("onnxruntime_genai",), "onnxruntime-genai"),
    "optimum": functools.partial(
        _python, "optimum", ("optimum", "optimum.onnxruntime"), "'optimum[onnxruntime]'"
    ),
    "transformersjs": _transformersjs,
    "browser": _browser,
}
"""Name to what asks the client."""
