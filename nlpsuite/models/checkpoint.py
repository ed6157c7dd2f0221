"""What every checkpoint offers, whatever its file format, and how to open one.

Tensor names are those of Hugging Face checkpoints; ``ModelConfig.parameter_shapes`` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    UnsupportedModelError,
)
from nlpsuite.models.config import ModelConfig

__all__ = ["Checkpoint", "RawTensor", "check_tensors", "open_checkpoint"]


class RawTensor(NamedTuple):
    """A matrix as its file stores it, in blocks of quantised weights.

    Attributes:
        type: ggml's name of the storage type, such as ``Q4_1`` or ``Q8_0``.
        blocks: (rows, bytes per row) uint8; a row holds its blocks one after the other.
    """

    type: str
    blocks: npt.NDArray[np.uint8]


class Checkpoint(Protocol):
    """Weights, configuration and tokenizer of a base model.

    Attributes:
        name: a name for people.
        license: the license as the model states it, or None.
    """

    name: str
    license: str | None

    @property
    def config(self) -> ModelConfig:
        """The shape of the model."""

    def tensor_names(self) -> list[str]:
        """The names of ``config.parameter_shapes()``, in that order."""

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """A parameter in float32, of the shape ``config.parameter_shapes()`` gives.

        Raises:
            BundleCorruptError: no such tensor.
            UnsupportedModelError: it is stored in a way that can't be read.
        """

    def quantized(self, name: str) -> RawTensor | None:
        """The blocks that ``tensor`` would dequantise, rows in the same order; None if it is no
        quantised matrix.

        Raises:
            BundleCorruptError: no such tensor.
        """

    def tokenizer_files(self) -> dict[str, str]:
        """File name -> text of ``tokenizer.json``, ``tokenizer_config.json``,
        ``generation_config.json`` and, if there is one, ``chat_template.jinja``.

        Raises:
            UnsupportedModelError: the tokenizer is missing or of a kind that can't be used.
            BundleCorruptError: its parts don't fit together.
        """

    def source_files(self) -> list[Path]:
        """The files that hold the weights, sorted; their sha256 sums identify the weights."""


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a ``.gguf`` file, a Hugging Face directory with safetensors weights, or a training run's directory.

    A run's directory keeps the model it made in ``model/``, and gives it its name.
    Reads headers only; every tensor the configuration demands is checked for its shape.

    Raises:
        ModelNotFoundError: there is nothing at ``path``.
        ModelUnavailableError: it can't be read.
        UnsupportedModelError: another format, architecture or storage type.
        BundleCorruptError: damaged, incomplete or inconsistent.
    """
    # Here, because both modules build on this one.
    from nlpsuite.models.checkpoint_gguf import GGUFCheckpoint
    from nlpsuite.models.checkpoint_hf import SafetensorsCheckpoint

    try:
        if path.is_dir():
            if not (path / "config.json").exists() and (path / "model" / "config.json").is_file():
                trained = SafetensorsCheckpoint(path / "model")
                trained.name = path.resolve().name
                return trained
            return SafetensorsCheckpoint(path)
        if not path.exists():
            raise ModelNotFoundError(f"No model at {path}.", hint="Name a .gguf file or a model directory.")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    if magic == b"GGUF" or path.suffix.lower() == ".gguf":
        return GGUFCheckpoint(path)
    raise UnsupportedModelError(f"{path} is not a model file that can be read.", hint=_file_hint(path))


def _file_hint(path: Path) -> str:
    if path.suffix.lower() == ".safetensors":
        return "Name the directory instead: config.json and tokenizer.json are needed too."
    if path.suffix.lower() in (".bin", ".pt", ".pth", ".pkl", ".ckpt"):
        return "Pickled weights can run code and are never opened: convert them to safetensors."
    return "Name a .gguf file or a directory with config.json, tokenizer.json and model.safetensors."


def check_tensors(
    path: Path, config: ModelConfig, shape_of: Callable[[str], tuple[int, ...] | None]
) -> list[str]:
    """The names of all parameters, after checking that ``shape_of`` knows each with its right shape.

    Raises:
        BundleCorruptError: a tensor is missing or has another shape; names the first.
    """
    names = []
    # Stops at the first gap: a config that claims a billion layers costs nothing.
    for name, expected in config.parameter_shapes():
        shape = shape_of(name)
        if shape is None:
            raise BundleCorruptError(
                f"{path}: tensor {name} is missing.", hint="The model is incomplete: download it again."
            )
        if shape != expected:
            raise BundleCorruptError(
                f"{path}: tensor {name} has shape {list(shape)}; its configuration demands {list(expected)}.",
                hint="Weights and configuration are of different models: download them again.",
            )
        names.append(name)
    return names
