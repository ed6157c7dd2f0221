"""The shape and arithmetic of a decoder of the Llama family."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config_base import ModelConfig, architecture_of, cache_shapes
from nlpsuite.models.decoder_families import (
    ACTIVATIONS,
    FAMILIES,
    NORMS,
    LayerNorms,
    Traits,
    check_layers,
    read_fields,
    write_entries,
)
from nlpsuite.models.hf_config import refuse_unknown
from nlpsuite.models.rope import RopeScaling

__all__ = ["DecoderConfig"]


@dataclasses.dataclass(frozen=True)
class DecoderConfig(ModelConfig):
    """A decoder of the Llama family: RMSNorm, rotary positions, grouped queries, a gated unit.

    Attributes:
        family: a key of ``FAMILIES``.
        max_position_embeddings: the context, in tokens.
        rotary_dim: of each head the first so many dimensions are rotated; None: all.
        rope_divisors: what each of the rotary frequencies is divided by; empty: nothing.
        rope_magnitude: factor of the cosines and sines (LongRoPE, Ding et al. 2024, arXiv:2402.13753; YaRN, Peng et
            al. 2023, arXiv:2309.00071).
        local_rope_theta: of the layers with a window, whose frequencies are then neither divided nor magnified;
            None: as in the other layers.
        no_rope_layers: layers without positions (NoPE, Kazemnejad et al. 2023, arXiv:2305.19466).
        sliding_window: in the local layers a token sees itself and the ``sliding_window - 1`` tokens before.
        local_layers: layers with that window; the others see everything.
        embedding_scale, residual_scale, logit_scale: factors of the embeddings, of what each half of a layer
            adds, and of the logits.
        attention_scale: factor of the attention scores; None: 1 / √head_dim.
    """

    architectures: ClassVar = {traits.architecture: family for family, traits in FAMILIES.items()}
    harmless: ClassVar = {"attention_bias": (False,), "pretraining_tp": (1,)}

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    rope_scaling: RopeScaling | None = None
    family: str = "llama"
    rotary_dim: int | None = None
    rope_divisors: tuple[float, ...] = ()
    rope_magnitude: float = 1.0
    local_rope_theta: float | None = None
    no_rope_layers: tuple[int, ...] = ()
    sliding_window: int | None = None
    local_layers: tuple[int, ...] = ()
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    attention_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads % self.num_key_value_heads:
            raise UnsupportedModelError(
                f"Model config: {self.num_attention_heads} attention heads can't share "
                f"{self.num_key_value_heads} key-value heads evenly."
            )
        for name, size in (("head_dim", self.head_dim), ("rotary_dim", self.rotary_dim or 2)):
            if size % 2:
                raise UnsupportedModelError(f"Model config: {name} is {size}, must be even.")
        if (self.rotary_dim or 0) > self.head_dim:
            raise UnsupportedModelError(
                f"Model config: rotary_dim is {self.rotary_dim}, can be at most head_dim, {self.head_dim}."
            )
        if self.rope_divisors and 2 * len(self.rope_divisors) != (self.rotary_dim or self.head_dim):
            raise UnsupportedModelError(
                f"Model config: {len(self.rope_divisors)} rotary factors for "
                f"{(self.rotary_dim or self.head_dim) // 2} frequencies."
            )

    @property
    def traits(self) -> Traits:
        return FAMILIES[self.family]

    @property
    def norms(self) -> LayerNorms:
        return NORMS[self.traits.norms]

    @property
    def context_length(self) -> int:
        return self.max_position_embeddings

    @property
    def tied_head(self) -> str | None:
        return "model.embed_tokens.weight" if self.tie_word_embeddings else None

    @property
    def score_scale(self) -> float:
        """Factor of the attention scores."""
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale

    def rotary_frequencies(self, *, local: bool = False) -> list[float]:
        """The inverse frequencies, radians per position, of the layers with a window or of the others.

        There are ``rotary_dim / 2`` of them.
        """
        size = self.rotary_dim or self.head_dim
        own = local and self.local_rope_theta is not None
        theta = self.local_rope_theta if own else self.rope_theta
        assert theta is not None
        frequencies = [theta ** -(i / size) for i in range(0, size, 2)]
        if own:
            return frequencies
        if self.rope_scaling:
            return [f / self.rope_scaling.divisor(f) for f in frequencies]
        return [f / divisor for f, divisor in zip(frequencies, self.rope_divisors)] or frequencies

    def rotary_magnitude(self, *, local: bool = False) -> float:
        """Factor of the cosines and sines of the layers with a window or of the others."""
        return 1.0 if local and self.local_rope_theta is not None else self.rope_magnitude

    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        hidden, inner, traits = self.hidden_size, self.intermediate_size, self.traits
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        norms = [name for name in dataclasses.astuple(self.norms) if name]
        yield "model.embed_tokens.weight", (self.vocab_size, hidden)
        for i in range(self.num_hidden_layers):
            layer = f"model.layers.{i}"
            for name, size in (("q", queries), ("k", keys), ("v", keys)):
                yield f"{layer}.self_attn.{name}_proj.weight", (size, hidden)
                if traits.qkv_bias:
                    yield f"{layer}.self_attn.{name}_proj.bias", (size,)
            yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
            if traits.qk_norm != "none":
                one = traits.qk_norm == "head"
                yield f"{layer}.self_attn.q_norm.weight", (self.head_dim if one else queries,)
                yield f"{layer}.self_attn.k_norm.weight", (self.head_dim if one else keys,)
            yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
            for name in norms:
                yield f"{layer}.{name}.weight", (hidden,)
        yield "model.norm.weight", (hidden,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, hidden)

    def stacked(self) -> Mapping[str, tuple[str, ...]]:
        if not self.traits.stored:
            return {}
        check_layers(self.num_hidden_layers)
        return {
            f"model.layers.{i}.{name}.weight": tuple(f"model.layers.{i}.{part}.weight" for part in parts)
            for i in range(self.num_hidden_layers)
            for name, parts in self.traits.stored
        }

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        return cache_shapes(self.num_hidden_layers, self.num_key_value_heads, self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderConfig:
        family = architecture_of(config, cls.architectures)
        values, names = read_fields(config, family)
        activation = (ACTIVATIONS[FAMILIES[family].activation],)
        harmless = {**cls.harmless, "hidden_act": activation, "hidden_activation": activation}
        if family == "qwen2":
            harmless["attention_bias"] = (True, False)  # it always has biases
        refuse_unknown(config, names, harmless)
        return cls(**values)

    def to_hf(self) -> dict[str, Any]:
        return write_entries(dataclasses.asdict(self))
