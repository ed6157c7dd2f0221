"""Export a model as a verified bundle in a directory of the user's own."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from nlpsuite.errors import OptionError
from nlpsuite.export.cache import check_precision
from nlpsuite.export.template import Layout
from nlpsuite.models.resolve import WEIGHT_BYTES, open_model, resolve_spec
from nlpsuite.models.spec import ModelSpec, Reporter, Silent
from nlpsuite.runtime.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from nlpsuite.export.build import Check, Companion
    from nlpsuite.export.clients.report import ClientReport
    from nlpsuite.export.fill import Precision
    from nlpsuite.models.checkpoint import Checkpoint

__all__ = ["ExportReport", "export_model"]


@dataclass(frozen=True)
class ExportReport:
    """The result of an export; ``str()`` summarises it.

    Attributes:
        bundle: what was written, with ``verification`` if it was compared with torch.
        seconds: time taken, including downloads.
        task: that task.json describes; empty without one.
        notices: what the user should know about what was exported.
        clients: what other programs computed with it, if they were asked for.
    """

    bundle: Bundle
    seconds: float
    task: str = ""
    notices: tuple[str, ...] = ()
    clients: tuple[ClientReport, ...] = ()

    def __str__(self) -> str:
        bundle, graph = self.bundle, self.bundle.graphs[0]
        precisions = ", ".join(each.precision for each in bundle.graphs)
        first = (
            f"{bundle.name}: {graph.layout}, {precisions}, {bundle.size_bytes / 1e6:,.1f} MB, "
            f"{self.seconds:.0f} s.\n"
        )
        if self.task:
            first += f"task.json says how to do {self.task} with it.\n"
        if bundle.verification is None:
            return first + "Not compared with torch."
        results = bundle.verification
        return (
            f"{first}Compared with torch on {results['tokens']} tokens: perplexity {results['perplexity']:.3f} "
            f"(torch {results['reference_perplexity']:.3f}), top-1 agreement {results['top1_agreement']:.1%}, "
            f"identical greedy tokens {results['greedy_agreement']} of {results['greedy_tokens']}, largest "
            f"logit difference {results['max_logit_difference']:.2g}."
        )


def export_model(
    model: str | os.PathLike[str] | ModelSpec | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    precision: str = "int8",
    layout: str = "slots",
    adapter: str | os.PathLike[str] | None = None,
    name: str | None = None,
    verify: bool = True,
    overwrite: bool = False,
    companion: Companion | None = None,
    suffix: str = "",
    reporter: Reporter | None = None,
    offline: bool = False,
) -> ExportReport:
    """Export a model, optionally with an adapter merged into it, as a bundle.

    The bundle appears at ``output`` complete and verified, or not at all.

    Args:
        model: None for the default model; a ``.gguf`` file, Hugging Face directory or training run;
            ``hf:owner/name``.
        output: the directory to write; by default ``exported/<model>-<precision>`` or similar in the
            current directory.
        precision: ``fp32``, ``fp16`` (for CUDA and WebGPU), ``int8`` or ``int4``; several, separated by commas,
            for a portable bundle with a graph of each, of which the first is used by default.
        layout: ``slots`` for nlpsuite's runtime, ``portable`` for other apps (onnxruntime-genai,
            transformers.js, optimum).
        adapter: a file written by ``nlpsuite train adapter``, or a LoRA directory written by peft.
        name: display name in the manifest; by default the model's own.
        verify: compare the graph with torch; needs ``nlpsuite[train]``.
        overwrite: replace a bundle at ``output``.
        companion: adds files to the bundle.
        suffix: of the default directory's name, in place of the adapter's.
        reporter: receives progress.
        offline: download nothing.

    Raises:
        OptionError: no such precision or layout; ``model`` is already a bundle; ``output`` exists.
        ModelNotFoundError: ``model`` or ``adapter`` names nothing.
        ModelUnavailableError: the model can't be downloaded or read.
        AdapterMismatchError: the adapter was trained on another base.
        UnsupportedModelError: a model or an adapter that can't be exported this way.
        BundleCorruptError: the model or the adapter is damaged.
        StorageError: ``output`` can't be written, or the disk is full.
        MissingExtraError: torch is needed and not installed.
        VerificationError: the graph does not compute what the model computes; nothing is written.
    """
    started = time.monotonic()
    precisions = split_precisions(precision)
    if layout not in get_args(Layout):
        raise OptionError(f"Unknown layout {layout!r}.", hint=f"Choose from: {', '.join(get_args(Layout))}.")
    if len(precisions) > 1 and layout != "portable":
        raise OptionError(
            "Only a portable bundle can have several precisions.", hint="Add --layout portable."
        )
    first, *variants = precisions
    spec = resolve_spec(model, offline=offline)
    from nlpsuite.export.build import build_bundle
    from nlpsuite.export.verify import require_torch
    from nlpsuite.models.adapter import Adapter

    if verify:
        require_torch()
    opened = Adapter.open(Path(os.path.expanduser(adapter))) if adapter is not None else None
    target = (
        Path(os.path.expanduser(output))
        if output
        else _default(spec, opened.label if opened and not suffix else suffix, "-".join(precisions), layout)
    )
    _check_target(target, overwrite)
    # Absolute, so that the parent of "." is a directory to write into.
    target = Path(os.path.abspath(target))
    reporter = reporter or Silent()
    try:
        with open_model(
            spec, target.parent, reporter, precision=first, adapter=opened, keep=True
        ) as checkpoint:
            size = sum(int(checkpoint.config.parameter_count() * WEIGHT_BYTES[each]) for each in precisions)
            reporter.stage(f"Exporting {name or checkpoint.name} ({layout}, {', '.join(precisions)})", size)
            build_bundle(
                checkpoint,
                target,
                precision=cast("Precision", first),
                layout=cast(Layout, layout),
                variants=cast("list[Precision]", variants),
                name=name,
                source=spec.origin,
                check=_check(checkpoint, layout, reporter) if verify else None,
                companion=companion,
                replace=overwrite,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
    finally:
        reporter.close()
    return ExportReport(Bundle.open(target), time.monotonic() - started)


def split_precisions(text: str) -> list[str]:
    """The precisions in a list separated by commas, each once. Raises OptionError for an unknown one."""
    found = list(dict.fromkeys(each.strip() for each in text.split(",")))
    for each in found:
        check_precision(each)
    return found


def _check(checkpoint: Checkpoint, layout: str, reporter: Reporter) -> Check:
    """The comparison with torch that runs before the bundle gets its name."""
    from nlpsuite.export.verify import verify

    def check(building: Path, graph: Path, precision: Precision) -> dict[str, object]:
        reporter.stage(f"Comparing the {precision} graph with torch", None)
        return verify(
            checkpoint,
            building,
            graph,
            layout=cast(Layout, layout),
            precision=precision,
        )

    return check


def _default(spec: ModelSpec, suffix: str, precision: str, layout: str) -> Path:
    tidy = re.sub(r"[^a-z0-9]+", "-", suffix.lower()).strip("-")
    parts = [spec.slug, tidy, "portable" if layout == "portable" else "", precision]
    return Path("exported") / "-".join(part for part in parts if part)


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse, before any work, to overwrite anything but a bundle."""
    if not target.exists() and not target.is_symlink():
        return
    replaceable = target.is_dir() and not target.is_symlink()
    replaceable = replaceable and ((target / MANIFEST).is_file() or not any(target.iterdir()))
    if not replaceable:
        raise OptionError(
            f"{target} exists already and is not a bundle.", hint="Name another directory with -o."
        )
    if not overwrite:
        raise OptionError(
            f"{target} exists already.",
            hint="Replace it with --overwrite, or name another directory with -o.",
        )
