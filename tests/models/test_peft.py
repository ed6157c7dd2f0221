"""LoRA adapters as peft saves them: a directory with adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny import CONFIGS, GPT2, write_gguf_lora, write_tiny_checkpoint, write_tiny_gguf

from nlpsuite.errors import (
    AdapterMismatchError,
    BundleCorruptError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from nlpsuite.models.adapter import Adapter
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.merged import MergedCheckpoint

Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
SHAPES = {Q: (64, 64), DOWN: (64, 96)}
# What peft writes beside the settings that matter.
DEFAULTS = {
    "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "owner/tiny", "bias": "none",
    "corda_config": None, "eva_config": None, "exclude_modules": None, "fan_in_fan_out": False,
    "inference_mode": True, "init_lora_weights": True, "layer_replication": None, "layers_pattern": None,
    "layers_to_transform": None, "loftq_config": {}, "lora_alpha": 8, "lora_bias": False, "lora_dropout": 0.05,
    "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None, "peft_type": "LORA",
    "qalora_group_size": 16, "r": 4, "rank_pattern": {}, "revision": None,
    "target_modules": ["q_proj", "down_proj"], "target_parameters": None, "task_type": "CAUSAL_LM",
    "trainable_token_indices": None, "use_dora": False, "use_qalora": False, "use_rslora": False,
}  # fmt: skip


def write_peft(
    directory: Path,
    shapes: dict[str, tuple[int, int]] = SHAPES,
    extra: dict[str, Any] | None = None,
    ranks: dict[str, int] | None = None,
    **config: Any,
) -> dict[str, Any]:
    """An adapter with random weights; gives the products B A by layer."""
    directory.mkdir(exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps({**DEFAULTS, **config}), encoding="utf-8")
    (directory / "README.md").write_text("# LoRA")
    draw = np.random.default_rng(0).standard_normal
    tensors, products = {}, {}
    for layer, (outputs, inputs) in shapes.items():
        rank = (ranks or {}).get(layer, 4)
        a, b = draw((rank, inputs)).astype(np.float32), draw((outputs, rank)).astype(np.float32)
        tensors[f"base_model.model.{layer}.lora_A.weight"] = a
        tensors[f"base_model.model.{layer}.lora_B.weight"] = b
        products[layer] = b.astype(np.float64) @ a
    save_file({**tensors, **(extra or {})}, directory / "adapter_model.safetensors", {"format": "pt"})
    return products


@pytest.mark.parametrize(
    ("config", "scale"),
    [({}, 2.0), ({"lora_alpha": 1}, 0.25), ({"use_rslora": True}, 8 / math.sqrt(4)), ({"init_lora_weights": "gaussian"}, 2.0)],
)  # fmt: skip
def test_its_weights_are_merged(
    tmp_path: Path, tiny_checkpoint: Checkpoint, config: dict[str, Any], scale: float
) -> None:
    products = write_peft(tmp_path / "my-lora", **config)
    for path in (tmp_path / "my-lora", tmp_path / "my-lora" / "adapter_model.safetensors"):
        adapter = Adapter.open(path)
        merged = MergedCheckpoint(tiny_checkpoint, adapter)
        assert merged.name == f"{tiny_checkpoint.name}+my-lora"
        assert (adapter.info.base, adapter.info.task, adapter.info.created_by) == ("owner/tiny", "", "peft")
        for layer, product in products.items():
            change = merged.tensor(f"{layer}.weight") - tiny_checkpoint.tensor(f"{layer}.weight")
            np.testing.assert_allclose(change, scale * product, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(
            merged.tensor("model.norm.weight"), tiny_checkpoint.tensor("model.norm.weight")
        )


@pytest.mark.parametrize(
    "pattern",
    ["q_proj", "self_attn.q_proj", r"^model\.layers\.0\..*q_proj", r".*\.\d+\.self_attn.(q|k)_proj"],
)
@pytest.mark.parametrize("rslora", [False, True])
def test_layers_with_ranks_and_alphas_of_their_own(
    tmp_path: Path, tiny_checkpoint: Checkpoint, pattern: str, rslora: bool
) -> None:
    products = write_peft(
        tmp_path / "lora",
        ranks={Q: 9},
        rank_pattern={"k_proj": 2, pattern: 9, "proj": 7},
        alpha_pattern={"down_proj": 3},
        use_rslora=rslora,
    )
    # A pattern ends where a name of a part ends: "proj" is none of these layers.
    scales = {Q: 8 / (3 if rslora else 9), DOWN: 3 / (2 if rslora else 4)}
    adapter = Adapter.open(tmp_path / "lora")
    assert adapter.info.rank == 9
    merged = MergedCheckpoint(tiny_checkpoint, adapter)
    for layer, product in products.items():
        change = merged.tensor(f"{layer}.weight") - tiny_checkpoint.tensor(f"{layer}.weight")
        np.testing.assert_allclose(change, scales[layer] * product, rtol=1e-4, atol=1e-4)


def test_an_adapter_of_some_layers(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """Which layers were trained is said by the tensors that are there."""
    write_peft(tmp_path / "lora", {Q: SHAPES[Q]}, layers_to_transform=[0], layers_pattern="layers")
    merged = MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora"))
    assert merged.adapter.names == [f"{Q}.weight"]


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
def test_patterns_that_could_take_forever_or_say_nothing(tmp_path: Path, key: str) -> None:
    for pattern in ("(a+)+", "(.*)*", ".*.*.*.*q_proj", "(q_proj"):
        write_peft(tmp_path / "lora", **{key: {pattern: 4}})
        with pytest.raises((UnsupportedModelError, BundleCorruptError), match=re.escape(pattern)):
            Adapter.open(tmp_path / "lora")
    for value in ({"q_proj": 0}, {"q_proj": "x"}, ["q_proj"], {"q_proj": None}):
        write_peft(tmp_path / "lora", **{key: value})
        if key == "rank_pattern" or value != {"q_proj": 0}:
            with pytest.raises(BundleCorruptError):
                Adapter.open(tmp_path / "lora")


def test_the_settings_are_part_of_what_identifies_it(tmp_path: Path) -> None:
    write_peft(tmp_path / "a")
    write_peft(tmp_path / "b", lora_alpha=16)
    assert Adapter.open(tmp_path / "a").sha256 != Adapter.open(tmp_path / "b").sha256


def test_layers_of_gpt2_are_stored_in_the_same_direction(tmp_path: Path) -> None:
    base = open_checkpoint(write_tiny_checkpoint(tmp_path / "gpt2", config=GPT2))
    layer = "transformer.h.0.attn.c_attn"
    shape = dict(base.config.parameter_shapes())[f"{layer}.weight"]
    products = write_peft(tmp_path / "lora", {layer: shape}, fan_in_fan_out=True)
    merged = MergedCheckpoint(base, Adapter.open(tmp_path / "lora"))
    change = merged.tensor(f"{layer}.weight") - base.tensor(f"{layer}.weight")
    np.testing.assert_allclose(change, 2 * products[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": "LOHA"},
        {"peft_type": "PREFIX_TUNING"},
        {"peft_type": None},
        {"use_dora": True},
        {"bias": "all"},
        {"lora_bias": True},
        {"init_lora_weights": "pissa_niter_4"},
        {"layer_replication": [[0, 2]]},
        {"target_parameters": ["experts"]},
        {"trainable_token_indices": [1]},
        {"setting_of_a_later_version": 3},
    ],
    ids=str,
)
def test_what_is_not_supported_is_named(tmp_path: Path, config: dict[str, Any]) -> None:
    write_peft(tmp_path / "lora", **config)
    (key, value) = next(iter(config.items()))
    with pytest.raises(UnsupportedModelError) as caught:
        Adapter.open(tmp_path / "lora")
    assert f"{key}={value!r} is not supported" in caught.value.message
    assert "merge_and_unload" in caught.value.hint


def test_whole_tensors_replace_the_bases(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    table = np.random.default_rng(1).standard_normal(
        tiny_checkpoint.tensor("model.embed_tokens.weight").shape
    )
    norm = np.full(64, 3, np.float16)
    extra = {
        "base_model.model.model.embed_tokens.modules_to_save.default.weight": table.astype(
            "f4"
        ),  # by an older peft
        "base_model.model.model.norm.weight": norm,
    }
    modules: dict[str, Any] = {"modules_to_save": ["embed_tokens", "norm"]}
    write_peft(tmp_path / "lora", extra=extra, **modules)
    with pytest.raises(
        UnsupportedModelError, match="the head's weight too"
    ):  # which peft then leaves as it was
        MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora"))
    modules["ensure_weight_tying"] = True
    write_peft(tmp_path / "lora", extra=extra, **modules)
    merged = MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora"))
    np.testing.assert_array_equal(merged.tensor("model.embed_tokens.weight"), table.astype("f4"))
    np.testing.assert_array_equal(merged.tensor("model.norm.weight"), norm)
    assert merged.quantized("model.embed_tokens.weight") is None
    for values, error in ((norm[:9], AdapterMismatchError), (norm * np.float16(np.inf), BundleCorruptError)):
        extra["base_model.model.model.norm.weight"] = values
        write_peft(tmp_path / "lora", extra=extra, **modules)
        with pytest.raises(error):
            MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora"))


def test_matrices_that_the_base_stores_as_one(tmp_path: Path) -> None:
    base = open_checkpoint(write_tiny_checkpoint(tmp_path / "phi3", config=CONFIGS["phi3"]))
    layer = "model.layers.1.self_attn.qkv_proj"
    products = write_peft(tmp_path / "lora", {layer: (128, 64)}, target_modules=["qkv_proj"])
    merged = MergedCheckpoint(base, Adapter.open(tmp_path / "lora"))
    names = [f"model.layers.1.self_attn.{part}_proj.weight" for part in "qkv"]
    change = np.concatenate([merged.tensor(name) - base.tensor(name) for name in names])
    np.testing.assert_allclose(change, 2 * products[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "gpt-neox", "gpt2"])
def test_gguf_files_change_what_they_change_in_llama_cpp(tmp_path: Path, name: str) -> None:
    """Written by the converter's rules: tensors renamed, rows in the order of the base's GGUF file."""
    config = CONFIGS[name]
    base = open_checkpoint(write_tiny_checkpoint(tmp_path / name, config=config))
    shapes = {
        n: s for n, s in config.parameter_shapes() if len(s) == 2 and not re.search("embed|wte|wpe|head", n)
    }
    draw = np.random.default_rng(0).standard_normal
    pairs = {n: (draw((4, s[1])).astype("f4"), draw((s[0], 4)).astype("f4")) for n, s in shapes.items()}
    for part in (part for parts in config.stacked().values() for part in parts if part in pairs):
        stack = next(parts for parts in config.stacked().values() if part in parts)
        pairs[part] = (pairs[stack[0]][0], pairs[part][1])  # one A for the stored matrix
    write_gguf_lora(tmp_path / "my-lora.gguf", config, pairs, alpha=8.0)
    adapter = Adapter.open(tmp_path / "my-lora.gguf")
    assert (adapter.label, adapter.info.rank, adapter.info.created_by) == ("my-lora", 4, "llama.cpp")
    merged = MergedCheckpoint(base, adapter)
    assert set(merged.adapter.names) == set(pairs)
    for parameter, (a, b) in pairs.items():
        change = merged.tensor(parameter) - base.tensor(parameter)
        np.testing.assert_allclose(change, 2 * b @ a, rtol=1e-4, atol=1e-4, err_msg=parameter)


def test_other_gguf_files(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    write_tiny_gguf(tmp_path / "model.gguf")
    with pytest.raises(UnsupportedModelError, match="not a LoRA adapter"):
        Adapter.open(tmp_path / "model.gguf")
    pair = (np.ones((4, 64), "f4"), np.ones((64, 4), "f4"))
    for pairs, error in (
        ({"blk.9.attn_q.weight": pair}, AdapterMismatchError),
        ({"blk.0.attn_q.weight": (pair[0], pair[1][:32])}, AdapterMismatchError),
        ({"blk.0.attn_q.weight": (pair[0], pair[1][:, :2])}, BundleCorruptError),
    ):
        write_gguf_lora(tmp_path / "lora.gguf", CONFIGS["llama"], pairs, alpha=8.0, renamed=True)
        with pytest.raises(error):
            MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora.gguf"))


def test_gguf_pairs_of_several_ranks(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """llama.cpp divides alpha by the rank of each pair."""
    shapes = {"blk.0.attn_v.weight": (32, 64, 4), "blk.0.ffn_up.weight": (96, 64, 2)}
    pairs = {n: (np.ones((r, i), "f4"), np.ones((o, r), "f4")) for n, (o, i, r) in shapes.items()}
    write_gguf_lora(tmp_path / "lora.gguf", CONFIGS["llama"], pairs, alpha=8.0, renamed=True)
    merged = MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora.gguf"))
    for name in ("self_attn.v_proj", "mlp.up_proj"):
        change = merged.tensor(f"model.layers.0.{name}.weight") - tiny_checkpoint.tensor(
            f"model.layers.0.{name}.weight"
        )
        np.testing.assert_allclose(change, 8, atol=1e-4)  # 8 / r times r ones


def test_other_layers_and_shapes_are_refused(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    for layer, shape, message in (
        ("model.layers.9.mlp.up_proj", (96, 64), "which tiny-random does not have"),
        (Q, (32, 64), "it has"),
    ):
        write_peft(tmp_path / "lora", {layer: shape})
        with pytest.raises(AdapterMismatchError, match=message):
            MergedCheckpoint(tiny_checkpoint, Adapter.open(tmp_path / "lora"))


def test_damage(tmp_path: Path) -> None:
    write_peft(
        tmp_path / "lora",
        extra={"base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((4, 4), "f4")},
    )
    with pytest.raises(BundleCorruptError, match="lora_embedding_A"):
        Adapter.open(tmp_path / "lora")
    for text in (
        "",
        "[]",
        "{}",
        '{"peft_type": "LORA"}',
        json.dumps({**DEFAULTS, "r": "x"}),
        json.dumps({**DEFAULTS, "r": 2}),
    ):
        write_peft(tmp_path / "lora")
        (tmp_path / "lora" / "adapter_config.json").write_text(text)
        with pytest.raises((BundleCorruptError, UnsupportedModelError)):
            Adapter.open(tmp_path / "lora")
    (tmp_path / "lora" / "adapter_model.safetensors").rename(tmp_path / "lora" / "adapter_model.bin")
    with pytest.raises(ModelNotFoundError, match="adapter_model.safetensors") as caught:
        Adapter.open(tmp_path / "lora")
    assert "Pickled" in caught.value.hint
