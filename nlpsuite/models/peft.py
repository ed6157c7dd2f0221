"""LoRA adapters saved by peft: a directory with adapter_config.json and adapter_model.safetensors.

Read are low-rank matrices of linear layers, with alpha and rank-stabilised scaling (Kalajdzievski 2023,
arXiv:2312.03732). Anything else in the configuration that changes the arithmetic is refused by name.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["CONFIG_FILE", "PREFIX", "WEIGHTS_FILE", "peft_settings"]

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Precedes the names of the base's layers."""

# Settings for training, or for which layers were trained, which the tensors' names say too.
_HARMLESS = frozenset(
    "peft_type auto_mapping base_model_name_or_path exclude_modules fan_in_fan_out inference_mode "
    "layers_pattern layers_to_transform lora_alpha lora_dropout peft_version qalora_group_size r revision "
    "runtime_config target_modules task_type use_rslora eva_config loftq_config corda_config lora_ga_config "
    "megatron_core".split()
)
# Initialisations that leave the base as it is; PiSSA, OLoRA, LoftQ and CorDA change its weights.
_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal")


def peft_settings(path: Path, text: bytes) -> dict[str, Any]:
    """What an adapter_config.json says for an ``AdapterInfo``; alpha is scaled as in alpha / rank.

    Args:
        path: for messages.
        text: the file's content.

    Raises:
        UnsupportedModelError: another kind of adapter, or a setting that isn't supported; names it.
        ValueError, KeyError, TypeError, AttributeError: damaged.
    """
    config = json.loads(text)
    if (kind := config.get("peft_type")) != "LORA":
        raise _unsupported(path, "peft_type", kind)
    for key, value in config.items():
        if key == "bias":
            known = value == "none"
        elif key == "init_lora_weights":
            known = value in _INITIALISATIONS
        else:
            known = key in _HARMLESS or not value
        if not known:
            raise _unsupported(path, key, value)
    rank, alpha = config["r"], config["lora_alpha"]
    unknown = ("task", "task_version", "distribution", "distribution_version", "base_fingerprint")
    return {
        **dict.fromkeys(unknown, ""),
        "rank": rank,
        "alpha": alpha * math.sqrt(rank) if config.get("use_rslora") else alpha,
        "base": str(config.get("base_model_name_or_path") or ""),
        "created_by": f"peft {config.get('peft_version') or ''}".strip(),
    }


def _unsupported(path: Path, key: str, value: Any) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{path}: {key}={value!r} is not supported.",
        hint="Supported: LoRA on linear layers, with lora_alpha and use_rslora. Merge the adapter with peft "
        "(merge_and_unload, save_pretrained) and name the merged model's directory with --model.",
    )
