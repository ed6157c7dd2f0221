"""From the metadata of a GGUF file to the configuration of its model.

Every setting of the model's architecture is either read here or refused by name, unless its
value is harmless. Source: the GGUF specification (ggml/docs/gguf.md) and the keys that
llama.cpp's converter writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config import DecoderConfig, GPT2Config, GPTNeoXConfig, ModelConfig, RopeScaling
from nlpsuite.models.decoder_families import check_layers
from nlpsuite.models.gguf import GGUFFile
from nlpsuite.models.rope import yarn_divisors

__all__ = ["ARCHITECTURES", "READ_BY_CONFIG", "gguf_config"]

ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
    "smollm3": "smollm3",
    "olmo2": "olmo2",
    "granite": "granite",
}
"""llama.cpp's names of the families of decoders; ``gpt2`` and ``gptneox`` are read as well."""

# Not parameters: what each rotary frequency is divided by, of Llama 3.1 and later, and of Phi 3 and 4.
_ROPE_FREQS, _SHORT, _LONG = "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"
READ_BY_CONFIG = {
    "llama": {_ROPE_FREQS},
    "smollm3": {_ROPE_FREQS},
    "phi3": {_SHORT, _LONG},
}
"""By architecture, tensors that decide a configuration and aren't parameters."""

# What llama.cpp has in its code and not in its files.
_GEMMA_PATTERN, _SMOLLM3_INTERVAL, _OLMO3_PATTERN = 6, 4, 4
_GEMMA_27B_LAYERS = 62

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
    reason = _reason(file, architecture)
    if reason or (architecture not in ARCHITECTURES and architecture not in _OTHERS):
        raise UnsupportedModelError(
            f"{file.path}: architecture {architecture!r}{reason} is not supported.",
            hint=f"Supported: {', '.join(ARCHITECTURES)}, {', '.join(_OTHERS)} ('llama' stands for Llama, Mistral and SmolLM2).",
        )
    if (parts := file.metadata.get("split.count", 1)) not in (0, 1):
        raise UnsupportedModelError(
            f"{file.path} is one of {parts} parts of a model.",
            hint="Merge them first: llama-gguf-split --merge FIRST_PART.gguf WHOLE.gguf.",
        )
    settings = _Settings(file, architecture)
    read = _OTHERS.get(architecture)
    config = read(settings) if read else _decoder(settings, architecture)
    settings.refuse_unread()
    return config


def _reason(file: GGUFFile, architecture: Any) -> str:
    """Of which kind a model is that none of the families is, as far as its metadata show it."""
    kinds = {"experts": ("expert_count",), "state-space or recurrent layers": ("ssm.", "wkv.")}
    found = [
        kind
        for kind, keys in kinds.items()
        if any(
            key.startswith(tuple(f"{architecture}.{k}" for k in keys)) and file.metadata[key]
            for key in file.metadata
        )
    ]
    return f" with {' and '.join(found)}" if found else ""


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


def _gpt_neox(settings: _Settings) -> GPTNeoXConfig:
    heads, hidden = settings.integer("attention.head_count"), settings.integer("embedding_length")
    return GPTNeoXConfig(
        vocab_size=settings.vocab_size(),
        hidden_size=hidden,
        intermediate_size=settings.integer("feed_forward_length"),
        num_hidden_layers=settings.integer("block_count"),
        num_attention_heads=heads,
        max_position_embeddings=settings.integer("context_length"),
        rotary_dim=settings.integer("rope.dimension_count", hidden // heads),
        rope_theta=settings.decimal("rope.freq_base", 10_000.0),
        layer_norm_eps=settings.decimal("attention.layer_norm_epsilon"),
        use_parallel_residual=bool(settings.unread.pop("use_parallel_residual", True)),
        tie_word_embeddings="output.weight" not in settings.file.tensors,
    )


_OTHERS: dict[str, Callable[[_Settings], ModelConfig]] = {"gpt2": _gpt2, "gptneox": _gpt_neox}


def _decoder(settings: _Settings, architecture: str) -> DecoderConfig:
    file = settings.file
    layers = settings.integer("block_count")
    check_layers(layers)
    heads, hidden = settings.integer("attention.head_count"), settings.integer("embedding_length")
    head_dim = settings.integer("attention.key_length", hidden // heads)
    if (size := settings.integer("attention.value_length", head_dim)) != head_dim:
        raise UnsupportedModelError(
            f"{file.path}: {architecture}.attention.value_length is {size}, the head dimension {head_dim}: "
            "they must be equal."
        )
    rotary = settings.integer("rope.dimension_count", head_dim)
    if rotary != head_dim and architecture != "phi3":
        raise UnsupportedModelError(
            f"{file.path}: {architecture}.rope.dimension_count is {rotary}, the head dimension {head_dim}: "
            "they must be equal."
        )
    config = DecoderConfig(
        vocab_size=settings.vocab_size(),
        hidden_size=hidden,
        intermediate_size=settings.integer("feed_forward_length"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=settings.integer("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position_embeddings=settings.integer("context_length"),
        rope_theta=settings.decimal("rope.freq_base", 10_000.0),
        rms_norm_eps=settings.decimal("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
        family=ARCHITECTURES[architecture],
        rotary_dim=rotary if rotary != head_dim else None,
    )
    for refine in (_scaled_rope, _factors, _window):
        config = refine(settings, architecture, config)
    return config


def _window(settings: _Settings, architecture: str, config: DecoderConfig) -> DecoderConfig:
    """With the layers that see a window only, if it is shorter than the context."""
    layers = range(config.num_hidden_layers)
    if architecture == "smollm3":
        silent = tuple(i for i in layers if (i + 1) % _SMOLLM3_INTERVAL == 0)
        config = replace(config, no_rope_layers=silent)
    window = (
        settings.integer("attention.sliding_window", 0)
        if settings.unread.get("attention.sliding_window")
        else 0
    )
    theta = settings.decimal("rope.freq_base_swa", 10_000.0) if architecture == "gemma3" else None
    if not 0 < window < config.max_position_embeddings:
        return config
    every = {"gemma3": _GEMMA_PATTERN, "olmo2": _OLMO3_PATTERN}.get(architecture, 0)
    local = tuple(i for i in layers if not every or (i + 1) % every)
    if architecture == "olmo2":  # OLMo 3, whose layers with a window have no scaled rotary embedding
        theta = config.rope_theta if config.rope_divisors else None
        config = replace(config, family="olmo3")
    return replace(
        config, sliding_window=window, local_layers=local, local_rope_theta=theta if local else None
    )


def _factors(settings: _Settings, architecture: str, config: DecoderConfig) -> DecoderConfig:
    """With factors of embeddings, residuals, scores and logits."""
    if architecture == "gemma3":
        whole = config.num_hidden_layers == _GEMMA_27B_LAYERS
        size = config.hidden_size // config.num_attention_heads if whole else config.head_dim
        return replace(config, embedding_scale=math.sqrt(config.hidden_size), attention_scale=size**-0.5)
    if architecture == "granite":
        return replace(
            config,
            embedding_scale=settings.decimal("embedding_scale", 1.0),
            residual_scale=settings.decimal("residual_scale", 1.0),
            attention_scale=settings.decimal("attention.scale", config.head_dim**-0.5),
            logit_scale=1 / settings.decimal("logit_scale", 1.0),
        )
    return config


def _scaled_rope(settings: _Settings, architecture: str, config: DecoderConfig) -> DecoderConfig:
    """With the scaling of rotary frequencies."""
    file, size = settings.file, config.rotary_dim or config.head_dim
    if architecture == "phi3" and _SHORT in file.tensors:
        # The longer factors are for texts beyond this context.
        context = settings.integer("rope.scaling.original_context_length", config.max_position_embeddings)
        return replace(
            config,
            max_position_embeddings=min(context, config.max_position_embeddings),
            # Stored as float32: 1.10000002 was written as 1.1.
            rope_divisors=tuple(float(str(value)) for value in file.tensor(_SHORT).ravel()),
            rope_magnitude=settings.decimal("rope.scaling.attn_factor", 1.0),
        )
    if _ROPE_FREQS in file.tensors and architecture in ("llama", "smollm3"):
        return replace(config, rope_scaling=_llama3_scaling(file, config.rope_theta, config.head_dim))
    if settings.unread.get("rope.scaling.type") == "yarn":
        return _yarn(settings, config, size)
    if settings.unread.get("rope.scaling.type") == "linear":
        settings.unread.pop("rope.scaling.type")
        return replace(config, rope_divisors=(settings.decimal("rope.scaling.factor"),) * (size // 2))
    return config


def _yarn(settings: _Settings, config: DecoderConfig, size: int) -> DecoderConfig:
    factor, context = settings.decimal("rope.scaling.factor"), config.max_position_embeddings
    settings.unread.pop("rope.scaling.type")
    original = settings.integer("rope.scaling.original_context_length", context)
    # llama.cpp multiplies these two, of which converters write one at most.
    magnitude = settings.decimal("rope.scaling.yarn_attn_factor", 1 + 0.1 * math.log(factor))
    return replace(
        config,
        max_position_embeddings=max(context, int(original * factor)),
        rope_magnitude=magnitude * settings.decimal("rope.scaling.attn_factor", 1.0),
        rope_divisors=yarn_divisors(
            config.rope_theta,
            size,
            factor,
            original,
            beta_fast=settings.decimal("rope.scaling.yarn_beta_fast", 32.0),
            beta_slow=settings.decimal("rope.scaling.yarn_beta_slow", 1.0),
        ),
    )


def _llama3_scaling(file: GGUFFile, theta: float, head_dim: int) -> RopeScaling | None:
    """The settings behind the divisors that a file stores in place of them."""
    refused = UnsupportedModelError(
        f"{file.path}: {_ROPE_FREQS} scales rotary embedding in a different way from Llama 3.",
        hint="Give the model's Hugging Face directory instead.",
    )
    if file.tensors[_ROPE_FREQS].shape != (head_dim // 2,):
        raise refused
    stored = file.tensor(_ROPE_FREQS)
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
