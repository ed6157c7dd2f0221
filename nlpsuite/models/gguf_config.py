"""From the metadata of a GGUF file to the configuration of its model.

Every setting of the model's architecture is either read here or refused by name, unless its
value is harmless. Source: the GGUF specification (ggml/docs/gguf.md) and the keys that
llama.cpp's converter writes.
"""

from __future__ import annotations

import math
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
    if architecture not in ("llama", "qwen2", "qwen3", "gpt2"):
        raise UnsupportedModelError(
            f"{file.path}: architecture {architecture!r} is not supported.",
            hint="Supported: 'llama' (Llama, Mistral, SmolLM2), 'qwen2', 'qwen3', 'gpt2'.",
        )
    if (parts := file.metadata.get("split.count", 1)) not in (0, 1):
        raise UnsupportedModelError(
            f"{file.path} is one of {parts} parts of a model.",
            hint="Merge them first: llama-gguf-split --merge FIRST_PART.gguf WHOLE.gguf.",
        )
    settings = _Settings(file, architecture)
    config = _gpt2(settings) if architecture == "gpt2" else _decoder(settings, architecture)
    settings.refuse_unread()
    return config


def _gpt2(settings: _Settings) -> GPT2Config:
    heads = settings.integer("attention.head_count")
    if settings.integer("attention.head_count_kv", heads) != heads:
        raise UnsupportedModelError(
            f"{settings.file.path}: GPT-2 with fewer key-value heads is not supported."
        )
    return GPT2Config(
        vocab_size=settings.vocab_size(),
        n_positions=settings.integer("context_length"),
        n_embd=settings.integer("embedding_length"),
        n_layer=settings.integer("block_count"),
        n_head=heads,
        n_inner=settings.integer("feed_forward_length"),
        layer_norm_epsilon=settings.decimal("attention.layer_norm_epsilon"),
        tie_word_embeddings="output.weight" not in settings.file.tensors,
    )


def _decoder(settings: _Settings, family: str) -> DecoderConfig:
    file = settings.file
    heads, hidden = settings.integer("attention.head_count"), settings.integer("embedding_length")
    head_dim = settings.integer("attention.key_length", hidden // heads)
    for name in ("attention.value_length", "rope.dimension_count"):
        if (size := settings.integer(name, head_dim)) != head_dim or head_dim % 2:
            raise UnsupportedModelError(
                f"{file.path}: {family}.{name} is {size}, the head dimension {head_dim}: "
                "they must be equal, and even."
            )
    context = settings.integer("context_length")
    if settings.unread.get("attention.sliding_window"):
        # Up to the window's size attention with and without one are the same.
        context = min(context, settings.integer("attention.sliding_window"))
    theta = settings.decimal("rope.freq_base", 10_000.0)
    return DecoderConfig(
        vocab_size=settings.vocab_size(),
        hidden_size=hidden,
        intermediate_size=settings.integer("feed_forward_length"),
        num_hidden_layers=settings.integer("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=settings.integer("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position_embeddings=context,
        rope_theta=theta,
        rms_norm_eps=settings.decimal("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
        rope_scaling=_rope_scaling(file, theta, head_dim) if family == "llama" else None,
        family=family,
    )


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


class _Settings:
    """The settings of a file's architecture, under their names without its prefix.

    Attributes:
        unread: those that weren't asked for yet.
    """

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.file, self._prefix = file, f"{architecture}."
        self.unread = {
            key.removeprefix(self._prefix): value
            for key, value in file.metadata.items()
            if key.startswith(self._prefix)
        }

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.unread.pop(name, default)
        if type(value) is not int or not 0 < value < 1 << 31:
            what = "is missing" if value is None else f"is {value!r}, must be a positive integer"
            raise UnsupportedModelError(f"{self.file.path}: {self._prefix}{name} {what}.")
        return value

    def decimal(self, name: str, default: float | None = None) -> float:
        value = self.unread.pop(name, default)
        if isinstance(value, float):
            # Stored as float32: 9.999999747378752e-06 was written as 1e-5.
            with np.errstate(over="ignore"):
                decimal = float(str(np.float32(value)))
            if 0 < decimal < math.inf:
                return decimal
        raise UnsupportedModelError(
            f"{self.file.path}: {self._prefix}{name} is {value!r}, must be a positive number."
        )

    def vocab_size(self) -> int:
        embedding = self.file.tensors.get("token_embd.weight")
        return self.integer("vocab_size", embedding.shape[0] if embedding else None)

    def refuse_unread(self) -> None:
        """Refuse by name every setting that may change the arithmetic and wasn't read."""
        # With type none the other settings of rotary scaling have no effect.
        unscaled = self.unread.get("rope.scaling.type") == "none"
        for name, value in self.unread.items():
            if name in _HARMLESS or (unscaled and name.startswith("rope.scaling.")):
                continue
            if value != 0 and value not in _HARMLESS_VALUES.get(name, ()):
                raise UnsupportedModelError(
                    f"{self.file.path}: {self._prefix}{name} = {value!r} is not supported."
                )
