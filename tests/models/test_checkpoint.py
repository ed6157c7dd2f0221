"""Opening checkpoints: GGUF files and Hugging Face directories give the same model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file
from tiny import (
    CONFIGS,
    GGUF_CONFIGS,
    LLAMA,
    VOCABULARY,
    Weights,
    random_weights,
    tiny_tokenizer_json,
    write_tiny_checkpoint,
    write_tiny_gguf,
)
from tokenizers import Tokenizer, processors

from nlpsuite.errors import BundleCorruptError, ModelNotFoundError, UnsupportedModelError
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.config import DecoderConfig, ModelConfig


def write_gguf(path: Path, weights: Weights | None = None, **changes: Any) -> Path:
    write_tiny_gguf(path, LLAMA, weights, **changes)
    return path


def write_directory(path: Path, weights: Weights) -> Path:
    write_tiny_checkpoint(path)
    save_file(weights, path / "model.safetensors")
    return path


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def files_of(checkpoint: Checkpoint) -> dict[str, Any]:
    texts = checkpoint.tokenizer_files()
    return {name: json.loads(text) if name.endswith(".json") else text for name, text in texts.items()}


def assert_holds(checkpoint: Checkpoint, weights: Weights, config: ModelConfig) -> None:
    assert checkpoint.config == config
    assert checkpoint.tensor_names() == list(weights)
    for name, values in weights.items():
        stored = checkpoint.tensor(name)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, values)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "tiny")


# Both formats


@pytest.mark.parametrize("name", ["llama", "llama-untied"])
def test_a_converted_checkpoint_equals_the_original(tmp_path: Path, name: str) -> None:
    config = CONFIGS[name]
    write_tiny_gguf(tmp_path / "tiny.gguf", config)
    for path in (tmp_path / "tiny.gguf", write_tiny_checkpoint(tmp_path / "tiny", config=config)):
        assert_holds(open_checkpoint(path), random_weights(config), config)


def test_both_formats_give_the_same_special_tokens(tmp_path: Path, directory: Path) -> None:
    converted = files_of(open_checkpoint(write_gguf(tmp_path / "tiny.gguf")))
    original = files_of(open_checkpoint(directory))
    assert converted["generation_config.json"] == original["generation_config.json"]
    assert original["generation_config.json"] == {
        "bos_token_id": 1,
        "eos_token_id": [0, 2],
        "pad_token_id": 0,
    }
    assert converted["tokenizer_config.json"] == original["tokenizer_config.json"]


def test_an_unknown_tensor_name_is_an_error(tmp_path: Path, directory: Path) -> None:
    for path in (directory, write_gguf(tmp_path / "tiny.gguf")):
        with pytest.raises(BundleCorruptError, match="absent"):
            open_checkpoint(path).tensor("absent")


def test_the_first_missing_tensor_is_named(tmp_path: Path) -> None:
    weights = random_weights(LLAMA)
    del weights["model.layers.1.mlp.up_proj.weight"]
    for path in (write_directory(tmp_path / "tiny", weights), write_gguf(tmp_path / "tiny.gguf", weights)):
        with pytest.raises(BundleCorruptError, match=r"model\.layers\.1\.mlp\.up_proj\.weight is missing"):
            open_checkpoint(path)


def test_the_first_wrong_shape_is_named(tmp_path: Path) -> None:
    weights = random_weights(LLAMA)
    name = "model.layers.0.self_attn.v_proj.weight"
    weights[name] = weights[name][:4]
    for path in (write_directory(tmp_path / "tiny", weights), write_gguf(tmp_path / "tiny.gguf", weights)):
        with pytest.raises(BundleCorruptError, match=r"v_proj\.weight has shape \[4, 64\].*\[32, 64\]"):
            open_checkpoint(path)


def test_a_path_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        open_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pytorch_model.bin", "never opened"),
        ("model.pt", "never opened"),
        ("model.safetensors", "directory"),
        ("model.onnx", r"\.gguf"),
    ],
)
def test_other_files_are_refused_with_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02anything")
    with pytest.raises(UnsupportedModelError, match=hint):
        open_checkpoint(tmp_path / name)


# GGUF


def test_name_licence_and_source_of_a_gguf_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    checkpoint = open_checkpoint(path)
    assert (checkpoint.name, checkpoint.license) == ("Tiny", "apache-2.0")
    assert checkpoint.source_files() == [path]


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", metadata={"general.architecture": "gemma2"})
    with pytest.raises(UnsupportedModelError, match="'gemma2'"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.rope.scaling.type", "longrope"),
        ("llama.rope.scaling.factor", 4.0),
        ("llama.rope.scale_linear", 2.0),
        ("llama.rope.dimension_count", 4),
        ("llama.attention.value_length", 4),
    ],
)
def test_settings_that_change_the_arithmetic_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", metadata={key: value})
    with pytest.raises(UnsupportedModelError, match=re.escape(key)):
        open_checkpoint(path)


def test_rotary_scaling_of_type_none_is_fine(tmp_path: Path) -> None:
    metadata = {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}
    assert open_checkpoint(write_gguf(tmp_path / "tiny.gguf", metadata=metadata))


@pytest.mark.parametrize(
    "name", ["rope_factors_long.weight", "blk.0.ffn_gate_exps.weight", "blk.7.ffn_up.weight"]
)
def test_tensors_of_other_models_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", tensors={name: np.ones(4, np.float32)})
    with pytest.raises(UnsupportedModelError, match=f"tensor {re.escape(name)} is not part"):
        open_checkpoint(path)


@pytest.mark.model
def test_the_default_model(default_gguf: Path) -> None:
    checkpoint = open_checkpoint(default_gguf)
    assert checkpoint.config == DecoderConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1_536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=8_192,
        rope_theta=100_000.0,
        rms_norm_eps=1e-5,
    )
    assert checkpoint.license == "apache-2.0"
    assert len(checkpoint.tensor_names()) == 272
    assert np.isfinite(checkpoint.tensor("model.layers.29.self_attn.k_proj.weight")).all()


# Hugging Face directories


def test_name_licence_and_sources_of_a_directory(directory: Path) -> None:
    assert open_checkpoint(directory).license is None
    (directory / "README.md").write_text("---\ntags: [x]\nlicense: mit\n---\n# license: other\n")
    checkpoint = open_checkpoint(directory)
    assert (checkpoint.name, checkpoint.license) == ("tiny", "mit")
    assert checkpoint.source_files() == [directory / "model.safetensors"]


def test_a_directory_of_the_hub_cache_has_its_repository_as_name(tmp_path: Path) -> None:
    snapshots = tmp_path / "models--owner--tiny" / "snapshots"
    snapshots.mkdir(parents=True)
    assert open_checkpoint(write_tiny_checkpoint(snapshots / "0123abc")).name == "owner/tiny"


def test_half_precision_is_widened_exactly(directory: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    kinds = [torch.float16, torch.bfloat16, torch.float32]
    weights = {
        name: torch.from_numpy(values).to(kinds[i % 3])
        for i, (name, values) in enumerate(random_weights(LLAMA).items())
    }
    save_torch(weights, directory / "model.safetensors")
    assert_holds(
        open_checkpoint(directory), {name: values.float().numpy() for name, values in weights.items()}, LLAMA
    )


def test_another_storage_type_is_refused(directory: Path) -> None:
    weights: dict[str, npt.NDArray[Any]] = dict(random_weights(LLAMA))
    weights["model.norm.weight"] = weights["model.norm.weight"].astype(np.float64)
    save_file(weights, directory / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=r"model\.norm\.weight is stored as F64"):
        open_checkpoint(directory)


def test_a_tied_head_stored_twice_is_ignored_and_a_bias_is_not(directory: Path) -> None:
    weights = random_weights(LLAMA)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    save_file(weights, directory / "model.safetensors")
    assert "lm_head.weight" not in open_checkpoint(directory).tensor_names()
    save_file({**weights, "lm_head.bias": np.ones(4, np.float32)}, directory / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=r"lm_head\.bias"):
        open_checkpoint(directory)


def shard(directory: Path, weights: Weights) -> dict[str, str]:
    """Replace the weights by two shards and give the index's weight_map."""
    (directory / "model.safetensors").unlink()
    weight_map = {name: f"model-{1 + i % 2}-of-2.safetensors" for i, name in enumerate(weights)}
    for file in set(weight_map.values()):
        save_file({name: weights[name] for name in weights if weight_map[name] == file}, directory / file)
    write_json(directory / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    return weight_map


def test_shards(directory: Path) -> None:
    weights = random_weights(LLAMA)
    shard(directory, weights)
    checkpoint = open_checkpoint(directory)
    assert_holds(checkpoint, weights, LLAMA)
    assert [path.name for path in checkpoint.source_files()] == [
        "model-1-of-2.safetensors",
        "model-2-of-2.safetensors",
        "model.safetensors.index.json",
    ]


def test_a_missing_shard(directory: Path) -> None:
    shard(directory, random_weights(LLAMA))
    (directory / "model-2-of-2.safetensors").unlink()
    with pytest.raises(BundleCorruptError, match="model-2-of-2.safetensors is missing"):
        open_checkpoint(directory)


@pytest.mark.parametrize(
    "file",
    [
        "../secret.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "..\\x.safetensors",
        "x.bin",
        "",
        3,
        None,
    ],
)
def test_an_index_can_only_name_files_beside_itself(directory: Path, file: object) -> None:
    weight_map: dict[str, object] = {**shard(directory, random_weights(LLAMA)), "model.norm.weight": file}
    write_json(directory / "model.safetensors.index.json", {"weight_map": weight_map})
    with pytest.raises(BundleCorruptError, match="not a plain file name"):
        open_checkpoint(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pkl"])
def test_pickles_are_never_opened(directory: Path, name: str) -> None:
    (directory / "model.safetensors").rename(directory / name)
    with pytest.raises(UnsupportedModelError, match=f"only {name}.*\n.*never opened"):
        open_checkpoint(directory)


def test_a_directory_without_the_files_of_a_model(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "x.gguf").touch()
    with pytest.raises(UnsupportedModelError, match=r"no config\.json.\n.*x\.gguf"):
        open_checkpoint(tmp_path)
    (directory / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedModelError, match=r"no tokenizer\.json"):
        open_checkpoint(directory)


@pytest.mark.parametrize("length", [0, 4, 100, 3_000, -1])
def test_damaged_weights(directory: Path, length: int) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BundleCorruptError, match="not a valid safetensors file"):
        open_checkpoint(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "24"},
        {"hidden_size": 24.0},
        {"num_attention_heads": 0},
        {"rms_norm_eps": float("nan")},
        {"rope_theta": "high"},
        {"tie_word_embeddings": "yes"},
        {"num_hidden_layers": 10**12},
        {"rope_parameters": [1]},
    ],
    ids=str,
)
def test_a_config_with_wrong_values(directory: Path, change: dict[str, Any]) -> None:
    write_json(directory / "config.json", {**LLAMA.to_hf(), **change})
    with pytest.raises((BundleCorruptError, UnsupportedModelError)):
        open_checkpoint(directory)


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({}, {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "num_beams": 1},
         {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}),
        # Without do_sample transformers takes the likeliest token, whatever else is there.
        ({}, {"temperature": 0.6, "repetition_penalty": 1.1}, {"do_sample": False, "repetition_penalty": 1.1}),
        ({"repetition_penalty": 1.05, "top_p": 0.5}, {"do_sample": True, "top_p": 0.9},
         {"do_sample": True, "temperature": 1.0, "top_p": 0.9, "repetition_penalty": 1.05}),
        ({}, {"do_sample": True, "temperature": "hot", "top_k": -1}, {}),
    ],
)  # fmt: skip
def test_suggested_settings_are_part_of_the_bundle(
    directory: Path, config: dict[str, Any], generation: dict[str, Any], expected: dict[str, Any]
) -> None:
    write_json(directory / "config.json", {**LLAMA.to_hf(), **config})
    write_json(directory / "generation_config.json", generation)
    written = json.loads(open_checkpoint(directory).tokenizer_files()["generation_config.json"])
    assert {key: value for key, value in written.items() if not key.endswith("_token_id")} == expected


@pytest.mark.parametrize("text", ["", "[1]", "[" * 100_000, '{"a": '])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_damaged_json(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(text, encoding="utf-8")
    with pytest.raises(BundleCorruptError, match=re.escape(name)):
        open_checkpoint(directory).tokenizer_files()


def test_a_tokenizer_for_another_vocabulary(directory: Path) -> None:
    larger = Tokenizer.from_str(tiny_tokenizer_json())
    larger.add_special_tokens(["<extra>"])
    (directory / "tokenizer.json").write_text(larger.to_str(), encoding="utf-8")
    with pytest.raises(BundleCorruptError, match=f"token id {VOCABULARY}"):
        open_checkpoint(directory).tokenizer_files()


def test_what_a_tokenizer_would_add_is_taken_out(directory: Path) -> None:
    adding = Tokenizer.from_str(tiny_tokenizer_json())
    adding.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    adding.enable_truncation(4)
    adding.enable_padding(length=8)
    (directory / "tokenizer.json").write_text(adding.to_str(), encoding="utf-8")
    files = files_of(open_checkpoint(directory))
    assert len(Tokenizer.from_str(json.dumps(files["tokenizer.json"])).encode("abcdefg").ids) == 7
    assert files["tokenizer_config.json"]["add_bos_token"] is True


def test_special_tokens_from_any_file_that_names_them(directory: Path) -> None:
    write_json(directory / "config.json", {**LLAMA.to_hf(), "pad_token_id": -1, "eos_token_id": None})
    write_json(directory / "tokenizer_config.json", {"eos_token": {"content": "<|im_end|>", "lstrip": False}})
    write_json(directory / "special_tokens_map.json", {"unk_token": "<|endoftext|>"})
    write_json(directory / "generation_config.json", {"bos_token_id": 1, "eos_token_id": [2, 5]})
    files = files_of(open_checkpoint(directory))
    assert files["generation_config.json"] == {
        "bos_token_id": 1,
        "eos_token_id": [0, 2, 5],
        "pad_token_id": 0,
    }
    assert files["tokenizer_config.json"] == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 256,
    }


def test_a_token_id_outside_the_vocabulary(directory: Path) -> None:
    write_json(directory / "generation_config.json", {"eos_token_id": [2, 9_999]})
    with pytest.raises(BundleCorruptError, match="9999"):
        open_checkpoint(directory).tokenizer_files()


def test_chat_templates(directory: Path) -> None:
    (directory / "chat_template.jinja").unlink()
    assert "chat_template.jinja" not in files_of(open_checkpoint(directory))
    for template in ("A", [{"name": "tools", "template": "B"}, {"name": "default", "template": "A"}]):
        write_json(directory / "tokenizer_config.json", {"chat_template": template})
        assert files_of(open_checkpoint(directory))["chat_template.jinja"] == "A"
    (directory / "chat_template.jinja").write_text("C", encoding="utf-8")
    assert files_of(open_checkpoint(directory))["chat_template.jinja"] == "C"


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "qwen2"])
def test_rows_are_those_of_the_tensor(tmp_path: Path, name: str) -> None:
    write_tiny_checkpoint(tmp_path / "hf", config=CONFIGS[name])
    opened = [open_checkpoint(tmp_path / "hf")]
    if name in GGUF_CONFIGS:
        write_tiny_gguf(tmp_path / "m.gguf", GGUF_CONFIGS[name])
        opened.append(open_checkpoint(tmp_path / "m.gguf"))
    for checkpoint in opened:
        for tensor in checkpoint.tensor_names():
            whole = checkpoint.tensor(tensor)
            for which in (slice(1, 3), np.array([3, 0, 3])):
                np.testing.assert_array_equal(checkpoint.rows(tensor, which), whole[which])
