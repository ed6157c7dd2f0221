"""GGUF files of every architecture: their own blocks, what is refused, rotary scaling."""

from __future__ import annotations

import dataclasses
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import (
    CONFIGS,
    GGUF_CONFIGS,
    LLAMA,
    random_weights,
    tiny_tokenizer_json,
    wide,
    write_tiny_checkpoint,
    write_tiny_gguf,
)
from tokenizers import Tokenizer

from nlpsuite.errors import BundleCorruptError, NlpsuiteError, UnsupportedModelError
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.config import DecoderConfig, RopeScaling

ONES = {"rope_freqs.weight": np.ones(8, np.float32)}
QUERIES = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_configuration_names_and_weights(tmp_path: Path, name: str) -> None:
    config, weights = GGUF_CONFIGS[name], random_weights(GGUF_CONFIGS[name])
    write_tiny_gguf(tmp_path / "tiny.gguf", config, weights)
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    if getattr(config, "family", "") == "mistral":
        config = dataclasses.replace(config, family="llama")  # type: ignore[call-arg]  # the file doesn't say
    assert checkpoint.config == config
    assert checkpoint.tensor_names() == list(weights)
    for tensor_name, values in weights.items():
        # Gemma's norms are stored with 1 added, which rounds.
        tolerance = 1e-6 if name == "gemma3" and "norm" in tensor_name else 0
        np.testing.assert_allclose(checkpoint.tensor(tensor_name), values, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_the_tokenizer(tmp_path: Path, name: str) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", GGUF_CONFIGS[name])
    files = open_checkpoint(tmp_path / "tiny.gguf").tokenizer_files()
    text = "the singing of 1234 birds <|im_end|>"
    expected = Tokenizer.from_str(tiny_tokenizer_json()).encode(text).ids
    assert Tokenizer.from_str(files["tokenizer.json"]).encode(text).ids == expected
    assert json.loads(files["tokenizer_config.json"])["model_max_length"] == GGUF_CONFIGS[name].context_length


# A file's own blocks


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_blocks_are_those_of_the_weights(tmp_path: Path, name: str, kind: str) -> None:
    held = write_tiny_gguf(tmp_path / "tiny.gguf", wide(GGUF_CONFIGS[name]), kind=kind)
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    for tensor_name, values in held.items():
        raw = checkpoint.quantized(tensor_name)
        if values.ndim == 1:
            assert raw is None
            continue
        assert raw is not None and raw.type == kind
        assert raw.blocks.dtype == np.uint8 and raw.blocks.shape[0] == values.shape[0]
        dequantised = gguf.dequantize(raw.blocks, gguf.GGMLQuantizationType[kind])
        np.testing.assert_array_equal(dequantised, values)
        np.testing.assert_array_equal(dequantised, checkpoint.tensor(tensor_name))


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_plain_numbers_have_no_blocks(tmp_path: Path, kind: str) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", kind=kind)
    assert open_checkpoint(tmp_path / "tiny.gguf").quantized(QUERIES) is None


def test_a_directory_has_no_blocks(tmp_path: Path) -> None:
    assert open_checkpoint(write_tiny_checkpoint(tmp_path / "tiny")).quantized(QUERIES) is None


def test_blocks_of_an_unknown_tensor(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", kind="Q8_0")
    for path in (tmp_path / "tiny.gguf", write_tiny_checkpoint(tmp_path / "tiny")):
        with pytest.raises(BundleCorruptError, match="absent"):
            open_checkpoint(path).quantized("absent")


# Rotary scaling


def divisors(scaling: RopeScaling, theta: float = LLAMA.rope_theta) -> np.ndarray[Any, Any]:
    exponents = np.arange(0, LLAMA.head_dim, 2) / LLAMA.head_dim
    return np.float32([scaling.divisor(theta**-e) for e in exponents])


def write_scaled(path: Path, values: np.ndarray[Any, Any], theta: float = 500_000.0) -> Path:
    config = dataclasses.replace(LLAMA, rope_theta=theta)
    write_tiny_gguf(path, config, tensors={"rope_freqs.weight": values})
    return path


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_scaling_of_llama_3_is_recognised(tmp_path: Path, factor: float) -> None:
    scaling = RopeScaling(factor, 1.0, 4.0, 8192)
    path = write_scaled(tmp_path / "tiny.gguf", divisors(scaling, 500_000.0))
    config = open_checkpoint(path).config
    assert isinstance(config, DecoderConfig) and config.rope_scaling == scaling


def test_divisors_of_one_scale_nothing(tmp_path: Path) -> None:
    config = open_checkpoint(write_scaled(tmp_path / "tiny.gguf", np.ones(8, np.float32))).config
    assert isinstance(config, DecoderConfig) and config.rope_scaling is None


@pytest.mark.parametrize(
    "values",
    [
        divisors(RopeScaling(32.0, 1.0, 4.0, 4096), 500_000.0),
        divisors(RopeScaling(32.0, 1.0, 2.0, 8192), 500_000.0),
        divisors(RopeScaling(32.0, 1.0, 4.0, 8192), 10_000.0),
        divisors(RopeScaling(32.0, 1.0, 4.0, 8192), 500_000.0)[:4],
        divisors(RopeScaling(32.0, 1.0, 4.0, 8192), 500_000.0) * np.float32(1.001),
        np.full(8, np.nan, np.float32),
        np.full(8, np.inf, np.float32),
        np.zeros(8, np.float32),
        np.full(8, 2, np.float32),
    ],
    ids=["context", "factor", "theta", "length", "close", "nan", "inf", "zero", "linear"],
)
def test_another_scaling_is_refused_by_name(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnsupportedModelError, match="rope_freqs"):
        open_checkpoint(write_scaled(tmp_path / "tiny.gguf", values))


@pytest.mark.parametrize("name", ["qwen2", "gpt2"])
def test_scaling_of_other_architectures_is_refused(tmp_path: Path, name: str) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", CONFIGS[name], tensors=ONES)
    with pytest.raises(UnsupportedModelError, match="rope_freqs"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_a_head_of_a_billion_dimensions_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path, metadata={"llama.attention.key_length": 1 << 30}, tensors=ONES)
    tracemalloc.start()
    try:
        with pytest.raises(NlpsuiteError):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


# What doesn't belong


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("llama", "blk.0.attn_q.bias"),
        ("llama", "blk.1.attn_q_norm.weight"),
        ("qwen2", "blk.0.attn_output.bias"),
        ("qwen3", "blk.0.attn_q.bias"),
        ("qwen3", "blk.0.ffn_gate_inp.weight"),
        ("gpt2", "blk.0.attn_q.weight"),
        ("gpt2", "blk.2.ffn_up.weight"),
    ],
)
def test_a_tensor_of_another_model_is_refused_by_name(tmp_path: Path, name: str, tensor: str) -> None:
    extra = {tensor: np.ones(64, np.float32)}
    write_tiny_gguf(tmp_path / "tiny.gguf", CONFIGS[name], tensors=extra)
    with pytest.raises(UnsupportedModelError, match=re.escape(tensor)):
        open_checkpoint(tmp_path / "tiny.gguf")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("qwen2", "model.layers.1.self_attn.k_proj.bias"),
        ("qwen3", "model.layers.0.self_attn.q_norm.weight"),
        ("gpt2", "transformer.h.1.mlp.c_fc.bias"),
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str, missing: str) -> None:
    weights = random_weights(CONFIGS[name])
    del weights[missing]
    write_tiny_gguf(tmp_path / "tiny.gguf", CONFIGS[name], weights)
    with pytest.raises(BundleCorruptError, match=re.escape(missing)):
        open_checkpoint(tmp_path / "tiny.gguf")


METADATA_CASES = {
    "llama.attention.scale": 0.5,
    "llama.logit_scale": 16.0,
    "llama.pooling_type": 1,
    "llama.some_new_setting": 3,
    "llama.rope.scaling.type": "longrope",
    "split.count": 2,
}


def with_metadata(path: Path, key: str, value: Any) -> Path:
    write_tiny_gguf(path, metadata={key: value})
    return path


@pytest.mark.parametrize("key", METADATA_CASES)
def test_a_setting_nobody_reads_is_refused_by_name(tmp_path: Path, key: str) -> None:
    path = with_metadata(tmp_path / "tiny.gguf", key, METADATA_CASES[key])
    with pytest.raises(UnsupportedModelError, match=re.escape(key) if key != "split.count" else "2 parts"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.attention.causal", True),
        ("llama.use_parallel_residual", False),
        ("llama.tensor_data_layout", "Meta AI original pth"),
        ("llama.expert_count", 0),
        ("split.count", 1),
        ("general.some_new_setting", 7),
    ],
)
def test_settings_that_change_nothing_pass(tmp_path: Path, key: str, value: Any) -> None:
    assert open_checkpoint(with_metadata(tmp_path / "tiny.gguf", key, value)).config == LLAMA


def test_a_sliding_window(tmp_path: Path) -> None:
    path = with_metadata(tmp_path / "tiny.gguf", "llama.attention.sliding_window", 100)
    expected = dataclasses.replace(LLAMA, sliding_window=100, local_layers=(0, 1))
    assert open_checkpoint(path).config == expected
    path = with_metadata(tmp_path / "whole.gguf", "llama.attention.sliding_window", LLAMA.context_length)
    assert open_checkpoint(path).config == LLAMA  # it sees everything


@pytest.fixture(scope="module")
def scaled_llama(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    config = dataclasses.replace(LLAMA, rope_theta=500_000.0)
    extra = {"rope_freqs.weight": divisors(RopeScaling(32.0, 1.0, 4.0, 8192), 500_000.0)}
    write_tiny_gguf(path, config, kind="Q8_0", tensors=extra)
    return path.read_bytes()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_a_model_or_an_error(
    scaled_llama: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(scaled_llama)
    places = st.integers(0, 900) | st.integers(0, 14_000) | st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = byte
    path = tmp_path / "flipped.gguf"
    path.write_bytes(content)
    try:
        checkpoint = open_checkpoint(path)
        shapes = dict(checkpoint.config.parameter_shapes())
        for name in checkpoint.tensor_names():
            assert checkpoint.tensor(name).shape == shapes[name]
            checkpoint.quantized(name)
        checkpoint.tokenizer_files()
    except NlpsuiteError as error:
        assert error.message
