"""LoRA adapters saved by peft: a directory with adapter_config.json and adapter_model.safetensors.

Read are low-rank matrices of linear layers, with alpha and rank-stabilised scaling (Kalajdzievski 2023,
arXiv:2312.03732), ranks and alphas of some layers by patterns, and whole tensors (``modules_to_save``). Anything else
in the configuration that changes the arithmetic is refused by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.low_rank import same_rank

__all__ = [
    "CONFIG_FILE",
    "PREFIX",
    "UNKNOWN_TO_OTHERS",
    "WEIGHTS_FILE",
    "peft_config",
    "peft_name",
    "peft_settings",
    "saved_whole",
    "without_patterns",
]

Array = npt.NDArray[Any]

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
UNKNOWN_TO_OTHERS = ("task", "task_version", "distribution", "distribution_version", "base_fingerprint")
"""Fields of an ``AdapterInfo`` that other programs' adapters don't have."""
PREFIX = "base_model.model."
"""Precedes the names of the base's layers."""
_A, _B = ".lora_A.weight", ".lora_B.weight"

# Settings for training, or for which layers were trained, which the tensors' names say too.
_HARMLESS = frozenset(
    "peft_type auto_mapping base_model_name_or_path exclude_modules fan_in_fan_out inference_mode "
    "layers_pattern layers_to_transform lora_alpha lora_dropout peft_version qalora_group_size r revision "
    "runtime_config target_modules task_type use_rslora eva_config loftq_config corda_config lora_ga_config "
    "megatron_core modules_to_save ensure_weight_tying rank_pattern alpha_pattern".split()
)
# Initialisations that leave the base as it is; PiSSA, OLoRA, LoftQ and CorDA change its weights.
_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal")
# Regular expressions in patterns of layers: names, alternatives, and few repetitions, so that none takes long.
_PLAIN = r"[\w.^$\\()|\[\]-]*"
_PATTERN = re.compile(rf"{_PLAIN}((\.\*|\\d\+){_PLAIN}){{0,3}}")


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
    for pattern in (*_patterns(config, "rank_pattern"), *_patterns(config, "alpha_pattern")):
        if not _PATTERN.fullmatch(pattern):
            raise _unsupported(path, "a pattern", pattern)
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"the pattern {pattern!r}: {error}") from None
    rank, alpha = config["r"], config["lora_alpha"]
    return {
        **dict.fromkeys(UNKNOWN_TO_OTHERS, ""),
        "rank": rank,
        "alpha": alpha * math.sqrt(rank) if config.get("use_rslora") else alpha,
        "base": str(config.get("base_model_name_or_path") or ""),
        "created_by": f"peft {config.get('peft_version') or ''}".strip(),
    }


def _patterns(config: Mapping[str, Any], key: str) -> dict[str, float]:
    """A mapping of patterns of layers' names to numbers."""
    return dict(config.get(key) or {})


def without_patterns(text: bytes, tensors: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Of an adapter whose layers have ranks and alphas of their own, the common ones and the matrices that go with them.

    Args:
        text: of the adapter_config.json.
        tensors: by the base's names, without whole ones.

    Returns:
        ``rank`` and ``alpha``, as in alpha / rank; nothing if the configuration has no patterns. Then the tensors.

    Raises:
        ValueError, KeyError, TypeError: damaged.
    """
    config = json.loads(text)
    ranks, alphas = _patterns(config, "rank_pattern"), _patterns(config, "alpha_pattern")
    if not (ranks or alphas):
        return {}, dict(tensors)
    root = math.sqrt if config.get("use_rslora") else float
    pairs, scales = {}, {}
    for name, a in tensors.items():
        layer = name.removesuffix(_A)
        if layer == name:
            continue
        rank = _own(ranks, layer, config["r"])
        if a.ndim != 2 or len(a) != rank or not rank:
            raise ValueError(f"{name} has shape {list(a.shape)}, which does not have rank {rank}")
        pairs[layer] = (a, tensors[layer + _B])
        scales[layer] = _own(alphas, layer, config["lora_alpha"]) / root(rank)
    if not pairs:
        return {}, dict(tensors)
    # Of the largest scale, so that no factor of a matrix is above 1.
    common = max(map(abs, scales.values())) or 1.0
    found = {
        layer + part: matrix
        for layer, pair in same_rank(pairs, scales, common).items()
        for part, matrix in zip((_A, _B), pair)
    }
    rank = max(len(a) for a, _ in pairs.values())
    left = {name: values for name, values in tensors.items() if name not in found}
    return {"rank": rank, "alpha": common * rank}, {**found, **left}


def _own(patterns: Mapping[str, float], layer: str, default: float) -> float:
    """What the first pattern that matches the end of a layer's name says."""
    return next((n for p, n in patterns.items() if re.match(rf"(.*\.)?({p})$", layer)), default)


def saved_whole(text: bytes, tensors: Iterable[str]) -> list[str]:
    """Those of an adapter's tensors that replace the base's, which ``modules_to_save`` names."""
    modules = set(json.loads(text).get("modules_to_save") or ())
    return [name for name in tensors if ".lora_" not in name and modules & set(name.split("."))]


def peft_name(name: str) -> str:
    """The base's name of a tensor in an adapter_model.safetensors."""
    return re.sub(r"\.modules_to_save(\.default)?\.", ".", name.removeprefix(PREFIX))


def peft_config(rank: int, alpha: float, base: str, layers: Mapping[str, object], *, transposed: bool) -> str:
    """The adapter_config.json of an adapter on these layers of a model.

    Args:
        layers: their names.
        transposed: the base stores its matrices as (inputs, outputs), as GPT-2 does.
    """
    entries = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
        # Only these, should a model have others of that name.
        "layers_to_transform": None,
        "modules_to_save": None,
        "use_rslora": False,
        "inference_mode": True,
    }
    return json.dumps(entries, indent=2) + "\n"


def _unsupported(path: Path, key: str, value: Any) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{path}: {key}={value!r} is not supported.",
        hint="Supported: LoRA on linear layers, with use_rslora, modules_to_save, rank_pattern and alpha_pattern. Merge the adapter with peft "
        "(merge_and_unload, save_pretrained) and name the merged model's directory with --model.",
    )
