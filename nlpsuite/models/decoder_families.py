"""The families of decoders: what sets them apart, and how Hugging Face's ``config.json`` writes their models.

A family's switches are its ``Traits``; the models of a family differ in numbers, the fields of ``DecoderConfig``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.hf_config import layer_types, required
from nlpsuite.models.rope import rope_fields, rope_settings

__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "NORMS",
    "LayerNorms",
    "Traits",
    "check_layers",
    "read_fields",
    "write_entries",
]

ACTIVATIONS = {"silu": "silu", "gelu": "gelu_pytorch_tanh"}
"""``Traits.activation`` to Hugging Face's name."""

_MOST_LAYERS = 10_000
_GEMMA_PATTERN = 6  # every sixth layer sees everything
_OLMO3_PATTERN, _OLMO3_THETA = 4, 500_000.0
_SMOLLM3_INTERVAL = 4  # every fourth layer has no positions


@dataclasses.dataclass(frozen=True)
class Traits:
    """What the models of a family have in common.

    Attributes:
        architecture: name in Hugging Face's ``config.json``.
        qkv_bias: biases on the projections to queries, keys and values.
        qk_norm: RMSNorm of queries and keys: of each head, of all heads together, or none.
        norms: where each half of a layer has its RMSNorms: before it, after it (Swin Transformer V2, Liu et al.
            2022, arXiv:2111.09883), or both.
        norm_offset: added to the weights of every RMSNorm; Gemma stores them around 0.
        activation: of the gated unit: SiLU, or GELU in its tanh form.
        stored: names of a layer's matrices in checkpoints, to the matrices whose rows they stack.
    """

    architecture: str
    qkv_bias: bool = False
    qk_norm: Literal["none", "head", "all"] = "none"
    norms: Literal["before", "after", "both"] = "before"
    norm_offset: float = 0.0
    activation: Literal["silu", "gelu"] = "silu"
    stored: tuple[tuple[str, tuple[str, ...]], ...] = ()


_PHI3 = (
    ("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
)
# Granite 4's dense models have the class of its hybrid ones, where these layers stand beside the experts.
_GRANITE4 = (
    ("shared_mlp.input_linear", ("mlp.gate_proj", "mlp.up_proj")),
    ("shared_mlp.output_linear", ("mlp.down_proj",)),
)

FAMILIES: dict[str, Traits] = {
    "llama": Traits("LlamaForCausalLM"),
    "mistral": Traits("MistralForCausalLM"),
    "qwen2": Traits("Qwen2ForCausalLM", qkv_bias=True),
    "qwen3": Traits("Qwen3ForCausalLM", qk_norm="head"),
    "gemma3_text": Traits(
        "Gemma3ForCausalLM", qk_norm="head", norms="both", norm_offset=1.0, activation="gelu"
    ),
    "phi3": Traits("Phi3ForCausalLM", stored=_PHI3),
    "smollm3": Traits("SmolLM3ForCausalLM"),
    "olmo2": Traits("Olmo2ForCausalLM", qk_norm="all", norms="after"),
    "olmo3": Traits("Olmo3ForCausalLM", qk_norm="all", norms="after"),
    "granite": Traits("GraniteForCausalLM"),
    "granitemoehybrid": Traits("GraniteMoeHybridForCausalLM", stored=_GRANITE4),
}
"""``model_type`` in Hugging Face's ``config.json`` to what its models have in common."""


@dataclasses.dataclass(frozen=True)
class LayerNorms:
    """Names of a layer's RMSNorms, last parts only; None where there is none."""

    before_attention: str | None = None
    after_attention: str | None = None
    before_mlp: str | None = None
    after_mlp: str | None = None


NORMS = {
    "before": LayerNorms(before_attention="input_layernorm", before_mlp="post_attention_layernorm"),
    "after": LayerNorms(after_attention="post_attention_layernorm", after_mlp="post_feedforward_layernorm"),
    "both": LayerNorms(
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
}

# Hugging Face's names of Granite's factors; its logits are divided by the last.
_GRANITE = {
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "attention_multiplier": "attention_scale",
}
# Settings of state-space layers, written also where there is none.
_MAMBA = frozenset(
    f"mamba_{name}"
    for name in "chunk_size conv_bias d_conv d_head d_state expand n_groups n_heads proj_bias".split()
)
# Entries under the same name here and there.
_PLAIN = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TIED = ("gemma3_text", "smollm3")  # by default


def read_fields(config: Mapping[str, Any], family: str) -> tuple[dict[str, Any], set[str]]:
    """The fields of a ``DecoderConfig``, and the names of all entries that were read.

    Raises:
        UnsupportedModelError: an entry is missing, or has a value that these models lack.
    """
    used = _Entries(config)
    values: dict[str, Any] = {name: required(config, name) for name in _PLAIN}
    layers, heads = values["num_hidden_layers"], values["num_attention_heads"]
    check_layers(layers)
    head_dim = used("head_dim") or values["hidden_size"] // heads
    context = required(config, "max_position_embeddings")
    values |= {
        "family": family,
        "num_key_value_heads": used("num_key_value_heads") or heads,
        "head_dim": head_dim,
        "rms_norm_eps": float(used("rms_norm_eps", 1e-6)),
        "tie_word_embeddings": used("tie_word_embeddings", family in _TIED),
    }
    if family in _OWN:
        values |= _OWN[family](used, values)
    rope = rope_settings(config, partial=family == "phi3")
    used.names |= {"rope_parameters", "rope_scaling", "rope_theta"}
    if family == "olmo3" and rope["rope_theta"] is None:
        rope["rope_theta"] = _OLMO3_THETA
    fields, context = rope_fields(rope, values.get("rotary_dim") or head_dim, context)
    values |= {"max_position_embeddings": context, **fields}
    values |= _window(used, family, layers, context)
    if not values["local_layers"]:
        values.pop("local_rope_theta", None)
    return values, used.names | {*_PLAIN, "max_position_embeddings"}


def write_entries(values: dict[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a model whose fields are ``values``."""
    values = {key: value for key, value in values.items() if value != () and value is not None}
    family = values.pop("family")
    traits, layers = FAMILIES[family], values["num_hidden_layers"]
    local, silent = values.pop("local_layers", ()), values.pop("no_rope_layers", ())
    entries: dict[str, Any] = {
        "architectures": [traits.architecture],
        "model_type": family,
        "hidden_activation" if family == "gemma3_text" else "hidden_act": ACTIVATIONS[traits.activation],
    }
    if family == "granitemoehybrid":
        entries |= _write_granite4(values, silent)
    if family in ("granite", "granitemoehybrid"):
        # Without them readers assume 1, of the scores too.
        head_dim = values["head_dim"]
        entries |= {name: values.pop(field, head_dim**-0.5) for name, field in _GRANITE.items()}
        entries["logits_scaling"] = 1 / values.pop("logit_scale")
    if family == "gemma3_text":
        entries["query_pre_attn_scalar"] = round(values.pop("attention_scale") ** -2)  # it is a whole number
        entries["rope_local_base_freq"] = values.pop("local_rope_theta", values["rope_theta"])
    if family == "smollm3":
        entries["no_rope_layers"] = [int(i not in silent) for i in range(layers)]
    if family in ("gemma3_text", "mistral", "qwen2", "qwen3", "smollm3", "phi3", "olmo3"):
        # Without the keys other readers assume windows of their own.
        entries["sliding_window"] = values.pop("sliding_window", None)
        if family in ("qwen2", "qwen3", "smollm3"):
            entries["use_sliding_window"] = bool(local)
        if family not in ("mistral", "phi3"):
            kinds = ("full_attention", "sliding_attention")
            entries["layer_types"] = [kinds[i in local] for i in range(layers)]
    entries |= _write_rope(values)
    if family == "olmo3":
        plain = {"rope_type": "default", "rope_theta": values.pop("rope_theta")}
        full = plain | entries.pop("rope_scaling", {})
        local_theta = values.pop("local_rope_theta", None)
        sliding = full if local_theta is None else plain | {"rope_theta": local_theta}
        entries["rope_parameters"] = {"full_attention": full, "sliding_attention": sliding}
    for name in ("embedding_scale", "residual_scale", "logit_scale"):
        values.pop(name, None)
    return entries | values


class _Entries:
    """Looks up entries of a configuration and remembers their names."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.names: set[str] = set()

    def __call__(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        value = self._config.get(name)
        return default if value is None else value


def _gemma3(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    nested = used("rope_parameters", {}).get("sliding_attention", {})
    return {
        "attention_scale": float(used("query_pre_attn_scalar", 256)) ** -0.5,
        "embedding_scale": math.sqrt(values["hidden_size"]),
        "local_rope_theta": float(nested.get("rope_theta") or used("rope_local_base_freq", 10_000.0)),
    }


def _phi3(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    share = used("rope_parameters", {}).get("partial_rotary_factor", used("partial_rotary_factor", 1.0))
    rotary = int(values["head_dim"] * share)
    used("original_max_position_embeddings")
    return {"rotary_dim": rotary} if rotary != values["head_dim"] else {}


def _smollm3(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    layers = values["num_hidden_layers"]
    interval = used("no_rope_layer_interval", _SMOLLM3_INTERVAL)
    rotated = used("no_rope_layers") or [(i + 1) % interval for i in range(layers)]
    return {"no_rope_layers": tuple(i for i in range(layers) if not rotated[i])}


def _olmo3(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    """Layers with a window have a rotary embedding without scaling."""
    nested, theta = used("rope_parameters", {}), used("rope_theta", _OLMO3_THETA)
    full, sliding = (nested.get(f"{kind}_attention", {}) for kind in ("full", "sliding"))
    scaled = used("rope_scaling") or full.get("rope_type", "default") != "default"
    local = float(sliding.get("rope_theta") or theta)
    return {"local_rope_theta": local} if scaled or local != (full.get("rope_theta") or theta) else {}


def _granite(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {field: float(used(name, 1.0)) for name, field in _GRANITE.items()}
    return {**fields, "logit_scale": 1 / float(used("logits_scaling", 1.0))}


def _granite4(used: _Entries, values: Mapping[str, Any]) -> dict[str, Any]:
    """A dense model of Granite 4: every layer has attention and the gated unit that the others share."""
    layers = values["num_hidden_layers"]
    kinds = set(used("layer_types") or used("layers_block_type") or ["mamba"])
    if used("num_local_experts", 0) or not kinds <= {"attention", "full_attention"}:
        lacking = "mixtures of experts" if kinds <= {"attention", "full_attention"} else "state-space layers"
        raise UnsupportedModelError(
            f"Model config: Granite 4 with {lacking} is not supported.",
            hint="Its dense models are read: granite-4.0-350m, -1b and -micro, those without h- in their names.",
        )
    used.names |= {"num_experts_per_tok", "output_router_logits", "router_aux_loss_coef", "time_step_limit"}
    used.names |= {"init_method", *_MAMBA}
    if (norm := used("normalization_function", "rmsnorm")) != "rmsnorm":
        raise UnsupportedModelError(f"Model config: normalization_function={norm!r} is not supported.")
    if (positions := used("position_embedding_type")) not in ("rope", "nope", None):
        raise UnsupportedModelError(f"Model config: position_embedding_type={positions!r} is not supported.")
    return {
        **_granite(used, values),
        "intermediate_size": used("shared_intermediate_size", values["intermediate_size"]),
        "no_rope_layers": () if positions == "rope" else tuple(range(layers)),
    }


def _write_granite4(values: Mapping[str, Any], silent: Sequence[int]) -> dict[str, Any]:
    layers = values["num_hidden_layers"]
    if silent and len(silent) < layers:
        raise UnsupportedModelError("Granite 4 has positions in all layers or in none.")
    return {
        "layer_types": ["full_attention"] * layers,
        "num_local_experts": 0,
        "num_experts_per_tok": 0,
        "shared_intermediate_size": values["intermediate_size"],
        "position_embedding_type": None if silent else "rope",
    }


_OWN: dict[str, Callable[[_Entries, Mapping[str, Any]], dict[str, Any]]] = {
    "gemma3_text": _gemma3,
    "phi3": _phi3,
    "smollm3": _smollm3,
    "olmo3": _olmo3,
    "granite": _granite,
    "granitemoehybrid": _granite4,
}


def _window(used: _Entries, family: str, layers: int, context: int) -> dict[str, Any]:
    """The window and the layers that have it; nothing if it reaches over the whole context."""
    window, allowed = used("sliding_window"), used("use_sliding_window")
    kinds = layer_types(used("layer_types"))
    first = used("max_window_layers", 0) if family in ("qwen2", "qwen3") else 0
    pattern = used("sliding_window_pattern", used("_sliding_window_pattern", _GEMMA_PATTERN))
    nothing: dict[str, Any] = {"sliding_window": None, "local_layers": ()}
    # Qwen writes a window's size also where it is not used, and says so by use_sliding_window.
    if allowed is False or (family in ("qwen2", "qwen3", "smollm3") and not allowed):
        return nothing
    if window is None or window >= context:
        return nothing
    if kinds:
        local = tuple(i for i, kind in enumerate(kinds[:layers]) if kind == "sliding_attention")
    elif family in ("gemma3_text", "olmo3"):
        pattern = pattern if family == "gemma3_text" else _OLMO3_PATTERN
        local = tuple(i for i in range(layers) if (i + 1) % pattern)
    else:
        local = tuple(range(first, layers))
    return {"sliding_window": window, "local_layers": local} if local else nothing


def _write_rope(values: dict[str, Any]) -> dict[str, Any]:
    """The rotary entries; takes their fields out of ``values``."""
    size, entries = values["head_dim"], {}
    rotary = values.pop("rotary_dim", size)
    if rotary != size:
        entries["partial_rotary_factor"] = rotary / size
    scaling, divisors = values.pop("rope_scaling", None), values.pop("rope_divisors", ())
    magnitude = values.pop("rope_magnitude")
    if scaling is not None:
        entries["rope_scaling"] = {"rope_type": "llama3", **scaling}
    elif magnitude == 1 and len(set(divisors)) == 1:
        entries["rope_scaling"] = {"rope_type": "linear", "factor": divisors[0]}
    elif divisors:
        context = values["max_position_embeddings"]
        entries["original_max_position_embeddings"] = context
        entries["rope_scaling"] = {
            "rope_type": "longrope",
            "short_factor": list(divisors),
            "long_factor": list(divisors),
            "original_max_position_embeddings": context,
            "attention_factor": magnitude,
        }
    return entries


def check_layers(count: int) -> None:
    """Raise UnsupportedModelError for a number of layers that only a damaged file has."""
    if not 0 < count <= _MOST_LAYERS:
        raise UnsupportedModelError(
            f"Model config: num_hidden_layers is {count}, must be 1 to {_MOST_LAYERS:,}."
        )
