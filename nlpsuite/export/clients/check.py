"""Runs the clients that are installed and compares their answers with nlpsuite's."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from nlpsuite.errors import OptionError
from nlpsuite.export.clients.job import MODES, Job, Reference, make_job
from nlpsuite.runtime.bundle import Bundle

__all__ = ["CLIENTS", "ClientReport", "check_clients", "split_clients"]

_PROGRAMS = Path(__file__).with_name("programs")
_TIMEOUT = 900.0  # seconds for one client
# Texts may also differ where nlpsuite's own lead of a token is smaller than this.
_TIE = 1e-3


class _NotInstalledError(Exception):
    """A client isn't there; the message says how to get it."""


class _ClientFailedError(Exception):
    """A client ended without an answer; the message is its own."""


@dataclass(frozen=True)
class ClientReport:
    """What a client computed with one graph of a bundle.

    Attributes:
        client: its name.
        precision: of the graph.
        status: ``same`` in all; ``near-tie``: other tokens only where the lead was smaller than twice the largest
            difference of a logit; ``tokenizer``: the same, but for texts that the client's own tokenizer reads in another
            way; ``differs``; ``failed``; ``missing``: not installed.
        version: of the library.
        encoded: number of texts with the same tokens.
        texts: number of texts.
        runs: for each way of padding that the client offers, how many greedy texts are the same, and how many
            differ at a near tie.
        labels: number of texts with the same label, for each way of padding; empty for a task without.
        logit_difference: largest difference of a logit after a prompt.
        margin: largest lead of nlpsuite's token where a client's text goes another way.
        detail: the first difference, the client's own error, or how to install it.
    """

    client: str
    precision: str
    status: Literal["same", "near-tie", "tokenizer", "differs", "failed", "missing"]
    version: str = ""
    encoded: int = 0
    texts: int = 0
    runs: dict[str, tuple[int, int]] | None = None
    labels: dict[str, int] | None = None
    logit_difference: float = 0.0
    margin: float = 0.0
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether the client computes what nlpsuite does from the same tokens, or isn't there."""
        return self.status not in ("differs", "failed")

    def __str__(self) -> str:
        head = f"{self.client} ({self.precision})"
        if self.status == "missing":
            return f"{head}: not installed. {self.detail}"
        if self.status == "failed":
            return f"{head}: failed. {self.detail}"
        ways = [
            f"{mode} {same}" + (f" + {ties} near ties" if ties else "")
            for mode, (same, ties) in (self.runs or {}).items()
        ]
        labels = f"; labels {', '.join(f'{m} {n}' for m, n in self.labels.items())}" if self.labels else ""
        return (
            f"{head} {self.version}: {self.status}. Of {self.texts} texts: tokens {self.encoded}; greedy "
            f"{', '.join(ways)}{labels}; logits differ by at most {self.logit_difference:.2g}"
            + (f"; largest margin of a tie {self.margin:.2g}" if self.margin else "")
            + (f". {self.detail}" if self.detail else ".")
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check_clients(
    bundle: Bundle, clients: Sequence[str], on_client: Callable[[str], None] = lambda name: None
) -> Iterator[ClientReport]:
    """Run clients on every graph of a portable bundle, one after the other.

    Args:
        clients: names out of ``CLIENTS``, each possibly with ``=`` and where it is: a Python, or for JavaScript a
            node_modules directory.
        on_client: called before each.

    Raises:
        OptionError: an unknown client, or the bundle isn't portable.
    """
    named = split_clients(",".join(clients))
    if bundle.graphs[0].layout != "portable":
        raise OptionError(
            "Other programs can only run a portable bundle.", hint="Export it with --layout portable."
        )
    for graph in bundle.graphs:
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


def compare(name: str, precision: str, answer: dict[str, Any], reference: Reference) -> ClientReport:
    """A client's answer beside the reference."""
    texts = range(len(reference.ids))
    encoded = [answer["ids"][i] == reference.ids[i] for i in texts]
    difference = max(
        (
            abs(ours - theirs)
            for rows in answer["logits"].values()
            for i in texts
            if encoded[i]
            for ours, theirs in zip(reference.logits[i], rows[i])
        ),
        default=0.0,
    )
    runs, labels, margins, detail = {}, {}, [0.0], ""
    for mode in (mode for mode in MODES if mode in answer["runs"]):
        same = ties = 0
        for i in (i for i in texts if encoded[i]):
            expected, found = reference.generated[i], answer["runs"][mode][i]
            if found == expected:
                same += 1
                continue
            at = next((k for k, pair in enumerate(zip(expected, found)) if pair[0] != pair[1]), None)
            at = min(len(expected), len(found)) if at is None else at
            margin = reference.margins[i][at] if at < len(reference.margins[i]) else 0.0
            if margin <= max(_TIE, 2 * difference):
                ties += 1
                margins.append(margin)
            else:
                detail = detail or (
                    f"Text {i + 1}, {mode}: token {at + 1} is another one, by a margin of {margin:.2g}."
                )
        runs[mode] = (same, ties)
        if len(reference.labels) and mode in answer["logits"]:
            labels[mode] = sum(
                _label(answer["logits"][mode][i], reference) == _label(reference.logits[i], reference)
                for i in texts
                if encoded[i]
            )
    ties = any(ties for _, ties in runs.values())
    status: Any = "differs" if detail else "near-tie" if ties else "same"
    if not all(encoded):
        status = "differs" if detail or not any(encoded) else "tokenizer"
        detail = f"Text {encoded.index(False) + 1} has other tokens. {detail}".strip()
    return ClientReport(
        name, precision, status, str(answer["version"]), sum(encoded), len(texts), runs, labels or None,
        difference, max(margins), detail,
    )  # fmt: skip


def _label(logits: Sequence[float], reference: Reference) -> int:
    return max(reference.labels, key=lambda i: logits[i])


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


def _python(program: str, module: str, package: str, place: str, job: Job) -> dict[str, Any]:
    python = place or sys.executable
    try:
        known = subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=120)
    except OSError as error:
        raise _NotInstalledError(f"{python} can't be run ({error}).") from None
    if known.returncode:
        raise _NotInstalledError(f"pip install {package}; a Python with it: {program}=PATH.")
    return _answer([python, str(_PROGRAMS / f"run_{program}.py")], job)


def _modules(place: str, client: str) -> Path:
    modules = Path(place or "node_modules").resolve()
    if not (modules / "@huggingface" / "transformers").is_dir():
        raise _NotInstalledError(
            f"npm install --ignore-scripts @huggingface/transformers; a directory with it: "
            f"{client}=NODE_MODULES."
        )
    return modules


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
    with _served(Path(job.bundle), modules) as url, sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
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
    "ort": functools.partial(_python, "ort", "onnxruntime, tokenizers", "onnxruntime tokenizers"),
    "genai": functools.partial(_python, "genai", "onnxruntime_genai", "onnxruntime-genai"),
    "optimum": functools.partial(_python, "optimum", "optimum.onnxruntime", "'optimum[onnxruntime]'"),
    "transformersjs": _transformersjs,
    "browser": _browser,
}
"""Name to what asks the client."""
