"""What ``nlpsuite export`` does: from the name of a base to a checked bundle in a directory of its own."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from nlpsuite.errors import OptionError
from nlpsuite.export.base import WEIGHT_BYTES, Base, Reporter, Silent, bundle_directory, find_base, open_base
from nlpsuite.export.cached import named
from nlpsuite.export.template import Layout
from nlpsuite.runtime.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from nlpsuite.export.fill import Precision
    from nlpsuite.models.adapter import Adapter

__all__ = ["Exported", "export_bundle"]


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Attributes:
        bundle: with ``verification`` if it was compared with torch.
        seconds: that it took, fetching included.
    """

    bundle: Bundle
    seconds: float


def export_bundle(
    base: str | Base | None = None,
    *,
    adapter: str | os.PathLike[str] | None = None,
    precision: str = "int8",
    layout: str = "slots",
    target: str | os.PathLike[str] | None = None,
    name: str | None = None,
    verify: bool = True,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> Exported:
    """Export a base, with an adapter merged into it, as a bundle.

    Args:
        base: None for the default model; a ``.gguf`` file, Hugging Face directory or directory of a
            training run; a base, as ``plugins.bases`` makes it of ``hf:owner/name``.
        adapter: a file that ``nlpsuite train adapter`` wrote.
        precision: ``fp32``, ``fp16``, ``int8`` or ``int4``.
        layout: ``slots`` for nlpsuite's runtime, ``portable`` for other apps.
        target: the directory to be written; by default ``exported/<base>-<precision>`` or the like in
            the current directory.
        name: of the model in the manifest; by default the base's own.
        verify: compare the graph with torch before the directory gets its name.
        overwrite: replace a bundle that is at ``target``.
        reporter: told of progress.
        offline: fetch nothing.

    Raises:
        OptionError: no such precision or layout; ``base`` is a bundle already; ``target`` exists.
        ModelNotFoundError: ``base`` or ``adapter`` names nothing.
        ModelUnavailableError: the base can't be fetched or read.
        AdapterMismatchError: the adapter was trained on another base.
        UnsupportedModelError: a model, or an adapter, of a kind that can't be exported so.
        BundleCorruptError: the base or the adapter is damaged.
        StorageError: ``target`` can't be written, or the disk is full.
        MissingExtraError: torch is needed and not installed.
        VerificationError: the graph does not compute what the model computes; nothing is written.
    """
    started = time.monotonic()
    for value, known, what in ((precision, WEIGHT_BYTES, "precision"), (layout, get_args(Layout), "layout")):
        if value not in known:
            raise OptionError(f"Unknown {what} {value!r}.", hint=f"Choose from: {', '.join(known)}.")
    found = _base(base, offline)
    from nlpsuite.export.build import build_bundle
    from nlpsuite.export.verify import require_torch
    from nlpsuite.export.verify import verify as verify_graph
    from nlpsuite.models.adapter import Adapter

    if verify:
        require_torch()
    merged = Adapter.open(Path(os.path.expanduser(adapter))) if adapter is not None else None
    directory = (
        Path(os.path.expanduser(target)) if target is not None else _default(found, merged, precision, layout)
    )
    _check_target(directory, overwrite)
    reporter = reporter or Silent()
    try:
        # Absolute: the parent of "." is then a directory to write into.
        directory = Path(os.path.abspath(directory))
        with open_base(
            found, directory.parent, reporter, precision=precision, adapter=merged, keep=True
        ) as checkpoint:
            size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
            shown = name or checkpoint.name
            reporter.stage(f"Exporting {shown} ({layout}, {precision})", size)

            def check(building: Path, graph: Path) -> dict[str, object]:
                reporter.stage("Comparing the graph with torch", None)
                return verify_graph(
                    checkpoint,
                    building,
                    graph,
                    layout=cast(Layout, layout),
                    precision=cast("Precision", precision),
                )

            build_bundle(
                checkpoint,
                directory,
                precision=cast("Precision", precision),
                layout=cast(Layout, layout),
                name=name,
                source=found.origin,
                check=check if verify else None,
                replace=overwrite,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
    finally:
        reporter.close()
    return Exported(Bundle.open(directory), time.monotonic() - started)


def _base(spec: str | Base | None, offline: bool) -> Base:
    base = find_base(spec, offline=offline)
    if base is not None:
        return base
    assert isinstance(spec, str)
    if bundle_directory(spec) is None:
        named(spec)  # an error if there is no such model at all
    raise OptionError(
        f"{spec} names a bundle, which is exported already.",
        hint="Name the base that it was made from (bundle.json has it under origin): a .gguf file, a model "
        "directory, hf:owner/name, or nothing for the default.",
    )


def _default(base: Base, adapter: Adapter | None, precision: str, layout: str) -> Path:
    task = re.sub(r"[^a-z0-9]+", "-", adapter.info.task.lower()).strip("-") if adapter else ""
    parts = [base.slug, task, "portable" if layout == "portable" else "", precision]
    return Path("exported") / "-".join(part for part in parts if part)


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse, before any work, a place that holds something; nothing but a bundle is ever replaced."""
    if not target.exists() and not target.is_symlink():
        return
    replaceable = target.is_dir() and not target.is_symlink()
    replaceable = replaceable and ((target / MANIFEST).is_file() or not any(target.iterdir()))
    if not replaceable:
        raise OptionError(
            f"{target} exists already and is no bundle.", hint="Name another directory with -o."
        )
    if not overwrite:
        raise OptionError(
            f"{target} exists already.",
            hint="Replace it with --overwrite, or name another directory with -o.",
        )
