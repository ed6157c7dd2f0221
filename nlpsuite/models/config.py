"""The shapes of the models, read from and written to Hugging Face ``config.json``.

A configuration knows the names and shapes of its parameters and of its state; everything that
handles weights or states (checkpoint readers, exporter, trainer) is generic over these two lists.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from nlpsuite.errors import UnsupportedModelError

__all__ = [
    "DecoderConfig",
    "GPT2Config",
    "LSTMConfig",
    "ModelConfig",
    "RopeScaling",
    "config_from_hf",
    "model_types",
]

# Keys that say nothing about the arithmetic of a forward pass.
_HARMLESS = frozenset(
    "architectures model_type torch_dtype dtype transformers_version use_cache initializer_range "
    "bos_token_id eos_token_id pad_token_id unk_token_id attention_dropout resid_pdrop embd_pdrop "
    "attn_pdrop task_specific_params summary_type summary_use_proj summary_activation "
    "summary_proj_to_labels summary_first_dropout gradient_checkpointing tokenizer_class "
    "is_llama_config transformers.js_config max_window_layers id2label label2id return_dict "
    "output_hidden_states output_attentions chunk_size_feed_forward is_encoder_decoder problem_type "
    "is_decoder license datasets unsloth_version unsloth_fixed original_max_position_embeddings".split()
)


@dataclasses.dataclass(frozen=True)
class ModelConfig(ABC):
    """What all models' configurations offer; names of fields follow Hugging Face configs.

    Class attributes:
        architectures: name in ``config.json`` to ``model_type``.
    """

    architectures: ClassVar[Mapping[str, str]]

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
        """The state has a fixed size and can't be rolled back (an LSTM's, not a cache)."""
        return False

    @abstractmethod
    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each parameter, without a tied head; matrices are (outputs, inputs)."""

    @abstractmethod
    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        """Name and shape of each part of a row's state; ``"cache_length"`` stands for a free size."""

    @classmethod
    @abstractmethod
    def from_hf(cls, config: dict[str, Any]) -> ModelConfig:
        """Read a Hugging Face ``config.json`` of this architecture."""

    @abstractmethod
    def to_hf(self) -> dict[str, Any]:
        """The equivalent Hugging Face ``config.json`` object."""

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for _, shape in self.parameter_shapes())


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary frequencies for contexts longer than pretraining's.

    Wavelengths longer than ``original / low_freq_factor`` are stretched by ``factor``, those
    shorter than ``original / high_freq_factor`` are kept, those between are interpolated.
    Source: Llama 3 reference code, ``apply_scaling``.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def divisor(self, frequency: float) -> float:
        """What one inverse frequency (radians per position) is divided by."""
        wavelength = 2 * math.pi / frequency
        turns = self.original_max_position_embeddings / wavelength
        kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = min(1.0, max(0.0, kept))
        return 1 / ((1 - kept) / self.factor + kept)

    @classmethod
    def from_hf(cls, rope: dict[str, Any]) -> RopeScaling:
        try:
            scaling = cls(
                float(rope["factor"]),
                float(rope["low_freq_factor"]),
                float(rope["high_freq_factor"]),
                int(rope["original_max_position_embeddings"]),
            )
        except KeyError as error:
            raise UnsupportedModelError(f"Model config: rope scaling lacks {error.args[0]!r}.") from None
        possible = (
            0 < scaling.factor < math.inf
            and 0 < scaling.low_freq_factor < scaling.high_freq_factor < math.inf
            and scaling.original_max_position_embeddings > 0
        )
        if not possible:
            raise UnsupportedModelError(f"Model config: rope scaling has impossible values {rope}.")
        return scaling


@dataclasses.dataclass(frozen=True)
class DecoderConfig(ModelConfig):
    """A decoder of the Llama family: RMSNorm, rotary positions, grouped queries, SwiGLU.

    Attributes:
        family: ``llama``, ``mistral``, ``qwen2`` (biases on q, k and v) or ``qwen3`` (RMSNorm
            on each head's query and key).
        max_position_embeddings: the context; where the checkpoint has a sliding attention
            window, the window, since up to there both mean the same.
    """

    architectures: ClassVar[Mapping[str, str]] = {
        "LlamaForCausalLM": "llama",
        "MistralForCausalLM": "mistral",
        "Qwen2ForCausalLM": "qwen2",
        "Qwen3ForCausalLM": "qwen3",
    }

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
        for i in range(self.num_hidden_layers):
            for kind in ("key", "value"):
                yield f"{i}.{kind}", (self.num_key_value_heads, "cache_length", self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderConfig:
        family = _architecture(config)[1]
        rope = _rope(config)
        neutral = {
            "hidden_act": ("silu",),
            "attention_bias": (False, None, *((True,) if family == "qwen2" else ())),
            "pretraining_tp": (1,),
        }
        read = {field.name for field in dataclasses.fields(cls)} - {"family"}
        read |= {"rope_parameters", "sliding_window", "use_sliding_window", "layer_types"}
        _refuse_unknown(config, read, neutral)
        heads = _required(config, "num_attention_heads")
        context = _required(config, "max_position_embeddings")
        if (window := _sliding_window(config, family)) is not None:
            context = min(context, window)
        return cls(
            vocab_size=_required(config, "vocab_size"),
            hidden_size=_required(config, "hidden_size"),
            intermediate_size=_required(config, "intermediate_size"),
            num_hidden_layers=_required(config, "num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
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

    architectures: ClassVar[Mapping[str, str]] = {"GPT2LMHeadModel": "gpt2"}

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
        for i in range(self.n_layer):
            for kind in ("key", "value"):
                yield f"{i}.{kind}", (self.n_head, "cache_length", self.head_dim)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> GPT2Config:
        read = {field.name for field in dataclasses.fields(cls)} | {"n_ctx"}
        neutral = {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "reorder_and_upcast_attn": (False, True),  # precision, not arithmetic
            "add_cross_attention": (False,),
        }
        _refuse_unknown(config, read, neutral)
        width = _required(config, "n_embd")
        return cls(
            vocab_size=_required(config, "vocab_size"),
            n_positions=config.get("n_positions") or _required(config, "n_ctx"),
            n_embd=width,
            n_layer=_required(config, "n_layer"),
            n_head=_required(config, "n_head"),
            n_inner=config.get("n_inner") or 4 * width,
            layer_norm_epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
            tie_word_embeddings=config.get("tie_word_embeddings", True),
        )

    def to_hf(self) -> dict[str, Any]:
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            **dataclasses.asdict(self),
        }


@dataclasses.dataclass(frozen=True)
class LSTMConfig(ModelConfig):
    """The classic recurrent language model: Embedding → LSTM → Linear.

    Sources: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; Zaremba et al. 2014
    (arXiv:1409.2329).
    """

    architectures: ClassVar[Mapping[str, str]] = {"LSTMLanguageModel": "nlpsuite_lstm"}

    vocab_size: int = 10_000
    embedding_size: int = 300
    hidden_size: int = 1_024
    num_layers: int = 1

    @property
    def context_length(self) -> int:
        # The state has no end; a number keeps arithmetic with it simple.
        return 1 << 20

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
        yield "lm_head.weight", (self.vocab_size, hidden)
        yield "lm_head.bias", (self.vocab_size,)

    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        yield "h", (self.num_layers, self.hidden_size)
        yield "c", (self.num_layers, self.hidden_size)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> LSTMConfig:
        names = [field.name for field in dataclasses.fields(cls)]
        _refuse_unknown(config, set(names), {})
        return cls(**{name: _required(config, name) for name in names})

    def to_hf(self) -> dict[str, Any]:
        return {
            "architectures": ["LSTMLanguageModel"],
            "model_type": "nlpsuite_lstm",
            **dataclasses.asdict(self),
        }


_CONFIGS: tuple[type[ModelConfig], ...] = (DecoderConfig, GPT2Config, LSTMConfig)


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


def _refuse_unknown(config: dict[str, Any], read: set[str], neutral: dict[str, tuple[Any, ...]]) -> None:
    """Refuse by name every key that may change the arithmetic and that nobody reads.

    Args:
        read: the keys that the caller reads.
        neutral: keys with the values that change nothing.
    """
    for key, value in config.items():
        if key in read or key in _HARMLESS or key.startswith("_") or value is None:
            continue
        if key in neutral:
            known = value in neutral[key]
        else:
            known = value is False or value == 0 or value == [] or value == {}
        if not known:
            raise UnsupportedModelError(
                f"Model config: {key}={value!r} is not supported.",
                hint="It may change what the model computes. If you know that it does not, remove the key.",
            )


def _required(config: dict[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise UnsupportedModelError(f"Model config: {key!r} is missing.")
    return config[key]


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, which have had two names; with ``factor`` if frequencies are scaled."""
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise UnsupportedModelError(
            f"Rotary scaling {kind!r} is not supported.", hint="Supported: none, and Llama 3's ('llama3')."
        )
    if kind == "default":
        rope = {key: value for key, value in rope.items() if key == "rope_theta"}
    known = {"rope_type", "type", "rope_theta", *(f.name for f in dataclasses.fields(RopeScaling))}
    if unknown := sorted(rope.keys() - known):
        raise UnsupportedModelError(f"Model config: rope setting {unknown[0]!r} is not supported.")
    return rope


def _sliding_window(config: dict[str, Any], family: str) -> int | None:
    """The attention window in tokens, or None if every layer sees everything."""
    kinds = config.get("layer_types") or []
    if unknown := sorted({*kinds} - {"full_attention", "sliding_attention"}):
        raise UnsupportedModelError(f"Model config: layer type {unknown[0]!r} is not supported.")
    if config.get("use_sliding_window") is False or (kinds and "sliding_attention" not in kinds):
        return None
    # Qwen writes a window's size also where it is not used, and says so by use_sliding_window.
    if family in ("qwen2", "qwen3") and not config.get("use_sliding_window"):
        return None
    return config.get("sliding_window")
