"""Every architecture, layout and precision: the graph computes what its stored weights say, and they are right.

With activations that aren't rounded, a quantised graph must agree with torch on the same weights as closely as
one in fp32.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import StoredCheckpoint, precise, read
from templates import needs_torch
from tiny import (
    CONFIGS,
    LSTM,
    random_weights,
    tiny_tokenizer_files,
    wide,
    write_tiny_checkpoint,
    write_tiny_gguf,
)

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export import build
from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import ModelConfig
from nlpsuite.runtime.bundle import Bundle

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]  # torch's and its exporter's

ARCHITECTURES: dict[str, ModelConfig] = {
    name: CONFIGS[name] for name in ("llama", "llama-untied", "qwen2", "gpt2", "gpt-neox")
}
# Widths that blocks of 32 don't divide, as the default LSTM's 300 is none.
ARCHITECTURES["lstm"] = dataclasses.replace(LSTM, embedding_size=40, hidden_size=48, num_layers=1)
# What needs an export of its own takes seconds; a tied and an untied model of each kind must do.
TRACED = [(name, "slots", "fp32") for name in ARCHITECTURES]
TRACED += [(name, "portable", "fp32") for name in ("llama-untied", "gpt2", "gpt-neox")]
TRACED += [("llama-untied", "portable", "fp16"), ("gpt2", "slots", "fp16"), ("lstm", "slots", "fp16")]
COMBINATIONS = [
    (name, layout, precision)
    for name, layout, dtype in TRACED
    for precision in (("fp32", "int8", "int4") if dtype == "fp32" else ("fp16",))
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    directory = tmp_path_factory.mktemp("bases")
    return {
        name: open_checkpoint(write_tiny_checkpoint(directory / name, config=config))
        for name, config in ARCHITECTURES.items()
    }


@pytest.mark.parametrize("name,layout,precision", COMBINATIONS)
def test_the_graph_computes_with_the_weights_that_it_stores(
    name: str, layout: Any, precision: Any, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    from nlpsuite.export.verify import verify

    bundle = build_bundle(checkpoints[name], tmp_path / "b", precision=precision, layout=layout)
    manifest = Bundle.open(bundle)
    assert [(g.layout, g.precision) for g in manifest.graphs] == [(layout, precision)]
    stored: Any = StoredCheckpoint(checkpoints[name], bundle)
    # fp16 rounds activations everywhere; the others must agree as fp32 does.
    judged_as: Any = "fp16" if precision == "fp16" else "fp32"
    report = verify(stored, bundle, precise(bundle), layout=layout, precision=judged_as)
    assert report["greedy_tokens"] >= 16
    if precision != "fp16":
        assert report["greedy_agreement"] == report["greedy_tokens"]
        assert report["top1_agreement"] == 1


@pytest.mark.parametrize("name", ["llama-untied", "gpt2", "lstm"])
@pytest.mark.parametrize("precision,error", [("int8", 0.009), ("int4", 0.09)])
def test_stored_weights_are_near_the_checkpoints(
    name: str, precision: Any, error: float, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    checkpoint = checkpoints[name]
    stored = StoredCheckpoint(checkpoint, build_bundle(checkpoint, tmp_path / "b", precision=precision))
    for tensor in checkpoint.tensor_names():
        expected, found = checkpoint.tensor(tensor), stored.unsmoothed(tensor)
        assert np.linalg.norm(found - expected) <= error * np.linalg.norm(expected), tensor
        if expected.ndim == 1:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_what_is_quantised(precision: Any, checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    def kinds(name: str) -> dict[str, str]:
        _, stored = read(build_bundle(checkpoints[name], tmp_path / name, precision=precision))
        found = {}
        for tensor in checkpoints[name].tensor_names():
            parts = {key.removeprefix(tensor) for key in stored if key.startswith(tensor)}
            found[tensor] = next(kind for kind in ("int8", "int4", "") if f".{kind}".rstrip(".") in parts)
        return found

    lstm = kinds("lstm")
    assert lstm.pop("embedding.weight") == lstm.pop("lm_head.weight") == "int8"
    assert set(lstm.values()) == {""}  # the gates
    gpt2 = kinds("gpt2")
    assert gpt2.pop("transformer.wte.weight") == "int8"  # also the head
    assert gpt2.pop("transformer.wpe.weight") == ""
    assert {name for name, kind in gpt2.items() if kind} == {n for n in gpt2 if ".c_" in n and "weight" in n}
    assert {kind for kind in gpt2.values() if kind} == {precision}
    untied = checkpoints["llama-untied"]
    _, stored = read(build_bundle(untied, tmp_path / "llama", precision=precision))
    layers = {f"{i}.{part}" for i in range(2) for part in ("qkv", "o", "gate_up", "down")}
    assert {"head.int8", "embedding.int8"} <= set(stored)
    kind = {"int8": "channels", "int4": "int4"}[precision]
    assert {name for name in stored if name.endswith(f".{kind}")} == {f"{name}.{kind}" for name in layers}
    vectors = {name for name in untied.tensor_names() if untied.tensor(name).ndim == 1}
    assert {name for name in stored if name.startswith("model.")} == vectors


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_portable_graphs_need_no_operators_of_onnxruntime_and_no_copies(
    precision: Any, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    checkpoint = checkpoints["llama-untied"]
    bundle = build_bundle(checkpoint, tmp_path / "b", precision=precision, layout="portable")
    model, stored = read(bundle)
    assert {node.domain for node in model.graph.node} == {""}
    assert [opset.domain for opset in model.opset_import] == [""]
    assert not [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in stored]
    for name, (_, array) in stored.items():
        shape = checkpoint.tensor(name).shape
        assert array.shape == (shape if "embed" in name else shape[::-1])
        assert array.dtype == (np.float16 if precision == "fp16" else np.float32) or array.ndim == 1


def test_a_tied_head_is_stored_once_in_portable_graphs(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    bundle = build_bundle(checkpoints["gpt2"], tmp_path / "b", precision="fp32", layout="portable")
    _, stored = read(bundle)
    assert set(stored) == set(checkpoints["gpt2"].tensor_names())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_recurrent_model_has_no_portable_graph(
    precision: Any, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModelError, match="no portable graph") as caught:
        build_bundle(checkpoints["lstm"], tmp_path / "b", precision=precision, layout="portable")
    assert "--layout slots" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_fp16(tmp_path: Path) -> None:
    weights = random_weights(LSTM)
    weights["lm_head.weight"][0, 0] = 1e5
    write_checkpoint(tmp_path / "base", LSTM, weights, tiny_tokenizer_files())
    checkpoint = open_checkpoint(tmp_path / "base")
    with pytest.raises(UnsupportedModelError, match="lm_head.weight has weights too large for fp16"):
        build_bundle(checkpoint, tmp_path / "b", precision="fp16")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind,exact", [("Q4_0", 1e-7), ("Q4_1", 0.006), ("Q4_K", 0.03), ("Q8_0", None)])
def test_blocks_of_a_gguf_file_are_kept(
    kind: str, exact: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the rounding of what is missing to the minimums, to 4 bits of half a scale."""
    held = write_tiny_gguf(tmp_path / "m.gguf", wide(CONFIGS["llama"]), kind=kind)
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    stored = StoredCheckpoint(checkpoint, build_bundle(checkpoint, tmp_path / "4", precision="int4"))
    for name in held:
        error = np.linalg.norm(stored.tensor(name) - held[name]) / np.linalg.norm(held[name])
        if exact is not None and "proj" in name:
            assert error <= exact, name
    embedding = "model.embed_tokens.weight"
    if kind == "Q8_0":
        np.testing.assert_array_equal(stored.tensor(embedding), held[embedding])
        for kernels in ("int8-blocks", "int8-unsigned"):
            monkeypatch.setattr(build, "decoder_kernels", lambda _, kernels=kernels: kernels)
            bundle = build_bundle(checkpoint, tmp_path / kernels, precision="int8")
            stored = StoredCheckpoint(checkpoint, bundle)
            for name in held:
                if "proj" not in name or kernels == "int8-blocks":
                    np.testing.assert_array_equal(stored.unsmoothed(name), held[name])
    if kind == "Q4_0":
        _, arrays = read(tmp_path / "4")
        assert not [name for name in arrays if name.startswith("block_sums")]
