"""A Llama checkpoint in a GGUF file, seen under its Hugging Face names.

llama.cpp's converter renames the tensors and reorders the rows of the query and key
projections: rotary embedding there turns neighbouring rows (0, 1), (2, 3), …, while Hugging
Face turns row i of a head with row i + d/2. Both are undone here.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint import RawTensor, check_tensors
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.gguf import UNQUANTIZED, GGUFFile
from nlpsuite.models.gguf_tokenizer import tokenizer_files

__all__ = ["GGUFCheckpoint"]

_T = TypeVar("_T", np.float32, np.uint8)

_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_LAYER = re.compile(r"blk\.(0|[1-9][0-9]{0,5})\.([a-z_]+)\.weight")


class GGUFCheckpoint:
    """A GGUF file of the architecture ``llama``; see ``Checkpoint``.

    Raises:
        UnsupportedModelError: another architecture, scaled rotary embedding, unknown tensors.
        BundleCorruptError: damaged, or a tensor is missing or has the wrong shape.
    """

    def __init__(self, path: Path) -> None:
        self._file = GGUFFile.open(path)
        metadata = self._file.metadata
        self.name = _text(metadata, "general.name") or path.stem
        self.licence = _text(metadata, "general.license")
        self.config = _config(self._file)
        # Hugging Face name -> GGUF name
        self._sources = {_hf_name(path, name): name for name in self._file.tensors}
        self._names = check_tensors(path, self.config, self._shape)
        if unused := self._sources.keys() - set(self._names):
            raise UnsupportedModelError(f"{path}: tensor {min(unused)} belongs to no layer of the model.")

    def tensor_names(self) -> list[str]:
        return list(self._names)

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        return self._restore_rows(name, self._file.tensor(self._source(name)))

    def quantized(self, name: str) -> RawTensor | None:
        source = self._source(name)
        info = self._file.tensors[source]
        if info.type in UNQUANTIZED or len(info.shape) != 2:
            return None
        return RawTensor(info.type, self._restore_rows(name, self._file.rows(source)))

    def tokenizer_files(self) -> dict[str, str]:
        count = len(self._file.metadata.get("tokenizer.ggml.tokens") or ())
        if count > self.config.vocab_size:
            raise BundleCorruptError(
                f"{self._file.path} has {count} tokens but embeddings for {self.config.vocab_size}."
            )
        return tokenizer_files(self._file.metadata)

    def source_files(self) -> list[Path]:
        return [self._file.path]

    def _source(self, name: str) -> str:
        """The name in the file."""
        if name not in self._sources:
            raise BundleCorruptError(f"{self._file.path} has no tensor {name}.")
        return self._sources[name]

    def _restore_rows(self, name: str, rows: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """A matrix's rows, weights or whole blocks, in the order of Hugging Face checkpoints."""
        if name.endswith("q_proj.weight"):
            return _restore_rotary(rows, self.config.num_attention_heads)
        if name.endswith("k_proj.weight"):
            return _restore_rotary(rows, self.config.num_key_value_heads)
        return rows

    def _shape(self, name: str) -> tuple[int, ...] | None:
        source = self._sources.get(name)
        return None if source is None else self._file.tensors[source].shape


def _restore_rotary(rows: npt.NDArray[_T], heads: int) -> npt.NDArray[_T]:
    """Undo the converter's order of rows; (heads * d, anything) -> the same shape.

    Row 2i + h of a head goes back to row h * d/2 + i.
    """
    outputs, inputs = rows.shape
    pairs = rows.reshape(heads, outputs // heads // 2, 2, inputs)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(outputs, inputs)


def _hf_name(path: Path, name: str) -> str:
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    match = _LAYER.fullmatch(name)
    if match and match[2] in _LAYER_NAMES:
        return f"model.layers.{match[1]}.{_LAYER_NAMES[match[2]]}.weight"
    if name.startswith("rope_"):
        raise UnsupportedModelError(
            f"{path}: scaled rotary embedding ({name}) is not supported.",
            hint="Llama 3.1 and later use it; choose a model without, such as SmolLM2 or TinyLlama.",
        )
    raise UnsupportedModelError(
        f"{path}: tensor {name} is not part of a plain Llama model (biases, experts and the like)."
    )


def _config(file: GGUFFile) -> DecoderConfig:
    metadata = file.metadata
    architecture = metadata.get("general.architecture")
    if architecture != "llama":
        raise UnsupportedModelError(
            f"{file.path}: architecture {architecture!r} is not supported.",
            hint="Supported: 'llama' (Llama, SmolLM2, TinyLlama).",
        )
    _refuse_extras(file)
    heads = _integer(file, "llama.attention.head_count")
    hidden = _integer(file, "llama.embedding_length")
    head_dim = _integer(file, "llama.attention.key_length", hidden // heads)
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        if _integer(file, key, head_dim) != head_dim or head_dim % 2:
            raise UnsupportedModelError(
                f"{file.path}: {key} is {metadata.get(key)}, the head dimension {head_dim}: "
                "they must be equal, and even."
            )
    embedding = file.tensors.get("token_embd.weight")
    return DecoderConfig(
        vocab_size=_integer(file, "llama.vocab_size", embedding.shape[0] if embedding else None),
        hidden_size=hidden,
        intermediate_size=_integer(file, "llama.feed_forward_length"),
        num_hidden_layers=_integer(file, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_integer(file, "llama.attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position_embeddings=_integer(file, "llama.context_length"),
        rope_theta=_decimal(file, "llama.rope.freq_base", 10_000.0),
        rms_norm_eps=_decimal(file, "llama.attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
    )


def _refuse_extras(file: GGUFFile) -> None:
    """Refuse settings that would change the arithmetic."""
    metadata = file.metadata
    for key, value in metadata.items():
        if key == "llama.rope.scaling.type":
            neutral = value == "none"
        elif key == "llama.rope.scaling.finetuned":
            neutral = True  # tells how the model was trained, not how to run it
        elif key.startswith("llama.rope.scaling.") or key == "llama.rope.scale_linear":
            # A type of none makes the other settings idle.
            neutral = value in (0, 1) or metadata.get("llama.rope.scaling.type") == "none"
        elif key in ("llama.expert_count", "llama.expert_used_count"):
            neutral = value == 0
        elif key == "llama.attention.causal":
            neutral = value is True
        else:
            continue
        if not neutral:
            raise UnsupportedModelError(f"{file.path}: {key} = {value!r} is not supported.")


def _integer(file: GGUFFile, key: str, default: int | None = None) -> int:
    value = file.metadata.get(key, default)
    if type(value) is not int or not 0 < value < 1 << 31:
        what = "is missing" if value is None else f"is {value!r}, must be a positive integer"
        raise UnsupportedModelError(f"{file.path}: {key} {what}.")
    return value


def _decimal(file: GGUFFile, key: str, default: float | None = None) -> float:
    value = file.metadata.get(key, default)
    if isinstance(value, float):
        # Stored as float32: 9.999999747378752e-06 was written as 1e-5.
        with np.errstate(over="ignore"):
            decimal = float(str(np.float32(value)))
        if 0 < decimal < math.inf:
            return decimal
    raise UnsupportedModelError(f"{file.path}: {key} is {value!r}, must be a positive number.")


def _text(metadata: dict[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None
