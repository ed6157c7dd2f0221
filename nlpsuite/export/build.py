"""Build a bundle from a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from nlpsuite import __version__
from nlpsuite.errors import MissingExtraError
from nlpsuite.export.card import model_card, own_card
from nlpsuite.export.decoder_graph import write_decoder_graph
from nlpsuite.export.fill import Precision, fill_template
from nlpsuite.export.kernels import decoder_kernels, exactness_graph
from nlpsuite.export.portable import GRAPH_FILES, portable_files
from nlpsuite.export.template import DType, Layout, probe_text, template_for
from nlpsuite.files import atomic_directory, sha256_file
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.merged import MergedCheckpoint
from nlpsuite.runtime.bundle import EXACTNESS_GRAPH, FORMAT, FORMAT_VERSION, MANIFEST, Bundle
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["Check", "Companion", "build_bundle"]

# Called with the unfinished bundle, a graph of it and its precision; returns the manifest's entry, or raises.
Check = Callable[[Path, Path, Precision], dict[str, Any]]


class Companion(Protocol):
    """Adds files to a bundle."""

    def check(self, draft: Bundle) -> None:
        """Raise, before the graph is written, if the files can't be made.

        Args:
            draft: has the tokenizer's files, but no graph yet.
        """

    def files(self, bundle: Bundle) -> Mapping[str, str]:
        """Name to text of the files for a bundle that is complete otherwise."""


def build_bundle(
    checkpoint: Checkpoint,
    target: Path,
    *,
    precision: Precision = "int8",
    layout: Layout = "slots",
    variants: Sequence[Precision] = (),
    name: str | None = None,
    source: str = "",
    check: Check | None = None,
    companion: Companion | None = None,
    replace: bool = False,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Path:
    """Write a bundle at ``target`` atomically.

    The slots graph of a decoder needs no torch, nor does a model with a shipped template; others are exported
    with it.

    Args:
        variants: further precisions, each with a portable graph of its own.
        source: of the checkpoint, for the manifest.
        check: called for each graph before the bundle is renamed to ``target``; see ``verify.verify``. What it
            returns for the first is recorded.
        companion: adds files to the bundle.
        replace: replace a bundle at ``target``.
        on_progress: called with the completed fraction of the tensors of all graphs.

    Raises:
        MissingExtraError: an export is needed and torch is not installed.
        StorageError: the target can't be written or the disk is full.
        UnsupportedModelError: the checkpoint doesn't fit the graph.
        BundleCorruptError: a weight is not finite, or a file differs from what was written.
    """
    assert not variants or layout == "portable", "a slots graph has a file of its own"
    precisions = list(dict.fromkeys((precision, *variants)))
    graph_files = ["onnx/slots.onnx"] if layout == "slots" else [GRAPH_FILES[each] for each in precisions]
    texts = checkpoint.tokenizer_files()
    end_ids = json.loads(texts["generation_config.json"])["eos_token_id"]
    if layout == "slots":
        texts["config.json"] = _json(checkpoint.config.to_hf())
    else:
        texts = portable_files(checkpoint.config, texts, graph_files)
    with atomic_directory(target, replace=replace) as building:
        (building / "onnx").mkdir()
        for file_name, text in texts.items():
            (building / file_name).write_text(text, encoding="utf-8", newline="")
        merged = checkpoint if isinstance(checkpoint, MergedCheckpoint) else None
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": name or checkpoint.name,
            "created_by": f"nlpsuite {__version__}",
            "parameters": checkpoint.config.parameter_count(),
            "context_length": checkpoint.config.context_length,
            "end_token_ids": end_ids,
            "graphs": [],
            "license": checkpoint.license,
            "adapter": merged.adapter.manifest() if merged else None,
            "origin": {"source": source, "files": [_origin(path) for path in checkpoint.source_files()]},
        }
        if checkpoint.revision:
            manifest["origin"]["revision"] = checkpoint.revision
        if merged:
            manifest["origin"]["adapter"] = {
                "name": merged.adapter.path.name,
                "sha256": merged.adapter.sha256,
                "base_fingerprint": merged.adapter.info.base_fingerprint,
            }
        if companion is not None:
            companion.check(_write_manifest(building, manifest))
        for number, (each, file) in enumerate(zip(precisions, graph_files)):

            def advanced(fraction: float, number: int = number) -> None:
                on_progress((number + fraction) / len(precisions))

            kernels = _write_graph(checkpoint, each, layout, building, building / file, advanced)
            manifest["graphs"].append({"layout": layout, "precision": each, "path": file, "kernels": kernels})
            if check is not None:
                manifest.setdefault("verification", check(building, building / file, each))
        card = model_card(manifest, own=own_card(checkpoint), weights=checkpoint.config.parameter_count())
        (building / "README.md").write_text(card, encoding="utf-8", newline="")
        bundle = _write_manifest(building, manifest)  # fails here rather than for a reader
        if companion is not None:
            for file_name, text in companion.files(bundle).items():
                (building / file_name).write_text(text, encoding="utf-8", newline="")
            bundle = _write_manifest(building, manifest)
        if check is not None:
            bundle.verify()
    return target


def _write_manifest(directory: Path, manifest: dict[str, Any]) -> Bundle:
    """Write the manifest of the files that are there; ``manifest`` gets their entry too."""
    manifest["files"] = {
        path.relative_to(directory).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST
    }
    (directory / MANIFEST).write_text(_json(manifest), encoding="utf-8", newline="")
    return Bundle.open(directory)


def _write_graph(
    checkpoint: Checkpoint,
    precision: Precision,
    layout: Layout,
    directory: Path,
    path: Path,
    on_progress: Callable[[float], None],
) -> str:
    """Write the graph; returns the kernels it is made for, empty where any machine's do."""
    if layout == "slots" and isinstance(checkpoint.config, DecoderConfig):
        kernels = decoder_kernels(precision)
        probe = Tokenizer.open(directory).encode_text(probe_text()) if precision == "int8" else ()
        write_decoder_graph(checkpoint, kernels, path, probe=probe, on_progress=on_progress)
        if kernels not in ("int8-signed", "int8-unsigned"):
            return ""
        (directory / EXACTNESS_GRAPH).write_bytes(exactness_graph(signed=kernels == "int8-signed"))
        return kernels
    dtype: DType = "fp16" if precision == "fp16" else "fp32"
    template = template_for(checkpoint.config, layout, dtype) or _export(checkpoint, layout, dtype)
    fill_template(template, checkpoint, precision, path, on_progress, layout=layout)
    return ""


def _origin(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": sha256_file(path)}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _export(checkpoint: Checkpoint, layout: Layout, dtype: DType) -> Any:
    try:
        from nlpsuite.export.graph import export_template
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"No shipped graph fits {checkpoint.name!r}; exporting one needs {error.name}.",
            hint="Install the extra: pip install 'nlpsuite[train]'.",
        ) from None
    return export_template(checkpoint.config, layout, dtype)
