"""A base becomes a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpsuite import __version__
from nlpsuite.errors import MissingExtraError
from nlpsuite.export.fill import Precision, fill_template
from nlpsuite.export.template import template_for
from nlpsuite.files import atomic_directory, sha256_file
from nlpsuite.models.adapter import MergedCheckpoint
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.bundle import FORMAT, FORMAT_VERSION, MANIFEST

__all__ = ["build_bundle"]

_GRAPH = "onnx/slots.onnx"


def build_bundle(
    checkpoint: Checkpoint,
    target: Path,
    *,
    precision: Precision = "int8",
    name: str | None = None,
    source: str = "",
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Path:
    """Write a bundle at ``target``, complete or not at all.

    A model whose shape has a shipped template needs no torch; others are exported afresh.

    Args:
        source: where the checkpoint came from, for the manifest.
        on_progress: called with the fraction of tensors done.

    Raises:
        MissingExtraError: an export is needed and torch is not installed.
        StorageError: the target can't be written or the disk is full.
        UnsupportedModelError: the checkpoint does not fit.
    """
    template = template_for(checkpoint.config) or _export(checkpoint)
    tokenizer_files = checkpoint.tokenizer_files()
    with atomic_directory(target) as building:
        (building / "onnx").mkdir()
        fill_template(template, checkpoint, precision, building / _GRAPH, on_progress)
        for file_name, text in tokenizer_files.items():
            (building / file_name).write_text(text, encoding="utf-8")
        (building / "config.json").write_text(_json(checkpoint.config.to_hf()), encoding="utf-8")
        generation = json.loads(tokenizer_files["generation_config.json"])
        end_ids = generation["eos_token_id"]
        manifest = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": name or checkpoint.name,
            "created_by": f"nlpsuite {__version__}",
            "context_length": checkpoint.config.context_length,
            "end_token_ids": end_ids,
            "graphs": [{"layout": "slots", "precision": precision, "path": _GRAPH}],
            "licence": checkpoint.licence,
            "adapter": checkpoint.adapter.manifest() if isinstance(checkpoint, MergedCheckpoint) else None,
            "origin": {
                "source": source,
                "files": [{"name": p.name, "sha256": sha256_file(p)} for p in checkpoint.source_files()],
            },
            "files": {
                path.relative_to(building).as_posix(): {
                    "sha256": sha256_file(path),
                    "bytes": path.stat().st_size,
                }
                for path in sorted(building.rglob("*"))
                if path.is_file()
            },
        }
        (building / MANIFEST).write_text(_json(manifest), encoding="utf-8")
    return target


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _export(checkpoint: Checkpoint) -> Any:
    try:
        from nlpsuite.export.graph import export_template
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"No ready-made graph fits {checkpoint.name!r}; exporting one needs {error.name}.",
            hint="Install the extra: pip install 'nlpsuite[train]'.",
        ) from None
    return export_template(checkpoint.config)
