"""The cache of bundles: what ``--model`` names, built on first use.

A cached start costs a few ``stat`` calls and one small JSON file, so this module imports
nothing heavy; what a build needs is imported when one begins.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nlpsuite.errors import AdapterMismatchError, ModelNotFoundError, ModelUnavailableError, OptionError
from nlpsuite.export.base import (
    WEIGHT_BYTES,
    Base,
    Reporter,
    Silent,
    bundle_directory,
    find_base,
    open_base,
)
from nlpsuite.export.cached import CachedBundle, cached, named, only, open_cached, remove
from nlpsuite.files import sha256_file
from nlpsuite.paths import bundles_dir
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.export.fill import Precision

__all__ = ["DEFAULT_PRECISION", "CachedBundle", "Reporter", "base_fingerprint", "cached", "remove", "resolve"]

DEFAULT_PRECISION = "int8"
# Part of every key. Raise it when the same source would give a different bundle.
_BUILD_REVISION = 2


def resolve(
    spec: str | Base | None,
    *,
    precision: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    if_it_fits: bool = False,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> Path:
    """The bundle that ``spec`` names, built in the cache if it is not there yet.

    Args:
        spec: None, ``default`` or the default model's name; a bundle directory; a ``.gguf`` file,
            Hugging Face directory or directory of a training run; a cached bundle's name; a base, as
            ``plugins.bases`` makes it of ``hf:owner/name``.
        precision: ``int8`` (the default), ``int4``, ``fp32``, or ``fp16``, which is for CUDA.
        adapter: a file to be merged into the base; ``spec`` must then name a base, no bundle.
        if_it_fits: leave the adapter out where it can't be merged: it was trained on another base, ``spec``
            names a bundle, or the base can't be got but its bundle is in the cache. The bundle's ``adapter`` tells.
        reporter: told of fetching and building.
        offline: fetch nothing; so do NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1.

    Raises:
        ModelNotFoundError: ``spec`` names nothing.
        ModelUnavailableError: it can't be fetched, or must not be.
        OptionError: no such precision, or several bundles have that name.
        StorageError: the cache can't be written or has too little space.
        BundleCorruptError: the bundle or the checkpoint is damaged.
        UnsupportedModelError: the checkpoint or the adapter is of a kind that can't be used.
        AdapterMismatchError: the adapter was trained on another base, and must fit.
        MissingExtraError: building it needs ``nlpsuite[train]``.
    """
    if precision is not None and precision not in WEIGHT_BYTES:
        raise OptionError(
            f"Unknown precision {precision!r}.", hint=f"Choose from: {', '.join(WEIGHT_BYTES)}."
        )
    merged = None if adapter is None else Path(os.path.expanduser(adapter))
    adapter_sha256 = _adapter_sha256(merged)
    base = find_base(spec, offline=offline)
    if base is None:
        assert isinstance(spec, str)
        path = bundle_directory(spec)
        if adapter is not None and not if_it_fits:
            if path is None:
                named(spec)  # an error if there is no such model at all
            raise OptionError(
                f"{spec} names a bundle that is built already; an adapter goes into its base.",
                hint="Name the base that the adapter was trained on: a .gguf file, a model directory, "
                "hf:owner/name, or nothing for the default.",
            )
        return _with_precision(path, precision) if path else _by_name(spec, precision)
    chosen = precision or DEFAULT_PRECISION
    target = _target(base, chosen, adapter_sha256)
    if os.path.isdir(target):
        return open_cached(target).path
    if merged and if_it_fits:
        return _build_fitting(base, target, cast("Precision", chosen), merged, reporter or Silent())
    return _build(base, target, cast("Precision", chosen), merged, reporter or Silent())


def base_fingerprint(bundle: Bundle) -> str:
    """The fingerprint of the base that a bundle without an adapter was built from; empty where its manifest
    does not say. See ``models.adapter``."""
    from nlpsuite.models.adapter import fingerprint_of

    files = bundle.origin.get("files", ())
    sums = [str(entry.get("sha256", "")) for entry in files if isinstance(entry, Mapping)]
    return fingerprint_of(sums) if sums and all(sums) else ""


def _target(base: Base, precision: str, adapter_sha256: str | None = None) -> Path:
    """Where in the cache the bundle of a base is."""
    parts = [str(_BUILD_REVISION), precision, base.key, *([adapter_sha256] if adapter_sha256 else [])]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    adapted = "-adapted" if adapter_sha256 else ""
    return bundles_dir() / f"{base.slug}{adapted}-{precision}-{digest[:8]}"


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


def _build(
    base: Base,
    target: Path,
    precision: Precision,
    adapter: Path | None,
    reporter: Reporter,
    *,
    keep: bool = False,
) -> Path:
    try:
        from nlpsuite.models.adapter import Adapter

        # Opened first: a damaged adapter should not wait for a fetch.
        merged = Adapter.open(adapter) if adapter else None
        # Who has one adapter for a base soon has the next.
        keep = keep or merged is not None
        with open_base(
            base, target.parent, reporter, precision=precision, adapter=merged, keep=keep
        ) as checkpoint:
            from nlpsuite.export.build import build_bundle

            size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
            reporter.stage(f"Preparing {checkpoint.name} ({precision})", size)
            return build_bundle(
                checkpoint,
                target,
                precision=precision,
                source=base.origin,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
    finally:
        reporter.close()


def _build_fitting(base: Base, target: Path, precision: Precision, adapter: Path, reporter: Reporter) -> Path:
    """The bundle of a base with an adapter or, where that does not fit, without it."""
    from nlpsuite.models.adapter import Adapter

    info = Adapter.open(adapter).info
    plain = _target(base, precision)
    there = os.path.isdir(plain)
    # Another base is recognised by its own bundle, so that it is neither got nor hashed at every start.
    if there and base_fingerprint(open_cached(plain)) != info.base_fingerprint:
        return plain
    try:
        return _build(base, target, precision, adapter, reporter)
    except AdapterMismatchError:
        # Fetched already, and kept: it is not fetched again.
        return plain if there else _build(base, plain, precision, None, reporter, keep=True)
    except ModelUnavailableError:
        if there:
            return plain
        raise


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
        wanted = precision or DEFAULT_PRECISION
        found = [bundle for bundle in found if bundle.precision == wanted] or found
    return _with_precision(open_cached(only(spec, found).path).path, precision)
