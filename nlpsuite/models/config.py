"""The shapes of the models, read from and written to Hugging Face ``config.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config_base import ModelConfig, architecture_of, cache_shapes
from nlpsuite.models.decoder_config import DecoderConfig
from nlpsuite.models.gpt_neox_config import GPTNeoXConfig
from nlpsuite.models.hf_config import required
from nlpsuite.models.rope import RopeScaling

__all__ = [
    "DecoderConfig",
    "GPT2Config",
    "GPTNeoXConfig",
    "LSTMConfig",
    "ModelConfig",
    "RopeScaling",
    "config_from_hf",
    "model_types",
]


@dataclasses.dataclass(frozen=True)
class GPT2Config(ModelConfig):
    """GPT-2: learned positions, LayerNorm, GELU, biases everywhere, a tied head.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """

    architectures: ClassVar = {"GPT2LMHeadModel": "gpt2"}
    fixed: ClassVar = {"activation_function": "gelu_new"}
    harmless: ClassVar = {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "reorder_and_upcast_attn": (False, True),  # precision, not arithmetic
        "add_cross_attention": (False,),
    }

    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_embd % self.n_head:
            raise UnsupportedModelError(
                f"Model config: a width of {self.n_embd} can't be shared by {self.n_head} heads evenly."
            )

    @property
    def context_length(self) -> int:
        return self.n_positions

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def tied_head(self) -> str | None:
        return "transformer.wte.weight" if self.tie_word_embeddings else None

    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width, inner = self.n_embd, self.n_inner
        yield "transformer.wte.weight", (self.vocab_size, width)
        yield "transformer.wpe.weight", (self.n_positions, width)
        for i in range(self.n_layer):
            layer = f"transformer.h.{i}"
            for name, shape in (
                ("ln_1", (width,)),
                ("attn.c_attn", (3 * width, width)),
                ("attn.c_proj", (width, width)),
                ("ln_2", (width,)),
                ("mlp.c_fc", (inner, width)),
                ("mlp.c_proj", (width, inner)),
            ):
                yield f"{layer}.{name}.weight", shape
                yield f"{layer}.{name}.bias", shape[:1]
        yield "transformer.ln_f.weight", (width,)
        yield "transformer.ln_f.bias", (width,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, width)

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        return cache_shapes(self.n_layer, self.n_head, self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> GPT2Config:
        return cls._read(
            config,
            {"n_ctx"},
            n_positions=config.get("n_positions") or required(config, "n_ctx"),
            n_inner=config.get("n_inner") or 4 * required(config, "n_embd"),
            layer_norm_epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
            tie_word_embeddings=config.get("tie_word_embeddings", True),
        )


@dataclasses.dataclass(frozen=True)
class LSTMConfig(ModelConfig):
    """The classic recurrent language model: Embedding → LSTM → Linear.

    Sources: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; Zaremba et al. 2014
    (arXiv:1409.2329).

    Attributes:
        tie_word_embeddings: the head is the embedding (Press & Wolf 2017, arXiv:1608.05859); the LSTM's output is
            projected to its size.
    """

    architectures: ClassVar = {"LSTMLanguageModel": "nlpsuite_lstm"}

    vocab_size: int = 10_000
    embedding_size: int = 300
    hidden_size: int = 1_024
    num_layers: int = 1
    tie_word_embeddings: bool = False

    @property
    def context_length(self) -> int:
        # Unlimited; a large number keeps the arithmetic simple.
        return 1 << 20

    @property
    def tied_head(self) -> str | None:
        return "embedding.weight" if self.tie_word_embeddings else None

    @property
    def recurrent(self) -> bool:
        return True

    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        hidden = self.hidden_size
        yield "embedding.weight", (self.vocab_size, self.embedding_size)
        for i in range(self.num_layers):
            inputs = hidden if i else self.embedding_size
            yield f"lstm.weight_ih_l{i}", (4 * hidden, inputs)  # gates in torch's order: i, f, g, o
            yield f"lstm.weight_hh_l{i}", (4 * hidden, hidden)
            yield f"lstm.bias_ih_l{i}", (4 * hidden,)
            yield f"lstm.bias_hh_l{i}", (4 * hidden,)
        if self.tie_word_embeddings:
            yield "projection.weight", (self.embedding_size, hidden)
        else:
            yield "lm_head.weight", (self.vocab_size, hidden)
        yield "lm_head.bias", (self.vocab_size,)

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        yield "h", (self.num_layers, self.hidden_size)
        yield "c", (self.num_layers, self.hidden_size)


_CONFIGS: tuple[type[ModelConfig], ...] = (DecoderConfig, GPT2Config, GPTNeoXConfig, LSTMConfig)


def model_types() -> dict[str, type[ModelConfig]]:
    """Name of an architecture in ``config.json``, and its ``model_type``, to the configuration's class."""
    found: dict[str, type[ModelConfig]] = {}
    for cls in _CONFIGS:
        for name, kind in cls.architectures.items():
            found[name] = found[kind] = cls
    return found


def _reason(config: dict[str, Any]) -> str:
    """Of which kind an unknown architecture is, as far as its settings show it."""
    kinds = {
        "mixtures of experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_"),
        "models with state-space or recurrent layers": (
            *("mamba_", "ssm_", "linear_num_", "layers_block_type", "state_size"),
            *("lru_width", "conv_L_cache", "rescale_every"),
        ),
        "models that read images or sound": ("vision_config", "audio_config"),
    }
    found = [
        kind for kind, keys in kinds.items() if any(name.startswith(keys) and config[name] for name in config)
    ]
    return f": {' and '.join(found)} aren't" if found else ""


def config_from_hf(config: dict[str, Any]) -> ModelConfig:
    """Read a Hugging Face ``config.json``.

    Raises:
        UnsupportedModelError: another architecture, or a setting these models lack; names it.
    """
    known = model_types()
    kinds = {name: kind for cls in _CONFIGS for name, kind in cls.architectures.items()}
    name = architecture_of(config, kinds)
    if name not in known:
        supported = ", ".join(kinds)
        raise UnsupportedModelError(
            f"Architecture {name!r} is not supported{_reason(config)}.", hint=f"Supported: {supported}."
        )
    return known[name].from_hf(config)
