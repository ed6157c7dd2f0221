"""A checkpoint in a GGUF file, seen under its Hugging Face names.

llama.cpp's converter renames the tensors and, of the architecture ``llama`` and those derived from it, reorders
the rows of the query and key projections: rotary embedding there turns neighbouring rows (0, 1), (2, 3), …, while
Hugging Face turns row i of a head with row i + d/2. It adds 1 to Gemma's norms, which the model would do, and sorts
the rows of GPT-NeoX's queries, keys and values by kind instead of by head. All of this is undone here. GPT-2's matrices
are stored as (outputs, inputs) already.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint_base import Checkpoint, RawTensor, check_tensors
from nlpsuite.models.config import DecoderConfig, GPTNeoXConfig, ModelConfig
from nlpsuite.models.gguf import UNQUANTIZED, GGUFFile, Rows, TensorInfo
from nlpsuite.models.gguf_config import READ_BY_CONFIG, gguf_config
from nlpsuite.models.gguf_tokenizer import tokenizer_files

__all__ = ["GGUFCheckpoint", "restore_rows"]

_T = TypeVar("_T", np.float32, np.uint8)

_PERMUTED = ("llama", "smollm3", "granite")


class _Part(NamedTuple):
    """The rows of a stored tensor that are a parameter."""

    info: TensorInfo
    rows: slice

    @property
    def shape(self) -> tuple[int, ...]:
        first, *rest = self.info.shape
        return (len(range(first)[self.rows]), *rest)


class GGUFCheckpoint(Checkpoint):
    """A GGUF file of one of ``gguf_config.ARCHITECTURES``; see ``Checkpoint``.

    Raises:
        UnsupportedModelError: another architecture, or settings or tensors these models lack.
        BundleCorruptError: damaged, or a tensor is missing or has the wrong shape.
    """

    def __init__(self, path: Path) -> None:
        self._file = GGUFFile.open(path)
        metadata = self._file.metadata
        self.name = _text(metadata, "general.name") or path.stem
        self.license = _text(metadata, "general.license")
        self.config = gguf_config(self._file)
        self._tensors = _tensors(self._file, self.config)
        # Surplus tensors say more than missing ones: a mixture of experts has both.
        known = {part.info.name for part in self._tensors.values()}
        known |= READ_BY_CONFIG.get(metadata["general.architecture"], set())
        if unknown := self._file.tensors.keys() - known:
            raise UnsupportedModelError(
                f"{path}: tensor {min(unknown)} is not part of a plain {metadata['general.architecture']} "
                "model (biases, experts and the like).",
                hint="Choose another model, or give its Hugging Face directory instead.",
            )
        check_tensors(path, self.config, {name: part.shape for name, part in self._tensors.items()})

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        part = self._part(name)
        values = self._restore_rows(name, self._file.tensor(part.info.name, part.rows))
        offset = self.config.traits.norm_offset if isinstance(self.config, DecoderConfig) else 0.0
        return values - np.float32(offset) if offset and "norm" in name else values

    def rows(self, name: str, which: Rows) -> npt.NDArray[np.float32]:
        part = self._part(name)
        if part.rows != slice(None) or self._reordered(name) or len(part.shape) < 2:
            return self.tensor(name)[which]
        return self._file.tensor(part.info.name, which)

    def quantized(self, name: str) -> RawTensor | None:
        info, rows = self._part(name)
        if info.type in UNQUANTIZED or len(info.shape) != 2:
            return None
        return RawTensor(info.type, self._restore_rows(name, self._file.rows(info.name, rows)))

    def tokenizer_files(self) -> dict[str, str]:
        count = len(self._file.metadata.get("tokenizer.ggml.tokens") or ())
        if count > self.config.vocab_size:
            raise BundleCorruptError(
                f"{self._file.path} has {count} tokens but embeddings for {self.config.vocab_size}."
            )
        return tokenizer_files(self._file.metadata)

    def source_files(self) -> list[Path]:
        return [self._file.path]

    def _part(self, name: str) -> _Part:
        if name not in self._tensors:
            raise BundleCorruptError(f"{self._file.path} has no tensor {name}.")
        return self._tensors[name]

    def _reordered(self, name: str) -> bool:
        """Whether the file has the rows of a matrix in another order."""
        permuted = self._file.metadata["general.architecture"] in _PERMUTED
        return (permuted and name.endswith(("q_proj.weight", "k_proj.weight"))) or ".query_key_value." in name

    def _restore_rows(self, name: str, rows: npt.NDArray[_T]) -> npt.NDArray[_T]:
        return restore_rows(self.config, self._file.metadata["general.architecture"], name, rows)


def restore_rows(config: ModelConfig, architecture: str, name: str, rows: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """A parameter's rows, weights or whole blocks, in the order of Hugging Face checkpoints.

    Args:
        architecture: llama.cpp's name.
        name: of the parameter.
        rows: in the order of llama.cpp's converter.
    """
    if architecture in _PERMUTED and isinstance(config, DecoderConfig):
        if name.endswith("q_proj.weight"):
            return _restore_rotary(rows, config.num_attention_heads)
        if name.endswith("k_proj.weight"):
            return _restore_rotary(rows, config.num_key_value_heads)
    if isinstance(config, GPTNeoXConfig) and ".query_key_value." in name:
        return _restore_by_head(rows, config.num_attention_heads)
    return rows


def _restore_by_head(rows: npt.NDArray[_T], heads: int) -> npt.NDArray[_T]:
    """All queries, all keys, all values -> queries, keys and values of each head in turn."""
    parts = rows.reshape(3, heads, len(rows) // heads // 3, -1)
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(rows.shape)


def _restore_rotary(rows: npt.NDArray[_T], heads: int) -> npt.NDArray[_T]:
    """Undo the converter's order of rows; (heads * d, anything) -> the same shape.

    Row 2i + h of a head goes back to row h * d/2 + i.
    """
    outputs, inputs = rows.shape
    pairs = rows.reshape(heads, outputs // heads // 2, 2, inputs)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(outputs, inputs)


def _tensors(file: GGUFFile, config: ModelConfig) -> dict[str, _Part]:
    """The file's tensors that hold parameters, under these parameters' Hugging Face names."""
    import gguf

    architecture = file.metadata["general.architecture"]
    # A file that claims a billion layers costs nothing. A tensor holds three parameters at most.
    most = 3 * len(file.tensors) + 1
    blocks = min(file.metadata[f"{architecture}.block_count"], most)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], blocks)

    def stored(name: str) -> TensorInfo | None:
        return file.tensors.get(names.get_name(name, try_suffixes=(".weight", ".bias")) or "")

    found = {}
    shapes = dict(itertools.islice(config.parameter_shapes(), most))
    stacks = config.stacked()
    for name in shapes.keys() - {part for parts in stacks.values() for part in parts}:
        if info := stored(name):
            found[name] = _Part(info, slice(None))
    for name, parts in stacks.items():
        rows = [shapes[part][0] for part in parts if part in shapes]
        info = stored(name)
        if info and len(rows) == len(parts) and info.shape[0] == sum(rows):
            starts = itertools.accumulate(rows, initial=0)
            found |= {
                part: _Part(info, slice(start, start + count))
                for part, start, count in zip(parts, starts, rows)
            }
    return found


def _text(metadata: dict[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None
