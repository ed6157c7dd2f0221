"""8-bit floats with scales are read; other quantised directories are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tiny import CONFIGS, LLAMA, random_weights, write_tiny_checkpoint

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.hf_quantization import scaled, widen_fp8

BLOCKS = {"quant_method": "fp8", "weight_block_size": [32, 48], "activation_scheme": "dynamic"}
CHANNELS = {"quant_method": "compressed-tensors", "format": "float-quantized"}


def serialized(tensors: dict[str, Any]) -> bytes:
    """A safetensors file, whose library can't write 8-bit floats from numpy."""
    header: dict[str, Any] = {}
    end = 0
    for name, entry in tensors.items():
        start, end = end, end + len(entry["data"])
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(entry["data"] for entry in tensors.values())


def write_fp8(
    directory: Path, quantization: dict[str, Any], kind: str = "F8_E4M3", config: Any = LLAMA, **change: Any
) -> dict[str, Any]:
    """A directory whose layers are stored in 8 bits; gives the weights that they then are, computed here."""
    write_tiny_checkpoint(directory, config=config)
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantization}))
    dtype = {"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}[kind]
    stored: dict[str, Any] = {}
    held = {}
    for name, values in random_weights(config).items():
        held[name] = values
        stored[name] = {"dtype": "F32", "shape": values.shape, "data": values.tobytes()}
        if values.ndim != 2 or "embed" in name:
            continue
        if "weight_block_size" in quantization:
            rows, columns = quantization["weight_block_size"]
            scale = np.empty((-(-values.shape[0] // rows), -(-values.shape[1] // columns)), "f4")
            whole = np.empty_like(values)
            for i in range(scale.shape[0]):
                for j in range(scale.shape[1]):
                    place = np.s_[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
                    scale[i, j] = whole[place] = np.abs(values[place]).max() / 400
            ending = "_scale_inv"
        else:
            scale = whole = np.abs(values).max(axis=1, keepdims=True) / 400
            ending = "_scale"
            stored[f"{name.removesuffix('weight')}input_scale"] = {
                "dtype": "F32",
                "shape": [],
                "data": b"\0\0\x80?",
            }
        levels = (values / whole).astype(dtype)
        held[name] = levels.astype("f4") * whole
        stored[name] = {"dtype": kind, "shape": values.shape, "data": levels.tobytes()}
        scale = change.get("scale", lambda scale: scale)(scale)
        stored[f"{name}{ending}"] = {"dtype": "F32", "shape": scale.shape, "data": scale.tobytes()}
    (directory / "model.safetensors").write_bytes(serialized(stored))
    return held


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
@pytest.mark.parametrize("quantization", [BLOCKS, CHANNELS], ids=["blocks", "channels"])
def test_weights_are_levels_times_scales(tmp_path: Path, quantization: dict[str, Any], kind: str) -> None:
    held = write_fp8(tmp_path / "fp8", quantization, kind)
    checkpoint = open_checkpoint(tmp_path / "fp8")
    original = random_weights(LLAMA)
    for name, values in held.items():
        np.testing.assert_allclose(checkpoint.tensor(name), values, rtol=1e-6)
        error = np.linalg.norm(values - original[name]) / np.linalg.norm(original[name])
        assert error < {"F8_E4M3": 0.03, "F8_E5M2": 0.06}[kind]


@given(st.integers(0, 255), st.sampled_from(["F8_E4M3", "F8_E5M2"]))
def test_every_byte_by_its_definition(byte: int, kind: str) -> None:
    bits, bias = {"F8_E4M3": (3, 7), "F8_E5M2": (2, 15)}[kind]
    exponent, fraction = byte >> bits & (0x7F >> bits), byte & (1 << bits) - 1
    value = (fraction / 2**bits + (exponent > 0)) * 2.0 ** (max(exponent, 1) - bias)
    if kind == "F8_E4M3":
        value = np.nan if byte & 0x7F == 0x7F else value
    elif exponent == 31:
        value = np.nan if fraction else np.inf
    expected = -value if byte & 0x80 else value
    np.testing.assert_array_equal(widen_fp8(np.array([byte], np.uint8), kind), np.float32(expected))


def test_a_scale_for_the_whole_and_scales_that_do_not_fit(tmp_path: Path) -> None:
    weight = np.ones((4, 6), "f4")
    assert scaled("w", weight, np.float32([2]), None).sum() == 48
    for scale, block in ((np.ones((2, 2), "f4"), None), (np.ones((3, 2), "f4"), (2, 3))):
        with pytest.raises(BundleCorruptError, match="scale of w"):
            scaled("w", weight, scale, block)
    write_fp8(tmp_path / "fp8", BLOCKS, scale=lambda scale: scale[:1])
    checkpoint = open_checkpoint(tmp_path / "fp8")
    with pytest.raises(BundleCorruptError, match="doesn't fit"):
        checkpoint.tensor("model.layers.0.mlp.gate_proj.weight")


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ({"quant_method": "awq", "bits": 4}, "AWQ"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "GPTQ"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            r"compressed-tensors \(pack-quantized\)",
        ),
        ({"bits": 4}, "unknown"),
        ("fp8", "'fp8'"),
    ],
)
def test_other_quantisations_are_refused_by_name(tmp_path: Path, quantization: Any, name: str) -> None:
    directory = write_tiny_checkpoint(tmp_path / "tiny")
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantization}))
    with pytest.raises(UnsupportedModelError, match=f"{name}.* is not supported"):
        open_checkpoint(directory)


def test_blocks_that_make_no_sense(tmp_path: Path) -> None:
    for size in ([0, 2], [128], "128", [1.5, 2]):
        write_fp8(tmp_path / "fp8", {**CHANNELS})
        path = tmp_path / "fp8" / "config.json"
        changed = {
            **json.loads(path.read_text()),
            "quantization_config": {**CHANNELS, "weight_block_size": size},
        }
        path.write_text(json.dumps(changed))
        with pytest.raises(BundleCorruptError, match="weight_block_size"):
            open_checkpoint(tmp_path / "fp8")


@pytest.mark.parametrize("kind", ["whole", "channels", "blocks"])
@pytest.mark.parametrize("name", ["phi3", "granite4"])
def test_layers_that_are_stored_as_one(tmp_path: Path, name: str, kind: str) -> None:
    """Blocks may begin in one layer and end in the next: here 48 rows each, of 64 + 32 + 32 and 96 + 96."""
    config = CONFIGS[name]
    quantization = {**(BLOCKS if kind == "blocks" else CHANNELS)}
    if kind == "blocks":
        quantization["weight_block_size"] = [48, 32]
    directory = write_tiny_checkpoint(tmp_path / name, config=config)
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantization}))
    tensors = load_file(directory / "model.safetensors")
    stored = {n: {"dtype": "F32", "shape": v.shape, "data": v.tobytes()} for n, v in tensors.items()}
    expected = {}
    draw = np.random.default_rng(0)
    for stack, parts in config.stacked().items():
        rows, columns = tensors[stack].shape
        shape = {"whole": (1,), "channels": (rows, 1), "blocks": (-(-rows // 48), -(-columns // 32))}[kind]
        scale = draw.uniform(0.5, 2, shape).astype("f4")
        levels = tensors[stack].astype(ml_dtypes.float8_e4m3fn)
        by_weight = (
            np.broadcast_to(scale, (rows, columns))
            if kind != "blocks"
            else (scale[np.arange(rows) // 48][:, np.arange(columns) // 32])
        )
        sizes = [dict(config.parameter_shapes())[part][0] for part in parts]
        whole = levels.astype("f4") * by_weight
        expected |= dict(zip(parts, np.split(whole, np.cumsum(sizes)[:-1])))
        stored[stack] = {"dtype": "F8_E4M3", "shape": levels.shape, "data": levels.tobytes()}
        ending = "_scale_inv" if kind == "blocks" else "_scale"
        stored[f"{stack}{ending}"] = {"dtype": "F32", "shape": shape, "data": scale.tobytes()}
    (directory / "model.safetensors").write_bytes(serialized(stored))
    checkpoint = open_checkpoint(directory)
    assert len(expected) >= 6
    for parameter, values in expected.items():
        np.testing.assert_allclose(checkpoint.tensor(parameter), values, rtol=1e-6, err_msg=parameter)
        np.testing.assert_array_equal(
            checkpoint.rows(parameter, slice(3, 9)), checkpoint.tensor(parameter)[3:9]
        )
