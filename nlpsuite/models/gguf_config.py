"""From the metadata of a GGUF file to the configuration of its model.

Every setting of the model's architecture is either read here or refused by name, unless its
value is harmless. Source: the GGUF specification (ggml/docs/gguf.md) and the keys that
llama.cpp's converter writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config import DecoderConfig, GPT2Config, ModelConfig, RopeScaling
from nlpsuite.models.gguf import GGUFFile

__all__ = ["ROPE_FREQS", "gguf_config"]

ROPE_FREQS = "rope_freqs.weight"
"""Not a parameter: what Llama 3.1 and later divide each rotary frequency by."""

# Keys that don't affect the arithmetic of a forward pass, or repeat what the tensors say.
_HARMLESS = frozenset(
    "rope.scaling.finetuned rope.scaling.original_context_length tensor_data_layout".split()
)
# Positive integers: field of the configuration -> key under the architecture.
_GPT2_SIZES = {
    "n_positions": "context_length",
    "n_embd": "embedding_length",
    "n_layer": "block_count",
    "n_head": "attention.head_count",
    "n_inner": "feed_forward_length",
}
_DECODER_SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "max_position_embeddings": "context_length",
}
# Keys that are read in addition to these.
_GPT2_READ = {"vocab_size", "attention.head_count_kv", "attention.layer_norm_epsilon"}
_DECODER_READ = {
    *("vocab_size", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
    *("attention.layer_norm_rms_epsilon", "attention.sliding_window"),
    *("rope.dimension_count", "rope.freq_base"),
}
# Further harmless values, besides 0 and false.
_HARMLESS_VALUES: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (1,),
    "rope.scaling.attn_factor": (1,),
    "rope.scale_linear": (1,),
    "logit_scale": (1,),
}


def gguf_config(file: GGUFFile) -> ModelConfig:
    """The configuration of the model in ``file``.

    Raises:
        UnsupportedModelError: another architecture, or a setting these models lack; names it.
    """
    architecture = file.metadata.get("general.architecture")
    if architecture == "gpt2":
        return _gpt2(file)
    if architecture in ("llama", "qwen2", "qwen3"):
        return _decoder(file, architecture)
    raise UnsupportedModelError(
        f"{file.path}: architecture {architecture!r} is not supported.",
        hint="Supported: 'llama' (Llama, Mistral, SmolLM2), 'qwen2', 'qwen3', 'gpt2'.",
    )


def _gpt2(file: GGUFFile) -> GPT2Config:
    sizes = _sizes(file, "gpt2", _GPT2_SIZES, _GPT2_READ)
    if _integer(file, "gpt2.attention.head_count_kv", sizes["n_head"]) != sizes["n_head"]:
        raise UnsupportedModelError(f"{file.path}: GPT-2 with fewer key-value heads is not supported.")
    return GPT2Config(
        **sizes,
        layer_norm_epsilon=_decimal(file, "gpt2.attention.layer_norm_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
    )


def _decoder(file: GGUFFile, family: str) -> DecoderConfig:
    sizes = _sizes(file, family, _DECODER_SIZES, _DECODER_READ)
    heads = sizes["num_attention_heads"]
    head_dim = _integer(file, f"{family}.attention.key_length", sizes["hidden_size"] // heads)
    for key in (f"{family}.attention.value_length", f"{family}.rope.dimension_count"):
        if _integer(file, key, head_dim) != head_dim or head_dim % 2:
            raise UnsupportedModelError(
                f"{file.path}: {key} is {file.metadata.get(key)}, the head dimension {head_dim}: "
                "they must be equal, and even."
            )
    window = f"{family}.attention.sliding_window"
    if file.metadata.get(window):
        # Up to the window's size attention with and without one are the same.
        sizes["max_position_embeddings"] = min(sizes["max_position_embeddings"], _integer(file, window))
    theta = _decimal(file, f"{family}.rope.freq_base", 10_000.0)
    return DecoderConfig(
        **sizes,
        num_key_value_heads=_integer(file, f"{family}.attention.head_count_kv", heads),
        head_dim=head_dim,
        rope_theta=theta,
        rms_norm_eps=_decimal(file, f"{family}.attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
        rope_scaling=_rope_scaling(file, theta, head_dim) if family == "llama" else None,
        family=family,
    )


def _sizes(file: GGUFFile, architecture: str, keys: Mapping[str, str], also_read: Set[str]) -> dict[str, int]:
    """The configuration's integers, after refusing any setting that isn't read."""
    _refuse_unknown(file, architecture, {*keys.values(), *also_read})
    embedding = file.tensors.get("token_embd.weight")
    vocabulary = _integer(file, f"{architecture}.vocab_size", embedding.shape[0] if embedding else None)
    return {
        "vocab_size": vocabulary,
        **{field: _integer(file, f"{architecture}.{key}") for field, key in keys.items()},
    }


def _rope_scaling(file: GGUFFile, theta: float, head_dim: int) -> RopeScaling | None:
    """The settings behind the divisors that a file stores in place of them."""
    if ROPE_FREQS not in file.tensors:
        return None
    refused = UnsupportedModelError(
        f"{file.path}: {ROPE_FREQS} scales rotary embedding in a different way from Llama 3.",
        hint="Give the model's Hugging Face directory instead.",
    )
    if file.tensors[ROPE_FREQS].shape != (head_dim // 2,):
        raise refused
    stored = file.tensor(ROPE_FREQS)
    largest = float(stored.max())
    if not 1 <= largest < math.inf:  # also where one is NaN
        raise refused
    # All Llama 3 models share these; only the factor differs.
    scaling = RopeScaling(
        largest, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
    )
    expected = [scaling.divisor(theta ** -(i / head_dim)) for i in range(0, head_dim, 2)]
    if not np.allclose(stored, expected, rtol=1e-4, atol=0):
        raise refused
    return scaling if largest > 1 else None


def _refuse_unknown(file: GGUFFile, architecture: str, read: Set[str]) -> None:
    """Refuse by name every setting of the architecture that may change the arithmetic."""
    metadata = file.metadata
    if (parts := metadata.get("split.count", 1)) not in (0, 1):
        raise UnsupportedModelError(
            f"{file.path} is one of {parts} parts of a model.",
            hint="Merge them first: llama-gguf-split --merge FIRST_PART.gguf WHOLE.gguf.",
        )
    prefix = f"{architecture}."
    # With type none the other settings of rotary scaling have no effect.
    unscaled = metadata.get(f"{prefix}rope.scaling.type") == "none"
    for key, value in metadata.items():
        name = key.removeprefix(prefix)
        if name == key or name in read or name in _HARMLESS:
            continue
        if unscaled and name.startswith("rope.scaling."):
            continue
        if value != 0 and value not in _HARMLESS_VALUES.get(name, ()):
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
