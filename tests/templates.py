"""Graph templates that are exported once and saved: torch takes seconds for each, and many tests need the same."""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest

from nlpsuite.export import build
from nlpsuite.files import atomic_write_bytes

ROOT = Path(__file__).parent.parent
directory: Path | None = None
"""Where they are saved; set by a fixture of the whole session."""

_export = build._export

needs_torch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "onnxscript")),
    reason="needs nlpsuite[train]",
)


def saved_template(config: Any, layout: Any = "slots", dtype: Any = "fp32") -> onnx.ModelProto:
    """What ``export_template`` gives, from an earlier run if the code hasn't changed since.

    Tests of the exporter itself call ``export_template``.
    """
    with warnings.catch_warnings():  # torch's and the exporter's own, at import and while tracing
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        from nlpsuite.export.graph import export_template

        assert directory is not None
        key = repr((type(config).__name__, config, layout, dtype, torch.__version__, source_digest()))
        file = directory / f"template-{hashlib.sha256(key.encode()).hexdigest()[:20]}.onnx"
        if not file.is_file():
            atomic_write_bytes(file, export_template(config, layout, dtype).SerializeToString())
    return onnx.load_model_from_string(file.read_bytes())


def export_saved(checkpoint: Any, layout: Any, dtype: Any) -> Any:
    """In place of ``build._export``, unless a test has replaced or blocked the exporter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nlpsuite.export import graph
    except ModuleNotFoundError:
        return _export(checkpoint, layout, dtype)
    if graph.export_template.__module__ != graph.__name__:
        return _export(checkpoint, layout, dtype)
    return saved_template(checkpoint.config, layout, dtype)


@cache
def source_digest() -> str:
    """Of the code that exports, so that nothing outdated is used."""
    digest = hashlib.sha256()
    for package in ("export", "models"):
        for file in sorted((ROOT / "nlpsuite" / package).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
