"""The bundle that runs a model, built in the cache on first use.

A cached start costs a few ``stat`` calls and one small JSON file, so nothing heavy is imported before a
build starts.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nlpsuite.errors import AdapterMismatchError, ModelNotFoundError, ModelUnavailableError, OptionError
from nlpsuite.files import sha256_file
from nlpsuite.models.bundle_cache import DEFAULT_PRECISION, BundleCache
from nlpsuite.models.resolve import WEIGHT_BYTES, open_model, resolve_model
from nlpsuite.models.spec import ModelSpec, Reporter, Silent
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.export.fill import Precision

__all__ = ["base_fingerprint", "check_precision", "get_bundle"]

# Part of every key. Raise it when the same source would give a different bundle.
_BUILD_REVISION = 4


def get_bundle(
    model: str | os.PathLike[str] | ModelSpec | None,
    *,
    precision: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    adapter_optional: bool = False,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> Path:
    """The directory of the bundle of ``model``, built in the cache if it isn't there yet.

    Args:
        model: as for ``models.resolve``, the default model if None.
        precision: ``int8`` (the default), ``int4``, ``fp32``, or ``fp16``, which is for CUDA.
        adapter: a file or directory to merge into the weights; ``model`` must not be a bundle then.
        adapter_optional: skip the adapter where it can't be merged: it was trained on another base,
            ``model`` is a bundle, or the base is unavailable but its bundle is cached. The bundle's
            ``adapter`` says which.
        reporter: receives the progress of downloads and builds.
        offline: download nothing; NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1 have the same effect.

    Raises:
        ModelNotFoundError, ModelUnavailableError, PluginError: as ``resolve_model``.
        OptionError: no such precision, ``model`` is a bundle that can't take the adapter, or several
            bundles have that name.
        StorageError: the cache can't be written or has too little space.
        BundleCorruptError: the bundle, the checkpoint or the adapter is damaged.
        UnsupportedModelError: the checkpoint or the adapter is of an unsupported kind.
        AdapterMismatchError: the adapter was trained on another base.
        MissingExtraError: building needs ``nlpsuite[train]``.
    """
    check_precision(precision)
    file = None if adapter is None else Path(os.path.expanduser(adapter))
    adapter_sha256 = None if file is None else _adapter_sha256(file)
    found = resolve_model(model, precision=precision, offline=offline)
    if isinstance(found, Path):
        if file is not None and not adapter_optional:
            raise OptionError(
                f"{model} is a bundle; an adapter can only be merged into the model it was built from.",
                hint="Name the model that the adapter was trained on: a .gguf file, a model directory, "
                "hf:owner/name, or nothing for the default.",
            )
        return found
    chosen = cast("Precision", precision or DEFAULT_PRECISION)
    target = _target(found, chosen, adapter_sha256)
    if os.path.isdir(target):
        return BundleCache.open(target).path
    if file and adapter_optional:
        return _build_if_it_fits(found, target, chosen, file, reporter or Silent())
    return _build(found, target, chosen, file, reporter or Silent())


def check_precision(precision: str | None) -> None:
    """Raise OptionError for an unknown precision."""
    if precision is not None and precision not in WEIGHT_BYTES:
        raise OptionError(
            f"Unknown precision {precision!r}.", hint=f"Choose from: {', '.join(WEIGHT_BYTES)}."
        )


def base_fingerprint(bundle: Bundle) -> str:
    """The fingerprint (see ``models.adapter``) of the base that a bundle without an adapter was built from;
    empty if its manifest doesn't say."""
    from nlpsuite.models.adapter import fingerprint_of

    files = bundle.origin.get("files", ())
    sums = [str(entry.get("sha256", "")) for entry in files if isinstance(entry, Mapping)]
    return fingerprint_of(sums) if sums and all(sums) else ""


def _target(spec: ModelSpec, precision: str, adapter_sha256: str | None = None) -> Path:
    parts = [str(_BUILD_REVISION), precision, spec.key, *([adapter_sha256] if adapter_sha256 else [])]
    if precision == "int8":
        parts.append(_integer_instructions())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    adapted = "-adapted" if adapter_sha256 else ""
    return BundleCache().directory / f"{spec.slug}{adapted}-{precision}-{digest[:8]}"


def _integer_instructions() -> str:
    """What decides how 8-bit weights are stored (see ``export.kernels``), so that machines can share a cache.

    Read from the CPU's flags, since a cached start should not wait for a measurement.
    """
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    return f"{platform.machine()} {'vnni' if {'avx512_vnni', 'avx_vnni'} & {*flags} else ''}"


def _adapter_sha256(path: Path) -> str:
    """Hashed rather than opened: a cached start should not wait for numpy."""
    try:
        files = sorted(path.glob("adapter*")) if path.is_dir() else [path]
        return "-".join(sha256_file(file) for file in files)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(
            f"There is no adapter {path}.", hint="Check the name; `nlpsuite train adapter` makes one."
        ) from None
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read the adapter {path}: {error.strerror or error}.", hint="Name the .safetensors file."
        ) from error


def _build(
    spec: ModelSpec,
    target: Path,
    precision: Precision,
    adapter: Path | None,
    reporter: Reporter,
    *,
    keep: bool = False,
) -> Path:
    try:
        from nlpsuite.models.adapter import Adapter

        # Opened first: a damaged adapter should be noticed before a download.
        opened = Adapter.open(adapter) if adapter else None
        # Whoever has one adapter for a base soon has the next.
        keep = keep or opened is not None
        with open_model(
            spec, target.parent, reporter, precision=precision, adapter=opened, keep=keep
        ) as checkpoint:
            from nlpsuite.export.build import build_bundle

            size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
            reporter.stage(f"Preparing {checkpoint.name} ({precision})", size)
            return build_bundle(
                checkpoint,
                target,
                precision=precision,
                source=spec.origin,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
    finally:
        reporter.close()


def _build_if_it_fits(
    spec: ModelSpec, target: Path, precision: Precision, adapter: Path, reporter: Reporter
) -> Path:
    """The bundle of a model with an adapter or, if that doesn't fit, without it."""
    from nlpsuite.models.adapter import Adapter

    info = Adapter.open(adapter).info
    plain = _target(spec, precision)
    exists = os.path.isdir(plain)
    # Another base is recognised by its own bundle, so that it isn't opened and hashed at every start.
    if exists and base_fingerprint(BundleCache.open(plain)) != info.base_fingerprint:
        return plain
    try:
        return _build(spec, target, precision, adapter, reporter)
    except AdapterMismatchError:
        # ``keep``: the weights were downloaded a moment ago and are in the cache.
        return plain if exists else _build(spec, plain, precision, None, reporter, keep=True)
    except ModelUnavailableError:
        if exists:
            return plain
        raise
