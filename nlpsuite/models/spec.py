"""What a model is built from (``ModelSpec``), and how a fetch or a build reports its progress.

Every start passes through here, so nothing heavy is imported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nlpsuite.errors import ModelUnavailableError, StorageError
from nlpsuite.files import TEMPORARY

__all__ = [
    "ModelSource",
    "ModelSpec",
    "Reporter",
    "Silent",
    "check_space",
    "fetching_disabled",
    "model_directory",
]


class Reporter(Protocol):
    """Receives the progress of a fetch or a build. Never called when the bundle is already cached."""

    def stage(self, text: str, total: int | None) -> None:
        """A stage starts; ``total`` in bytes, None if unknown."""

    def advance(self, done: int) -> None:
        """``done`` bytes of the current stage are complete."""

    def close(self) -> None:
        """Fetching and building have ended, successfully or not."""


class Silent:
    """A reporter that discards everything."""

    def stage(self, text: str, total: int | None) -> None:
        pass

    def advance(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class ModelSpec:
    """A base model: how to recognise it, and how to get its checkpoint when one is needed.

    Attributes:
        label: short name, used in directory names.
        key: changes whenever the weights do.
        origin: source, as recorded in the bundle's manifest.
        obtain: ``obtain(directory, reporter)`` returns the path of the ``.gguf`` file or checkpoint
            directory, downloading into ``directory`` if necessary.
        name: display name; None uses the checkpoint's own.
        parameters: number of weights if known in advance, so that a full disk is noticed before a download.
    """

    label: str
    key: str
    origin: str
    obtain: Callable[[Path, Reporter], Path]
    name: str | None = None
    parameters: int = 0

    @property
    def slug(self) -> str:
        """The label in a form that is safe in a directory name."""
        return re.sub(r"[^a-z0-9.]+", "-", self.label.lower())[:60].strip("-.") or "model"


class ModelSource(Protocol):
    """Resolves ``scheme:rest``; the hook ``nlpsuite_source`` returns one."""

    def __call__(self, rest: str, /, *, offline: bool) -> ModelSpec:
        """The spec of ``scheme:rest``. Called on every start, so it must be quick: downloading is left to
        ``ModelSpec.obtain``.

        Args:
            rest: the text after ``scheme:``.
            offline: ``obtain`` must not download anything.

        Raises:
            ModelNotFoundError: no model has that name.
        """


def fetching_disabled() -> bool:
    """Whether NLPSUITE_OFFLINE or HF_HUB_OFFLINE forbids downloads."""
    values = (os.environ.get(name, "") for name in ("NLPSUITE_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in values)


def check_space(directory: Path, needed: int, name: str) -> None:
    """Raise StorageError if the disk of ``directory`` has fewer than ``needed`` free bytes."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        directory = directory.parent if directory.name.startswith(TEMPORARY) else directory
        raise StorageError(
            f"Preparing {name} needs {needed / 1e6:,.0f} MB in {directory}; {free / 1e6:,.0f} MB are free.",
            hint="Free some space, or choose a directory on a larger disk: NLPSUITE_CACHE for the model "
            "cache, -o for an export.",
        )


def model_directory(path: Path) -> Path:
    """The directory that holds the model: ``path`` itself or, for a training run, its ``model``.

    Raises:
        ModelUnavailableError: the run hasn't finished, or it is an adapter's.
    """
    if not (path / "config.json").exists() and (path / "model" / "config.json").is_file():
        return path / "model"
    if (path / "config.json").exists() or not (path / "run.json").is_file():
        return path
    adapter = path / "adapter.safetensors"
    if adapter.is_file():
        raise ModelUnavailableError(
            f"{path} is the training run of an adapter, not of a model.",
            hint=f"Name the model that it was trained on, and --adapter {adapter}.",
        )
    try:
        kind = str(json.loads((path / "run.json").read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, LookupError, TypeError):
        kind = "lm"
    raise ModelUnavailableError(
        f"The training run {path} hasn't finished, so it has no model yet.",
        hint=f"To continue it: nlpsuite train {kind} --resume -o {path}",
    )
