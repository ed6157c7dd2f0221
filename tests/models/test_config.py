"""Reading config.json: what published models have in it, in every form that transformers has written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import CONFIGS

from nlpsuite.errors import NlpsuiteError, UnsupportedModelError
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.config import (
    DecoderConfig,
    GPT2Config,
    LSTMConfig,
    ModelConfig,
    RopeScaling,
    config_from_hf,
)

LLAMA_32 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0",
    "use_cache": True,
    "vocab_size": 128256,
}
SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 49152,
}
MISTRAL = {
    "architectures": ["MistralForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
QWEN25 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
TINYLLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 5632,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 22,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.35.0",
    "use_cache": True,
    "vocab_size": 32000,
}

# What was published, what of a configuration's fields it doesn't say in so many words, and the number of weights.
READ: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "Llama-3.2-1B": (LLAMA_32, {"rope_scaling": RopeScaling(32.0, 1.0, 4.0, 8_192)}, 1_235_814_400),
    "SmolLM2-135M": (SMOLLM2, {"head_dim": 64}, 134_515_008),
    "Mistral-7B-v0.1": (
        MISTRAL,
        {"head_dim": 128, "family": "mistral", "local_layers": tuple(range(32))},
        7_241_732_096,
    ),
    "Qwen2.5-0.5B": (QWEN25, {"head_dim": 64, "family": "qwen2", "sliding_window": None}, 494_032_768),
    "Qwen3-0.6B": (QWEN3, {"family": "qwen3"}, 596_049_920),
    "GPT-2": (GPT2, {"n_inner": 3_072}, 124_439_808),
    "TinyLlama-1.1B": (TINYLLAMA, {"head_dim": 64}, 1_100_048_384),
}


def as_transformers_5(config: dict[str, Any]) -> dict[str, Any]:
    """The form that transformers 5 saves the same configuration in."""
    new = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling")}
    if "rope_theta" in config:
        scaling = config.get("rope_scaling") or {"rope_type": "default"}
        new["rope_parameters"] = {"rope_theta": config["rope_theta"], **scaling}
    if "torch_dtype" in new:
        new["dtype"] = new.pop("torch_dtype")
    if config["model_type"] in ("qwen2", "qwen3"):
        new["layer_types"] = ["full_attention"] * config["num_hidden_layers"]
        new["sliding_window"] = None
    return {**new, "transformers_version": "5.2.0"}


@pytest.mark.parametrize("name", READ)
def test_published_configurations(name: str) -> None:
    published, other, parameters = READ[name]
    cls: type[ModelConfig] = GPT2Config if name == "GPT-2" else DecoderConfig
    said = {f.name: published[f.name] for f in dataclasses.fields(cls) if f.name in published}
    expected = cls(**{**said, **other})
    config = config_from_hf(published)
    assert config == expected
    assert config.parameter_count() == parameters
    assert config_from_hf(as_transformers_5(published)) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_read_again(name: str) -> None:
    assert config_from_hf(CONFIGS[name].to_hf()) == CONFIGS[name]


def test_the_default_lstm() -> None:
    config = LSTMConfig()
    assert (config.vocab_size, config.embedding_size, config.hidden_size) == (10_000, 300, 1_024)
    assert config_from_hf(config.to_hf()) == config
    assert config.recurrent and config.tied_head is None


@pytest.mark.parametrize(
    ("config", "local"),
    [
        ({**QWEN25, "use_sliding_window": True, "sliding_window": 4_096}, [21, 22, 23]),
        ({**QWEN25, "use_sliding_window": False, "sliding_window": 4_096}, []),
        ({**MISTRAL, "sliding_window": None}, []),
        ({**MISTRAL, "sliding_window": 32_768}, []),  # the whole context
        ({**MISTRAL, "layer_types": ["full_attention"] * 32}, []),
        ({**MISTRAL, "layer_types": ["full_attention", "sliding_attention"] * 16}, list(range(1, 32, 2))),
    ],
)
def test_layers_with_a_sliding_window(config: dict[str, Any], local: list[int]) -> None:
    read = config_from_hf(config)
    assert isinstance(read, DecoderConfig)
    assert list(read.local_layers) == local and read.sliding_window == (4_096 if local else None)
    assert read.context_length == 32_768


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_local_experts": 8}, "mixtures of experts"),
        ({"n_routed_experts": 64, "moe_intermediate_size": 9}, "mixtures of experts"),
        ({"mamba_d_state": 16}, "models with state-space or recurrent layers"),
        ({"num_experts": 8, "linear_num_key_heads": 2}, "mixtures of experts and models with state-space"),
        ({"vision_config": {"depth": 2}}, "models that read images"),
        ({"num_experts": 0, "vocab_size": 9}, "is not supported\\."),
    ],
)
def test_why_an_architecture_is_not_supported(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        config_from_hf({"architectures": ["NewForCausalLM"], **settings})
    assert "'NewForCausalLM'" in caught.value.message


@pytest.mark.parametrize("name", ["GemmaForCausalLM", "MixtralForCausalLM", "LlamaForSequenceClassification"])
def test_another_architecture_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"'{name}'"):
        config_from_hf({**LLAMA_32, "architectures": [name]})


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        (LLAMA_32, "attention_bias", True),
        (LLAMA_32, "mlp_bias", True),
        (LLAMA_32, "hidden_act", "gelu"),
        (LLAMA_32, "logit_scale", 0.0625),
        (LLAMA_32, "num_local_experts", 8),
        (LLAMA_32, "quantization_config", {"bits": 4}),
        (LLAMA_32, "partial_rotary_factor", 0.5),
        (LLAMA_32, "rope_scaling", {"rope_type": "yarn", "factor": 4.0, "extrapolation_factor": 2.0}),
        (LLAMA_32, "rope_scaling", {"rope_type": "yarn", "factor": 0.5}),
        (LLAMA_32, "rope_scaling", {"rope_type": "yarn", "factor": 4.0, "beta_fast": "x"}),
        (LLAMA_32, "rope_scaling", {"type": "dynamic", "factor": 2.0}),
        (
            LLAMA_32,
            "rope_parameters",
            {"rope_type": "llama3", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
        ),
        (QWEN3, "attention_bias", True),
        (QWEN3, "layer_types", ["linear_attention"] * 28),
        (GPT2, "activation_function", "relu"),
        (GPT2, "scale_attn_by_inverse_layer_idx", True),
        (GPT2, "scale_attn_weights", False),
        (GPT2, "add_cross_attention", True),
        (CONFIGS["lstm"].to_hf(), "bidirectional", True),
    ],
)
def test_a_setting_that_changes_the_arithmetic_is_refused_by_name(
    config: dict[str, Any], key: str, value: Any
) -> None:
    named = {
        "rope_scaling": "Rotary scaling|rope setting|YaRN with",
        "rope_parameters": "partial_rotary",
        "layer_types": "layer type",
    }
    with pytest.raises(UnsupportedModelError, match=named.get(key, key)):
        config_from_hf({**config, key: value})


@pytest.mark.parametrize(
    "change",
    [
        {"factor": float("inf")},
        {"factor": float("nan")},
        {"factor": 0.0},
        {"low_freq_factor": 4.0},
        {"original_max_position_embeddings": 0},
    ],
    ids=str,
)
def test_impossible_rotary_scaling(change: dict[str, float]) -> None:
    scaling = LLAMA_32["rope_scaling"]
    assert isinstance(scaling, dict)
    with pytest.raises(UnsupportedModelError, match="impossible"):
        config_from_hf({**LLAMA_32, "rope_scaling": {**scaling, **change}})
    with pytest.raises(UnsupportedModelError, match="lacks 'high_freq_factor'"):
        config_from_hf(
            {**LLAMA_32, "rope_scaling": {key: v for key, v in scaling.items() if key != "high_freq_factor"}}
        )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([published for published, *_ in READ.values()]), st.data())
def test_any_value_in_place_of_another_is_read_or_refused(
    tmp_path: Path, published: dict[str, Any], data: st.DataObject
) -> None:
    """The directory holds no weights, so it is refused in the end; but never with a traceback."""
    (tmp_path / "tokenizer.json").touch()
    changed = {**published, data.draw(st.sampled_from(sorted(published))): data.draw(_JSON)}
    if isinstance(changed.get("rope_scaling"), dict) and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(changed["rope_scaling"]) or ["factor"]))
        changed["rope_scaling"] = {**changed["rope_scaling"], key: data.draw(_JSON)}
    (tmp_path / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(NlpsuiteError) as raised:
        open_checkpoint(tmp_path)
    assert raised.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "max_length": 50},
        {"temperature": 0.6, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1},
        {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0, "no_repeat_ngram_size": 3},
        {"max_new_tokens": 20, "min_length": 5, "bad_words_ids": [[7]], "forced_eos_token_id": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", CONFIGS)
def test_settings_for_generation_are_harmless(name: str, settings: dict[str, Any]) -> None:
    config = CONFIGS[name]
    assert config_from_hf({**config.to_hf(), **settings}) == config
