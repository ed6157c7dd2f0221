"""Reading a Hugging Face ``config.json``: what the architectures have in common.

A key that nobody reads is refused by name unless it is known to change nothing, since a setting that
is passed over in silence would give wrong numbers.
"""

from __future__ import annotations

from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["refuse_unknown", "required", "sliding_window"]

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


def refuse_unknown(config: dict[str, Any], read: set[str], neutral: dict[str, tuple[Any, ...]]) -> None:
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


def required(config: dict[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise UnsupportedModelError(f"Model config: {key!r} is missing.")
    return config[key]


def sliding_window(config: dict[str, Any], family: str) -> int | None:
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
