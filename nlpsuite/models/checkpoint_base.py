"""What every checkpoint offers, whatever its file format.

Tensor names are those of Hugging Face checkpoints; ``ModelConfig.parameter_shapes`` lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError
from nlpsuite.models.config import ModelConfig

__all__ = ["Checkpoint", "RawTensor", "check_tensors"]


class RawTensor(NamedTuple):
    """A matrix as its file stores it, in blocks of quantised weights.

    Attributes:
        type: ggml's name of the storage type, such as ``Q4_1`` or ``Q8_0``.
        blocks: (rows, bytes per row) uint8; a row holds its blocks in sequence.
    """

    type: str
    blocks: npt.NDArray[np.uint8]


class Checkpoint(ABC):
    """Weights, configuration and tokenizer of a base model.

    Attributes:
        name: display name.
        license: the license as the model states it, or None.
        config: the shape of the model.
        revision: the commit of the hub that the files are of; empty if they come from elsewhere.
    """

    name: str
    license: str | None
    config: ModelConfig
    revision: str = ""

    def tensor_names(self) -> list[str]:
        """The names of ``config.parameter_shapes()``, in that order."""
        return [name for name, _ in self.config.parameter_shapes()]

    @abstractmethod
    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """A parameter in float32, of the shape ``config.parameter_shapes()`` gives.

        Raises:
            BundleCorruptError: no such tensor.
            UnsupportedModelError: it is stored in a way that can't be read.
        """

    def rows(self, name: str, which: slice | npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Some rows of ``tensor(name)``, in memory for these alone where the file allows it.

        Raises:
            BundleCorruptError, UnsupportedModelError: as ``tensor``.
        """
        return self.tensor(name)[which]

    @abstractmethod
    def quantized(self, name: str) -> RawTensor | None:
        """The blocks that ``tensor`` would dequantise, rows in the same order; None if it isn't
        a quantised matrix.

        Raises:
            BundleCorruptError: no such tensor.
        """

    @abstractmethod
    def tokenizer_files(self) -> dict[str, str]:
        """File name -> text of ``tokenizer.json``, ``tokenizer_config.json``,
        ``generation_config.json`` and, if there is one, ``chat_template.jinja``.

        Raises:
            UnsupportedModelError: the tokenizer is missing or unsupported.
            BundleCorruptError: its parts don't fit together.
        """

    @abstractmethod
    def source_files(self) -> list[Path]:
        """The files that hold the weights, sorted; their sha256 sums identify the weights."""


def check_tensors(path: Path, config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that ``shapes``, those of the stored tensors, have every parameter with its right shape.

    Raises:
        BundleCorruptError: a tensor is missing or has another shape; names the first.
    """
    # Stops at the first gap: a config with a billion layers costs nothing.
    for name, expected in config.parameter_shapes():
        if name not in shapes:
            raise BundleCorruptError(
                f"{path}: tensor {name} is missing.", hint="The model is incomplete: download it again."
            )
        if shapes[name] != expected:
            raise BundleCorruptError(
                f"{path}: tensor {name} has shape {list(shapes[name])}; its configuration demands {list(expected)}.",
                hint="Weights and configuration belong to different models: download them again.",
            )
