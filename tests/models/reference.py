"""Models of transformers with random weights, which ours are compared with, and the files that it writes of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import VOCABULARY, tiny_tokenizer_files

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import ModelConfig

TOLERANCE = 1e-4
LENGTH = 24

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NEOX_SHAPE = {key: value for key, value in _SHAPE.items() if key != "num_key_value_heads"}
_GPT2_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_positions": 64,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# name -> model type and settings, as transformers' own configuration classes take them
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("llama", {**_SHAPE, "tie_word_embeddings": True, "rope_parameters": _ROPE}),
    "llama-untied": ("llama", {**_SHAPE, "tie_word_embeddings": False, "rms_norm_eps": 1e-3}),
    "llama3": ("llama", {**_SHAPE, "rope_parameters": _LLAMA3_ROPE, "head_dim": 32}),
    "smollm2": (
        "llama",
        {
            **_SHAPE,
            "hidden_size": 48,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
        },
    ),
    "mistral": ("mistral", {**_SHAPE, "sliding_window": None, "head_dim": 32}),
    "mistral-window": ("mistral", {**_SHAPE, "sliding_window": LENGTH}),
    "qwen2": ("qwen2", {**_SHAPE, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_SHAPE, "tie_word_embeddings": False, "head_dim": 32}),
    "mistral-short-window": ("mistral", {**_SHAPE, "sliding_window": 5}),
    "gemma3": (
        "gemma3_text",
        {**_SHAPE, "num_hidden_layers": 7, "head_dim": 32, "sliding_window": 5, "query_pre_attn_scalar": 24},
    ),
    "gemma3-stretched": (
        "gemma3_text",
        {
            **_SHAPE,
            "head_dim": 16,
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "phi3": ("phi3", {**_SHAPE, "sliding_window": 5}),
    "phi4-mini": (
        "phi3",
        {
            **_SHAPE,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.1, 1.3, 1.7, 2.5, 4.0],
                "long_factor": [2.0, 3.0, 4.0, 8.0, 16.0, 32.0],
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "smollm3": ("smollm3", {**_SHAPE, "num_hidden_layers": 4, "use_sliding_window": False}),
    "smollm3-window": (
        "smollm3",
        {**_SHAPE, "no_rope_layers": [0, 1], "use_sliding_window": True, "sliding_window": 5},
    ),
    "olmo2": ("olmo2", {**_SHAPE, "tie_word_embeddings": False}),
    "qwen2-yarn": (
        "qwen2",
        {
            **_SHAPE,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "llama-yarn": (
        "llama",
        {
            **_SHAPE,
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e3,
                "factor": 8.0,
                "original_max_position_embeddings": 32,
                "beta_fast": 8.0,
                "beta_slow": 0.5,
                "mscale": 1.0,
                "mscale_all_dim": 0.7,
                "truncate": False,
            },
        },
    ),
    "olmo3": (
        "olmo3",
        {
            **_SHAPE,
            "num_hidden_layers": 5,
            "sliding_window": 5,
            "tie_word_embeddings": False,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 16,
                "attention_factor": 1.2,
            },
        },
    ),
    "granite": (
        "granite",
        {
            **_SHAPE,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.125,
            "logits_scaling": 2.0,
        },
    ),
    # Granite 4's dense models have the class of its hybrid ones.
    "granite4": (
        "granitemoehybrid",
        {
            **_SHAPE,
            "layer_types": ["full_attention"] * 2,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 80,
            "position_embedding_type": "rope",
            "mamba_n_heads": 4,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.125,
            "logits_scaling": 2.0,
        },
    ),
    # Pythia: a quarter of each head rotated, as its config.json of old writes it.
    "gpt-neox": ("gpt_neox", {**_NEOX_SHAPE, "rotary_pct": 0.25, "rotary_emb_base": 10_000}),
    "gpt-neox-serial": (
        "gpt_neox",
        {
            **_NEOX_SHAPE,
            "use_parallel_residual": False,
            "hidden_act": "gelu_new",
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0},
        },
    ),
    "gpt2": ("gpt2", _GPT2_SHAPE),
    "gpt2-inner": ("gpt2", {**_GPT2_SHAPE, "n_inner": 80, "layer_norm_epsilon": 1e-3}),
}


def import_transformers() -> Any:
    """transformers, quiet; the test is skipped where it isn't installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own, at import
        torch = pytest.importorskip("torch")
        module = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    module.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    return module


def make_reference(transformers: Any, name: str) -> Any:
    """The model ``name`` of ``MODELS`` with peaked random weights, biases and norms among them."""
    import torch

    kind, settings = MODELS[name]
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(kind, **settings)
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                wide = "emb" in parameter_name or "wte" in parameter_name or "wpe" in parameter_name
                parameter.copy_(noise / 4 if wide else 2 * noise / parameter.shape[-1] ** 0.5)
            else:
                parameter.add_(noise / 8)
    return model


def saved(model: Any, directory: Path, **options: Any) -> Path:
    model.save_pretrained(directory, **options)
    for name, text in tiny_tokenizer_files().items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def token_ids(rows: int = 2) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(7).integers(3, VOCABULARY, (rows, LENGTH)))


def logits_of(model: Any, ids: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=ids).logits


def assert_same_logits(checkpoint: Checkpoint, expected: Any) -> None:
    import torch

    from nlpsuite.models.language_module import load_module

    with torch.no_grad():
        logits, _ = load_module(checkpoint)(token_ids())
    # Flat logits would agree whatever the model did.
    assert expected.std(dim=2).min() > 0.3
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)


def with_weights(transformers: Any, config: ModelConfig, weights: dict[str, Any], **changes: Any) -> Any:
    """A model of transformers with these weights, without a detour over our files; its settings may be changed."""
    import torch

    settings = json.loads(json.dumps({**config.to_hf(), **changes}))
    kind = settings.pop("model_type")
    settings["pad_token_id"] = 0  # some have a default that lies outside this vocabulary
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **settings))
    state = {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
    if kind == "gpt2":
        conv = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
        state = {name: values.T if name.endswith(conv) else values for name, values in state.items()}
    for name, parts in config.stacked().items():
        if len(parts) == 1:  # a name in checkpoints alone
            continue
        state[name] = torch.cat([state.pop(part) for part in parts])
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()
