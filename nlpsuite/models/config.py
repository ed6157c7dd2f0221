"""The shapes of the models, read from and written to Hugging Face ``config.json``.

A configuration lists the names and shapes of its parameters and of its state; everything that handles
weights or states (checkpoint readers, exporter, trainer) is generic over these two lists.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from typing import Any, ClassVar, Self

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.hf_config import refuse_unknown, required, sliding_window
from nlpsuite.models.rope import RopeScaling, rope_settings

__all__ = [
    "DecoderConfig",
    "GPT2Config",
    "LSTMConfig",
    "ModelConfig",
    "RopeScaling",
    "config_from_hf",
    "model_types",
]


@dataclasses.dataclass(frozen=True)
class ModelConfig(ABC):
    """What every model's configuration offers; field names follow Hugging Face.

    Class attributes:
        architectures: name in ``config.json`` to ``model_type``.
        fixed: further entries that ``to_hf`` writes.
        harmless: entries that are not fields, with the values that change nothing.
    """

    architectures: ClassVar[Mapping[str, str]]
    fixed: ClassVar[Mapping[str, Any]] = {}
    harmless: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    vocab_size: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise UnsupportedModelError(f"Model config: {field.name} is {value}, must be positive.")

    @property
    @abstractmethod
    def context_length(self) -> int:
        """Tokens the model can see at once."""

    @property
    def tied_head(self) -> str | None:
        """The embedding's name if the head has no weights of its own."""
        return None

    @property
    def recurrent(self) -> bool:
        """Whether the state has a fixed size and can't be rolled back (an LSTM's, unlike a cache)."""
        return False

    @abstractmethod
    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each parameter, without a tied head; matrices are (outputs, inputs)."""

    @abstractmethod
    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        """Name and shape of each part of a row's state; ``"cache_length"`` stands for a free size."""

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Self:
        """Read a Hugging Face ``config.json`` of this architecture."""
        return cls._read(config)

    def to_hf(self) -> dict[str, Any]:
        """The equivalent Hugging Face ``config.json`` object."""
        [(name, model_type)] = self.architectures.items()
        return {"architectures": [name], "model_type": model_type, **self.fixed, **dataclasses.asdict(self)}

    @classmethod
    def _read(cls, config: dict[str, Any], also: Set[str] = frozenset(), **values: Any) -> Self:
        """Read the fields that aren't in ``values`` under their own names, all of them required.

        Args:
            also: names of further entries that the caller has read.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        refuse_unknown(config, {*names, *also}, cls.harmless)
        return cls(**values, **{name: required(config, name) for name in names if name not in values})

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for _, shape in self.parameter_shapes())


@dataclasses.dataclass(frozen=True)
class DecoderConfig(ModelConfig):
    """A decoder of the Llama family: RMSNorm, rotary positions, grouped queries, SwiGLU.

    Attributes:
        family: ``llama``, ``mistral``, ``qwen2`` (biases on q, k and v) or ``qwen3`` (RMSNorm
            on each head's query and key).
        max_position_embeddings: the context; where the checkpoint has a sliding attention
            window, the window, since up to there both mean the same.
    """

    architectures: ClassVar = {
        "LlamaForCausalLM": "llama",
        "MistralForCausalLM": "mistral",
        "Qwen2ForCausalLM": "qwen2",
        "Qwen3ForCausalLM": "qwen3",
    }
    harmless: ClassVar = {"hidden_act": ("silu",), "attention_bias": (False,), "pretraining_tp": (1,)}

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads % self.num_key_value_heads:
            raise UnsupportedModelError(
                f"Model config: {self.num_attention_heads} attention heads can't share "
                f"{self.num_key_value_heads} key-value heads evenly."
            )
        if self.head_dim % 2:
            raise UnsupportedModelError(f"Model config: head_dim is {self.head_dim}, must be even.")

    @property
    def context_length(self) -> int:
        return self.max_position_embeddings

    @property
    def tied_head(self) -> str | None:
        return "model.embed_tokens.weight" if self.tie_word_embeddings else None

    @property
    def qkv_bias(self) -> bool:
        return self.family == "qwen2"

    @property
    def qk_norm(self) -> bool:
        return self.family == "qwen3"

    def rotary_frequencies(self) -> list[float]:
        """The (d/2) inverse frequencies, radians per position."""
        pairs = range(0, self.head_dim, 2)
        frequencies = [self.rope_theta ** -(i / self.head_dim) for i in pairs]
        scaling = self.rope_scaling
        return [f / scaling.divisor(f) for f in frequencies] if scaling else frequencies

    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocab_size, hidden)
        for i in range(self.num_hidden_layers):
            layer = f"model.layers.{i}"
            for name, size in (("q", queries), ("k", keys), ("v", keys)):
                yield f"{layer}.self_attn.{name}_proj.weight", (size, hidden)
                if self.qkv_bias:
                    yield f"{layer}.self_attn.{name}_proj.bias", (size,)
            yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
            if self.qk_norm:
                yield f"{layer}.self_attn.q_norm.weight", (self.head_dim,)
                yield f"{layer}.self_attn.k_norm.weight", (self.head_dim,)
            yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
            yield f"{layer}.input_layernorm.weight", (hidden,)
            yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield "model.norm.weight", (hidden,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, hidden)

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        return _cache_shapes(self.num_hidden_layers, self.num_key_value_heads, self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderConfig:
        family = _architecture(config)[1]
        if family == "qwen2" and config.get("attention_bias") is True:
            config = {**config, "attention_bias": None}  # Qwen 2 always has biases
        rope = rope_settings(config)
        heads = required(config, "num_attention_heads")
        context = required(config, "max_position_embeddings")
        if (window := sliding_window(config, family)) is not None:
            context = min(context, window)
        return cls._read(
            config,
            {"rope_parameters", "sliding_window", "use_sliding_window", "layer_types"},
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or required(config, "hidden_size") // heads,
            max_position_embeddings=context,
            rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            tie_word_embeddings=config.get("tie_word_embeddings", False),
            rope_scaling=RopeScaling.from_hf(rope) if "factor" in rope else None,
            family=family,
        )

    def to_hf(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        family = values.pop("family")
        scaling = values.pop("rope_scaling")
        if scaling is not None:
            values["rope_scaling"] = {"rope_type": "llama3", **scaling}
        if family == "mistral":
            values["sliding_window"] = None  # without the key other readers assume 4096
        name = next(name for name, kind in self.architectures.items() if kind == family)
        return {"architectures": [name], "model_type": family, "hidden_act": "silu", **values}


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
        return _cache_shapes(self.n_layer, self.n_head, self.head_dim)

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


_CONFIGS: tuple[type[ModelConfig], ...] = (DecoderConfig, GPT2Config, LSTMConfig)


def _cache_shapes(layers: int, heads: int, size: int) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    return (
        (f"{i}.{kind}", (heads, "cache_length", size)) for i in range(layers) for kind in ("key", "value")
    )


def model_types() -> dict[str, type[ModelConfig]]:
    """Name of an architecture in ``config.json``, and its ``model_type``, to the configuration's class."""
    found: dict[str, type[ModelConfig]] = {}
    for cls in _CONFIGS:
        for name, kind in cls.architectures.items():
            found[name] = found[kind] = cls
    return found


def config_from_hf(config: dict[str, Any]) -> ModelConfig:
    """Read a Hugging Face ``config.json``.

    Raises:
        UnsupportedModelError: another architecture, or a setting these models lack; names it.
    """
    name, _ = _architecture(config)
    return model_types()[name].from_hf(config)


def _architecture(config: dict[str, Any]) -> tuple[str, str]:
    """The architecture's name as the config gives it, and its model type."""
    names = config.get("architectures") or [config.get("model_type", "unknown")]
    known = model_types()
    if names[0] not in known:
        supported = ", ".join(name for cls in _CONFIGS for name in cls.architectures)
        raise UnsupportedModelError(
            f"Architecture {names[0]!r} is not supported.", hint=f"Supported: {supported}."
        )
    return names[0], known[names[0]].architectures.get(names[0], names[0])
