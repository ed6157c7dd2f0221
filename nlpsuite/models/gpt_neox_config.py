"""The shape of a GPT-NeoX model, Pythia among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config_base import ModelConfig, cache_shapes
from nlpsuite.models.hf_config import required
from nlpsuite.models.rope import rope_settings

__all__ = ["GPTNeoXConfig"]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh")
"""GELU, and three names of its tanh form."""


@dataclasses.dataclass(frozen=True)
class GPTNeoXConfig(ModelConfig):
    """GPT-NeoX: a part of each head rotated, LayerNorm, GELU, biases everywhere, attention and MLP side by side.

    Source: Black et al. 2022 (arXiv:2204.06745).

    Attributes:
        rotary_dim: of each head the first so many dimensions are rotated.
        use_parallel_residual: attention and MLP read the same input; otherwise one after the other.
    """

    architectures: ClassVar = {"GPTNeoXForCausalLM": "gpt_neox"}
    harmless: ClassVar = {"attention_bias": (True,), "partial_rotary_factor": (None,)}

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    rotary_dim: int
    rope_theta: float = 10_000.0
    layer_norm_eps: float = 1e-5
    hidden_act: str = "gelu"
    use_parallel_residual: bool = True
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_attention_heads:
            raise UnsupportedModelError(
                f"Model config: a width of {self.hidden_size} can't be shared by {self.num_attention_heads} "
                "heads evenly."
            )
        if self.rotary_dim % 2 or self.rotary_dim > self.head_dim:
            raise UnsupportedModelError(
                f"Model config: rotary_dim is {self.rotary_dim}, must be even and at most {self.head_dim}."
            )
        if self.hidden_act not in ACTIVATIONS:
            raise UnsupportedModelError(f"Model config: hidden_act={self.hidden_act!r} is not supported.")

    @property
    def context_length(self) -> int:
        return self.max_position_embeddings

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def tied_head(self) -> str | None:
        return "gpt_neox.embed_in.weight" if self.tie_word_embeddings else None

    def rotary_frequencies(self) -> list[float]:
        """The ``rotary_dim / 2`` inverse frequencies, radians per position."""
        return [self.rope_theta ** -(i / self.rotary_dim) for i in range(0, self.rotary_dim, 2)]

    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width, inner = self.hidden_size, self.intermediate_size
        yield "gpt_neox.embed_in.weight", (self.vocab_size, width)
        for i in range(self.num_hidden_layers):
            for name, shape in (
                ("input_layernorm", (width,)),
                ("post_attention_layernorm", (width,)),
                ("attention.query_key_value", (3 * width, width)),  # by head: its queries, keys and values
                ("attention.dense", (width, width)),
                ("mlp.dense_h_to_4h", (inner, width)),
                ("mlp.dense_4h_to_h", (width, inner)),
            ):
                yield f"gpt_neox.layers.{i}.{name}.weight", shape
                yield f"gpt_neox.layers.{i}.{name}.bias", shape[:1]
        yield "gpt_neox.final_layer_norm.weight", (width,)
        yield "gpt_neox.final_layer_norm.bias", (width,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, width)

    def stacked(self) -> Mapping[str, tuple[str, ...]]:
        return {} if self.tie_word_embeddings else {"embed_out.weight": ("lm_head.weight",)}

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        return cache_shapes(self.num_hidden_layers, self.num_attention_heads, self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> GPTNeoXConfig:
        rope = config.get("rope_parameters") or {}
        share = rope.get("partial_rotary_factor", config.get("rotary_pct", 0.25))
        theta = (
            rope.get("rope_theta") or config.get("rotary_emb_base") or config.get("rope_theta") or 10_000.0
        )
        if (kind := rope_settings(config, partial=True)["rope_type"]) != "default":
            raise UnsupportedModelError(
                f"Model config: rotary scaling {kind!r} is not supported in GPT-NeoX."
            )
        head_dim = required(config, "hidden_size") // required(config, "num_attention_heads")
        return cls._read(
            config,
            {"rope_parameters", "rope_scaling", "rotary_pct", "rotary_emb_base"},
            rotary_dim=int(head_dim * share),
            rope_theta=float(theta),
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-5)),
            hidden_act=config.get("hidden_act", "gelu"),
            use_parallel_residual=config.get("use_parallel_residual", True),
            tie_word_embeddings=config.get("tie_word_embeddings", False),
        )

    def to_hf(self) -> dict[str, Any]:
        entries = super().to_hf()
        share = entries.pop("rotary_dim") / self.head_dim
        return {**entries, "rotary_pct": share, "rotary_emb_base": entries.pop("rope_theta")}
