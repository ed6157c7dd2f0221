"""What ``--model`` means: the one place that decides.

A model is named by None or ``default``, by a bundle directory, a ``.gguf`` file, a Hugging Face directory
or the directory of a training run, by ``hf:owner/name`` or another scheme of a plugin, by a name of the
catalogue, or by the name of a cached bundle. The answer is either a bundle directory or the ``ModelSpec`` that a bundle is built from.

Every start passes through here: a cached one costs a few ``stat`` calls, and nothing heavy is imported.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError, OptionError, StorageError
from nlpsuite.files import TEMPORARY, remove_stale
from nlpsuite.models import sources
from nlpsuite.models.bundle_cache import MODEL_FORMS, BundleCache
from nlpsuite.models.hub import MODEL_FILES, is_hub_name
from nlpsuite.models.spec import (
    ModelSource,
    ModelSpec,
    Reporter,
    Silent,
    check_space,
    fetching_disabled,
    model_directory,
)
from nlpsuite.paths import bases_dir, bundles_dir
from nlpsuite.runtime.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from nlpsuite.models.adapter import Adapter
    from nlpsuite.models.checkpoint import Checkpoint

__all__ = ["WEIGHT_BYTES", "open_model", "resolve_model", "resolve_spec"]

# Approximate bytes per weight on disk, for free space and progress. Blocks of 32 share a float32 scale;
# with int4 the embedding and the head still have 8 bits.
WEIGHT_BYTES = {"int8": 1.15, "int4": 0.85, "fp16": 2.0, "fp32": 4.0}

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.ASCII)  # two characters or more: C: is a drive


def resolve_model(
    model: str | os.PathLike[str] | ModelSpec | None,
    *,
    precision: str | None = None,
    offline: bool = False,
) -> ModelSpec | Path:
    """The bundle directory that ``model`` names, or the spec that its bundle is built from.

    Args:
        model: see the module's docstring; a spec is returned unchanged.
        precision: required of a bundle; selects one where a cached name has several.
        offline: download nothing; NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1 have the same effect.

    Raises:
        ModelNotFoundError: ``model`` names nothing.
        ModelUnavailableError: it can't be read.
        OptionError: the bundle has another precision, or several bundles have that name.
        BundleCorruptError: the bundle is damaged.
        UnknownTaskError: the plugin of its scheme is disabled or blocked.
        PluginError: the plugin of its scheme fails.
    """
    if isinstance(model, ModelSpec):
        return model
    offline = offline or fetching_disabled()
    default = sources.DEFAULT_MODEL
    name = None if model is None else os.fspath(model)
    if name is None or name.casefold() in ("default", default.name.casefold()):
        return sources.packaged_spec(default, offline=offline)
    if spec := _from_plugin(name, offline):
        return spec
    path = _existing(name)
    if path is not None and not (path / MANIFEST).is_file():
        return _local(path)
    if path is None and (listed := _from_catalog(name, offline)):
        return listed
    bundle = path or BundleCache().find(name, precision)
    if precision is not None:
        found = sorted({graph.precision for graph in Bundle.open(bundle).graphs})
        if precision not in found:
            raise OptionError(
                f"{bundle} is a bundle of precision {', '.join(found)}, not {precision}.",
                hint="Leave --precision out, or name the model that it was built from.",
            )
    return bundle


def resolve_spec(model: str | os.PathLike[str] | ModelSpec | None, *, offline: bool = False) -> ModelSpec:
    """As ``resolve_model``, for callers that need the original weights.

    Raises:
        OptionError: ``model`` names a bundle.
    """
    found = resolve_model(model, offline=offline)
    if isinstance(found, ModelSpec):
        return found
    raise OptionError(
        f"{model} is a bundle, which is already exported; the original weights are needed here.",
        hint="Name the model it was built from (bundle.json has it under origin): a .gguf file, a model "
        "directory, hf:owner/name, or nothing for the default.",
    )


@contextlib.contextmanager
def open_model(
    spec: ModelSpec,
    directory: Path | None = None,
    reporter: Reporter | None = None,
    *,
    precision: str = "fp32",
    adapter: Adapter | None = None,
    keep: bool = False,
) -> Iterator[Checkpoint]:
    """The checkpoint of a spec, with an adapter merged into it.

    Args:
        directory: must have room for downloads, which are deleted afterwards, and for a bundle of
            ``precision``; by default the cache.
        keep: keep downloads in the cache instead. Running a model needs its bundle alone; training and
            exporting come back to the weights.

    Raises:
        AdapterMismatchError: the adapter was trained on another base.
        StorageError: ``directory`` can't be written or has too little space.
        ModelUnavailableError, BundleCorruptError, UnsupportedModelError: as ``open_checkpoint``.
    """
    with _workspace(directory or bundles_dir()) as workspace:
        check_space(workspace, int(spec.parameters * WEIGHT_BYTES[precision]), spec.name or spec.label)
        bases_dir().mkdir(parents=True, exist_ok=True)
        path = spec.obtain(bases_dir() if keep else workspace, reporter or Silent())
        from nlpsuite.models.checkpoint import open_checkpoint
        from nlpsuite.models.merged import MergedCheckpoint

        checkpoint = open_checkpoint(path)
        checkpoint.name = spec.name or checkpoint.name
        if adapter is not None:
            checkpoint = MergedCheckpoint(checkpoint, adapter)
        size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
        check_space(workspace, size, checkpoint.name)
        yield checkpoint


def _from_plugin(name: str, offline: bool) -> ModelSpec | None:
    """The spec, if ``name`` begins with the scheme of an installed source."""
    match = _SCHEME.match(name)
    if match is None:
        return None
    from nlpsuite.plugins.loading import failure, load_plugin
    from nlpsuite.plugins.registry import find_plugin, known_plugins

    if not any((plugin.kind, plugin.name) == ("source", match[1]) for plugin in known_plugins()):
        return None
    plugin = find_plugin("source", match[1])
    source: ModelSource = load_plugin(plugin)
    spec = source(name[match.end() :], offline=offline)
    if not isinstance(spec, ModelSpec):
        raise failure(plugin, f"its source gave {type(spec).__name__} instead of a ModelSpec")
    return spec


def _from_catalog(name: str, offline: bool) -> ModelSpec | None:
    from nlpsuite.models.catalog import find_model

    found = find_model(name)
    return found.spec(offline=offline) if found else None


def _existing(name: str) -> Path | None:
    """The path that ``name`` is; None if it may be the name of a cached bundle."""
    path = Path(os.path.expanduser(name))
    try:
        if name.strip():
            path.stat()
            return path
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error.strerror or error}.") from error
    if name.endswith(".gguf") or any(separator in name for separator in ("/", os.sep)):
        hub = f"Did you mean hf:{name}? " if is_hub_name(name) else ""
        raise ModelNotFoundError(f"No such file or directory: {path}.", hint=hub + MODEL_FORMS)
    return None


def _local(path: Path) -> ModelSpec:
    """A file or directory, identified by the sizes and times of the files that matter."""
    resolved = path.resolve()
    try:
        files = [resolved]
        if resolved.is_dir():
            files = [
                file
                for file in sorted(model_directory(resolved).iterdir())
                if any(fnmatch.fnmatch(file.name, pattern) for pattern in MODEL_FILES)
            ]
        stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in files for stat in (file.stat(),)]
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error.strerror or error}.") from error
    # Labelled by the name as given: in the cache of huggingface_hub a file is a link to its hash.
    label = (path.name if path.name.strip(".") else resolved.name).removesuffix(".gguf")
    return ModelSpec(label, repr((str(resolved), stats)), str(resolved), lambda *_: path)


@contextlib.contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    """A temporary directory in ``directory``; if this process is killed, the next one removes it.

    Made before anything else, so that an unwritable place is noticed before a download.
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
            hint="Check the permissions and the free space, or choose another directory: "
            "NLPSUITE_CACHE for the model cache, -o for an export.",
        ) from error
    finally:
        if workspace:
            shutil.rmtree(workspace, ignore_errors=True)
