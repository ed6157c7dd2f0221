"""Reading a Hugging Face ``config.json``: what the architectures have in common.

A key that isn't read is refused by name unless it is known to be harmless: silently ignoring a setting
could give wrong numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["layer_types", "refuse_unknown", "required"]

# Defaults for generation, which older checkpoints store in config.json.
_GENERATION = (
    "do_sample temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff num_beams "
    "num_beam_groups num_return_sequences early_stopping length_penalty diversity_penalty penalty_alpha "
    "repetition_penalty encoder_repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size "
    "max_length min_length max_new_tokens min_new_tokens max_time stop_strings bad_words_ids "
    "force_words_ids sequence_bias guidance_scale renormalize_logits constraints remove_invalid_values "
    "forced_bos_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens sep_token_id "
    "decoder_start_token_id exponential_decay_length_penalty output_scores output_logits "
    "return_dict_in_generate generation_config cache_implementation watermarking_config "
    "prompt_lookup_num_tokens assistant_confidence_threshold"
)
# Keys that don't affect the arithmetic of a forward pass.
_HARMLESS = frozenset(
    _GENERATION.split()
    + (
        "architectures model_type torch_dtype dtype transformers_version use_cache initializer_range "
        "bos_token_id eos_token_id pad_token_id unk_token_id attention_dropout resid_pdrop embd_pdrop "
        "attn_pdrop hidden_dropout classifier_dropout task_specific_params summary_type summary_use_proj summary_activation "
        "summary_proj_to_labels summary_first_dropout gradient_checkpointing tokenizer_class "
        "is_llama_config transformers.js_config max_window_layers id2label label2id return_dict "
        "output_hidden_states output_attentions chunk_size_feed_forward is_encoder_decoder problem_type "
        "is_decoder license datasets unsloth_version unsloth_fixed original_max_position_embeddings "
        "torchscript use_bfloat16 tf_legacy_loss finetuning_task prefix tie_encoder_decoder"
    ).split()
)


def refuse_unknown(
    config: Mapping[str, Any], read: Set[str], harmless: Mapping[str, tuple[Any, ...]]
) -> None:
    """Raise UnsupportedModelError for a key that may change the arithmetic and isn't read.

    Args:
        read: the keys that the caller reads.
        harmless: further keys, with the values that change nothing.
    """
    for key, value in config.items():
        if key in read or key in _HARMLESS or key.startswith("_") or value is None:
            continue
        if key in harmless:
            known = value in harmless[key]
        else:
            known = value is False or value == 0 or value == [] or value == {}
        if not known:
            raise UnsupportedModelError(
                f"Model config: {key}={value!r} is not supported.",
                hint="It may change what the model computes. If you are sure it doesn't, remove the key.",
            )


def required(config: Mapping[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise UnsupportedModelError(f"Model config: {key!r} is missing.")
    return config[key]


def layer_types(kinds: Any) -> list[str]:
    """Hugging Face's ``layer_types``, checked; empty without any."""
    found = ["full_attention" if kind == "attention" else str(kind) for kind in kinds or ()]
    if unknown := [kind for kind in found if kind not in ("full_attention", "sliding_attention")]:
        raise UnsupportedModelError(f"Model config: layer type {unknown[0]!r} is not supported.")
    return found
