"""The shape of a decoder language model, read from and written to Hugging Face ``config.json``."""

from __future__ import annotations

import dataclasses
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["DecoderConfig"]

# Keys of a Llama config.json whose other values would change the arithmetic.
_REQUIRED_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "rope_scaling": (None,),
    "sliding_window": (None,),
    "pretraining_tp": (1, None),
    "quantization_config": (None,),
}


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Sizes and constants of a Llama-family decoder; names follow Hugging Face configs."""

    vocab_size: int
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

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and value <= 0:
                raise UnsupportedModelError(f"Model config: {field.name} is {value}, must be positive.")
        if self.num_attention_heads % self.num_key_value_heads:
            raise UnsupportedModelError(
                f"Model config: {self.num_attention_heads} attention heads can't share "
                f"{self.num_key_value_heads} key-value heads evenly."
            )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderConfig:
        """Read a Hugging Face ``config.json``.

        Raises:
            UnsupportedModelError: another architecture, or a setting this model lacks.
        """
        architectures = config.get("architectures") or [config.get("model_type", "unknown")]
        if architectures[0] not in ("LlamaForCausalLM", "llama"):
            raise UnsupportedModelError(
                f"Architecture {architectures[0]!r} is not supported.",
                hint="Supported: LlamaForCausalLM (Llama, SmolLM2, TinyLlama).",
            )
        rope = config.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default":
            raise UnsupportedModelError(f"Rotary scaling {rope['rope_type']!r} is not supported.")
        for key, allowed in _REQUIRED_VALUES.items():
            if key in config and config[key] not in allowed:
                raise UnsupportedModelError(f"Model config: {key}={config[key]!r} is not supported.")
        try:
            heads = config["num_attention_heads"]
            return cls(
                vocab_size=config["vocab_size"],
                hidden_size=config["hidden_size"],
                intermediate_size=config["intermediate_size"],
                num_hidden_layers=config["num_hidden_layers"],
                num_attention_heads=heads,
                num_key_value_heads=config.get("num_key_value_heads") or heads,
                head_dim=config.get("head_dim") or config["hidden_size"] // heads,
                max_position_embeddings=config["max_position_embeddings"],
                rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
                rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
                tie_word_embeddings=config.get("tie_word_embeddings", False),
            )
        except KeyError as error:
            raise UnsupportedModelError(f"Model config: {error.args[0]!r} is missing.") from None

    def to_hf(self) -> dict[str, Any]:
        """The equivalent Hugging Face ``config.json`` object."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            **dataclasses.asdict(self),
        }
