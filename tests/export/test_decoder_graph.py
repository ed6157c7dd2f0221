"""The slots graph of decoders: torch's logits in fp32, near them in 8 bits, the same alone and in a batch."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny import CONFIGS, LLAMA, LLAMA3_SCALING, random_weights, tiny_tokenizer_files, write_tiny_checkpoint

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.export.decoder_graph import write_decoder_graph
from nlpsuite.export.kernels import exactness_graph
from nlpsuite.export.smoothing import smoothing_factors
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import DecoderConfig
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.exactness import is_exact
from nlpsuite.runtime.prefill import feed
from nlpsuite.runtime.session import SlotSession

replace = dataclasses.replace
DECODERS: dict[str, DecoderConfig] = {
    "tied": LLAMA,
    "untied": replace(LLAMA, tie_word_embeddings=False),
    "one head a group": replace(LLAMA, num_key_value_heads=4),
    "one group": replace(LLAMA, num_key_value_heads=1),
    "three heads a group": replace(LLAMA, num_attention_heads=6, num_key_value_heads=2),
    "mistral": replace(LLAMA, family="mistral", tie_word_embeddings=False),
    "qwen2 with biases": replace(LLAMA, family="qwen2", num_attention_heads=6, rms_norm_eps=1e-6),
    "qwen3 with norms of heads": replace(LLAMA, family="qwen3", head_dim=32, num_attention_heads=6),
    **{
        name: config
        for name in ("mistral-window", "gemma3", "phi3", "smollm3", "olmo2", "granite", "linear rope")
        if isinstance(config := CONFIGS[name], DecoderConfig)
    },
    "llama3": replace(LLAMA, rope_theta=500_000.0, rope_scaling=LLAMA3_SCALING),
    "heads of 24": replace(LLAMA, num_attention_heads=6, head_dim=24),
    "width 40": replace(LLAMA, hidden_size=40, intermediate_size=72, head_dim=10),
    "width 40, untied": replace(
        LLAMA, hidden_size=40, intermediate_size=72, head_dim=10, tie_word_embeddings=False
    ),
}
PROBE = [int(i) for i in np.random.default_rng(7).integers(3, 302, 200)]
ROWS = [[int(i) for i in np.random.default_rng(n).integers(3, 302, n)] for n in (3, 40, 1, 17)]

Open = Callable[..., SlotSession]


@cache
def exact(*, signed: bool) -> bool:
    return is_exact(exactness_graph(signed=signed))


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    directory = tmp_path_factory.mktemp("decoders")

    @cache
    def checkpoint(name: str) -> Checkpoint:
        return open_checkpoint(write_tiny_checkpoint(directory / name, config=DECODERS[name]))

    return checkpoint


def write(checkpoint: Checkpoint, kernels: Any, directory: Path, probe: list[int] = PROBE) -> Path:
    path = directory / f"{kernels}{'' if probe else '-plain'}.onnx"
    write_decoder_graph(checkpoint, kernels, path, probe=probe)
    return path


def session_of(path: Path) -> SlotSession:
    return SlotSession(path, Device("cpu"), threads=1)


def logits_of(path: Path, rows: list[list[int]] = ROWS) -> list[np.ndarray]:
    """After every token of each row, all rows in one batch."""
    session = session_of(path)
    found = feed(session, rows, np.zeros(len(rows), np.int64), first=0, read_all=True)
    return [logits[: len(row)] for logits, row in zip(found, rows)]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape and np.isfinite(found).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def nodes(path: Path, operator: str) -> list[onnx.NodeProto]:
    return [n for n in onnx.load(path, load_external_data=False).graph.node if n.op_type == operator]


# fp32


@pytest.mark.parametrize("name", DECODERS)
def test_fp32_gives_torchs_logits(
    name: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    with warnings.catch_warnings():  # torch's own, at import
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
    checkpoint = checkpoint_of(name)
    path = write(checkpoint, "fp32", tmp_path)
    onnx.checker.check_model(str(path))
    module = load_module(checkpoint)
    for row, found in zip(ROWS, logits_of(path)):
        with torch.no_grad():
            expected = module(torch.tensor([row]))[0][0].numpy()
        assert np.abs(expected).max() > 1
        assert relative_error(found, expected) <= 1e-4


@pytest.mark.parametrize("name", ["tied", "three heads a group", "width 40, untied"])
def test_weights_in_blocks_stay_near_fp32(
    name: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    """A width that blocks don't divide, and several heads in a group, in every form of storage."""
    checkpoint = checkpoint_of(name)
    whole = logits_of(write(checkpoint, "fp32", tmp_path))
    for kernels, limit in (("int8-blocks", 0.08), ("int4", 0.5)):
        for found, expected in zip(logits_of(write(checkpoint, kernels, tmp_path)), whole):
            error = np.sqrt(((found - expected) ** 2).mean()) / expected.std()
            assert 0 < error < limit


# Rows of a batch


@pytest.mark.parametrize("kernels", ["fp32", "int8-unsigned", "int8-blocks", "int4"])
def test_a_row_in_a_batch_is_the_row_alone(
    kernels: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    path = write(checkpoint_of("three heads a group"), kernels, tmp_path)
    for row, together in zip(ROWS, logits_of(path)):
        [alone] = logits_of(path, [row])
        assert relative_error(together, alone) <= (1e-4 if kernels == "fp32" else 0.1)
        assert (together.argmax(axis=1) == alone.argmax(axis=1)).mean() >= (1 if kernels == "fp32" else 0.9)


@pytest.mark.parametrize("signed", [True, False])
def test_integer_products_do_not_depend_on_the_other_rows(
    signed: bool, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    """Bit for bit, whatever the number of rows: also where the kernel for one row is another."""
    if not exact(signed=signed):
        pytest.skip(f"{'signed' if signed else 'unsigned'} products aren't exact on this CPU")
    path = write(checkpoint_of("tied"), f"int8-{'signed' if signed else 'unsigned'}", tmp_path)
    model = onnx.load(path)
    product = nodes(path, "MatMulIntegerToFloat")[0]
    scaled = next(node for node in model.graph.node if product.output[0] in node.input)
    [rounding] = [node for node in model.graph.node if product.input[0] in node.output]
    [quotient] = [node for node in model.graph.node if rounding.input[0] in node.output]
    info = onnx.helper.make_tensor_value_info
    kept = [
        n for n in model.graph.node if n.name in {product.name, scaled.name, rounding.name, quotient.name}
    ]
    largest = quotient.input[1]
    needed = [n for n in model.graph.node if largest in n.output]  # Max, and what it reads
    while needed[0].op_type != "Abs":
        needed = [n for n in model.graph.node if needed[0].input[0] in n.output] + needed
    names = {name for node in kept + needed for name in node.input}
    graph = onnx.helper.make_graph(
        needed + kept,
        "layer",
        [info(quotient.input[0], onnx.TensorProto.FLOAT, ["b", "s", LLAMA.hidden_size])],
        [info(scaled.output[0], onnx.TensorProto.FLOAT, ["b", "s", None])],
        [tensor for tensor in model.graph.initializer if tensor.name in names],
    )
    layer = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)
    runner = onnxruntime.InferenceSession(layer.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((5, 33, LLAMA.hidden_size), dtype=np.float32)
    x[0, 0] = 0

    def run(part: np.ndarray) -> np.ndarray:
        out: np.ndarray = runner.run(None, {quotient.input[0]: part})[0]
        return out

    whole = run(x)
    assert (whole[0, 0] == 0).all() and np.abs(whole).max() > 1
    for part in (np.s_[:1], np.s_[2:4], np.s_[:, :1], np.s_[3:4, 5:6]):
        np.testing.assert_array_equal(run(x[part]), whole[part])


# 8 bits


@pytest.mark.parametrize("name", ["tied", "qwen2 with biases", "width 40"])
def test_signed_and_unsigned_weights_give_the_same_bits(
    name: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    if not exact(signed=True) or not exact(signed=False):
        pytest.skip("products of signed or of unsigned weights aren't exact on this CPU")
    checkpoint = checkpoint_of(name)
    both = [logits_of(write(checkpoint, f"int8-{kind}", tmp_path)) for kind in ("signed", "unsigned")]
    for a, b in zip(*both):
        np.testing.assert_array_equal(a, b)


def test_signed_and_unsigned_graphs_hold_the_same_levels(
    checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    def stored(kind: str) -> dict[str, np.ndarray]:
        model = onnx.load(write(checkpoint_of("tied"), f"int8-{kind}", tmp_path))
        return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}

    signed, unsigned = stored("signed"), stored("unsigned")
    weights = [name for name in signed if name.endswith(".channels")]
    assert len(weights) == 4 * LLAMA.num_hidden_layers
    for name in weights:
        assert (signed[name].dtype, unsigned[name].dtype) == (np.int8, np.uint8)
        np.testing.assert_array_equal(signed[name].astype(int) + 128, unsigned[name])
        assert np.abs(signed[name].astype(int)).max() == 127  # -128 has no counterpart
        layer = name.removesuffix(".channels")
        np.testing.assert_array_equal(signed[f"{layer}.scales"], unsigned[f"{layer}.scales"])


@pytest.mark.parametrize("name", ["tied", "three heads a group", "qwen3 with norms of heads", "width 40"])
@pytest.mark.parametrize("probe", [PROBE, []], ids=["smoothed", "plain"])
def test_8_bits_stay_near_fp32(
    name: str, probe: list[int], checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    if not exact(signed=False):
        pytest.skip("products of unsigned weights aren't exact on this CPU")
    checkpoint = checkpoint_of(name)
    whole = logits_of(write(checkpoint, "fp32", tmp_path))
    found = logits_of(write(checkpoint, "int8-unsigned", tmp_path, probe))
    error = np.sqrt(np.mean(np.square(np.concatenate(found) - np.concatenate(whole))))
    assert 0 < error / np.concatenate(whole).std() < 0.08


# Smoothing


def outlier_checkpoint(directory: Path) -> Checkpoint:
    """A few channels with activations far larger than the others, as trained models have."""
    weights = random_weights(LLAMA)
    for i in range(LLAMA.num_hidden_layers):
        weights[f"model.layers.{i}.input_layernorm.weight"][[3, 50]] *= 60
        weights[f"model.layers.{i}.mlp.up_proj.weight"][7] *= 40
        for part in "qkv":
            weights[f"model.layers.{i}.self_attn.{part}_proj.weight"][:, [3, 50]] /= 60
        weights[f"model.layers.{i}.mlp.down_proj.weight"][:, 7] /= 40
    write_checkpoint(directory, LLAMA, weights, tiny_tokenizer_files())
    return open_checkpoint(directory)


class Folded:
    """A checkpoint with the factors multiplied into its weights."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.smoothing = smoothing_factors(checkpoint, PROBE)
        self.config = checkpoint.config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def rows(self, name: str, which: slice) -> np.ndarray:
        return self.tensor(name)[which]

    def tensor(self, name: str) -> np.ndarray:
        weight = self._checkpoint.tensor(name)
        found = re.fullmatch(r"model\.layers\.(\d+)\.\w+\.(\w+)_proj\.weight", name)
        sites = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate_up", "up": "gate_up", "down": "down"}
        if found and found[2] in sites:
            weight = weight * self.smoothing.inputs[f"{found[1]}.{sites[found[2]]}"]
        divisor = self.smoothing.outputs.get(name)
        if divisor is not None:
            weight = weight / (divisor if weight.ndim == 1 else divisor[:, None])
        return weight


@pytest.mark.parametrize("name", ["tied", "qwen2 with biases", "qwen3 with norms of heads", "outliers"])
def test_smoothing_leaves_the_function_as_it_is(
    name: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    checkpoint = outlier_checkpoint(tmp_path / "base") if name == "outliers" else checkpoint_of(name)
    folded: Any = Folded(checkpoint)
    layers = range(checkpoint.config.num_hidden_layers)  # type: ignore[attr-defined]
    smoothing = folded.smoothing
    assert set(smoothing.inputs) == {f"{i}.{site}" for i in layers for site in ("qkv", "gate_up", "down")}
    assert len(smoothing.outputs) == len(smoothing.inputs)
    factors = np.concatenate([*smoothing.inputs.values(), *smoothing.outputs.values()])
    assert (np.frexp(factors)[0] == 0.5).all()  # powers of two
    assert 2**-8 <= factors.min() < 1 < factors.max() <= 2**8
    (tmp_path / "folded").mkdir()
    before = logits_of(write(checkpoint, "fp32", tmp_path))
    after = logits_of(write(folded, "fp32", tmp_path / "folded"))
    for a, b in zip(after, before):
        assert relative_error(a, b) <= 1e-5  # sums may be in another order, nothing else


def test_smoothing_tames_outliers(tmp_path: Path) -> None:
    if not exact(signed=False):
        pytest.skip("products of unsigned weights aren't exact on this CPU")
    checkpoint = outlier_checkpoint(tmp_path / "base")
    whole = np.concatenate(logits_of(write(checkpoint, "fp32", tmp_path)))
    errors = [
        np.square(
            np.concatenate(logits_of(write(checkpoint, "int8-unsigned", tmp_path, probe))) - whole
        ).mean()
        for probe in (PROBE, [])
    ]
    assert errors[0] < errors[1] / 4


def test_the_factors_of_a_channel_without_a_range() -> None:
    from nlpsuite.export.smoothing import _factors

    values = np.array([[0, 1, 8, np.inf, 2]], np.float32)
    found = _factors(values, [np.array([[1, 1, 1, 1, 0]], np.float32)])
    assert found[[0, 3, 4]].tolist() == [1, 1, 1] and found[2] > found[1]
    assert (_factors(np.zeros((2, 3), np.float32), [np.ones((4, 3), np.float32)]) == 1).all()


# What is refused


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
@pytest.mark.parametrize("kernels", ["fp32", "fp16", "int8-unsigned", "int8-blocks", "int4"])
def test_weights_that_are_no_numbers(name: str, kernels: str, tmp_path: Path) -> None:
    weights = random_weights(LLAMA)
    weights[name].flat[5] = np.nan
    write_checkpoint(tmp_path / "base", LLAMA, weights, tiny_tokenizer_files())
    with pytest.raises(BundleCorruptError, match=re.escape(name)):
        write(open_checkpoint(tmp_path / "base"), kernels, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.k_proj.bias", "model.norm.weight"],
)
def test_weights_too_large_for_fp16_are_named(name: str, tmp_path: Path) -> None:
    config = DECODERS["qwen2 with biases"]
    weights = random_weights(config)
    weights[name].flat[5] = 1e5
    write_checkpoint(tmp_path / "base", config, weights, tiny_tokenizer_files())
    with pytest.raises(UnsupportedModelError, match=re.escape(f"{name} has weights too large")):
        write(open_checkpoint(tmp_path / "base"), "fp16", tmp_path)


def test_huge_weights_are_no_reason_to_warn(tmp_path: Path) -> None:
    weights = random_weights(LLAMA)
    weights["model.layers.0.mlp.up_proj.weight"][:] *= np.float32(1e30)
    write_checkpoint(tmp_path / "base", LLAMA, weights, tiny_tokenizer_files())
    factors = smoothing_factors(open_checkpoint(tmp_path / "base"), PROBE)
    assert all(np.isfinite(values).all() for values in factors.inputs.values())


# The graph


@pytest.mark.parametrize("kernels", ["fp32", "fp16", "int8-unsigned", "int4"])
def test_inputs_outputs_and_operators(
    kernels: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    path = write(checkpoint_of("three heads a group"), kernels, tmp_path)
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(str(path))

    def described(values: Any) -> dict[str, list[int | str]]:
        return {
            v.name: [v.type.tensor_type.elem_type]
            + [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in values
        }

    number = onnx.TensorProto.FLOAT16 if kernels == "fp16" else onnx.TensorProto.FLOAT
    integer = onnx.TensorProto.INT64
    cache_of = [number, "batch", "cache_length", 2 * 16]
    parts = [f"{i}.{part}" for i in range(2) for part in ("key", "value")]
    assert described(model.graph.input) == {
        "input_ids": [integer, "batch", "sequence"],
        "write_indices": [integer, "batch"],
        "logit_indices": [integer, "batch", "reads"],
        **{f"cache.{part}": cache_of for part in parts},
    }
    assert described(model.graph.output) == {
        "logits": [number, "batch", "reads", 302],
        **{f"updated.{part}": cache_of for part in parts},
    }
    counts = {op: len(nodes(path, op)) for op in {node.op_type for node in model.graph.node}}
    assert counts["TensorScatter"] == 2 * 2 and counts["Attention"] == 2
    assert counts["SkipSimplifiedLayerNormalization"] == 2 * 2
    assert {node.domain for node in model.graph.node} == {"", "com.microsoft"}
    products = {"fp32": "FusedMatMul", "fp16": "FusedMatMul", "int4": "MatMulNBits"}
    product = products.get(kernels, "MatMulIntegerToFloat")
    head = 0 if product == "MatMulIntegerToFloat" else 1
    assert counts[product] == 2 * 4 + head and "Transpose" not in counts
    for attention in nodes(path, "Attention"):
        attributes = {a.name: a.i for a in attention.attribute}
        assert attributes == {"q_num_heads": 6, "kv_num_heads": 2}


def test_half_precision_keeps_angles_and_norms_in_single(
    checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    path = write(checkpoint_of("qwen3 with norms of heads"), "fp16", tmp_path)
    model = onnx.load(path, load_external_data=False)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    external = {t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    assert {name for name in external if kinds[name] == onnx.TensorProto.FLOAT} == {"rotary_frequencies"}
    assert {kinds[name] for name in external} == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    for function in ("Cos", "Sin"):
        [node] = nodes(path, function)
        [cast] = [n for n in model.graph.node if node.output[0] in n.input]
        assert (cast.op_type, cast.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT16)
    for norm in nodes(path, "RMSNormalization"):
        assert {a.name: a.i for a in norm.attribute}["stash_type"] == onnx.TensorProto.FLOAT
    whole, half = (logits_of(write(checkpoint_of("tied"), kind, tmp_path)) for kind in ("fp32", "fp16"))
    for found, expected in zip(half, whole):
        assert 0 < relative_error(found, expected) < 0.02


# Class names of the CUDA provider's kernels, as its library holds them, where they aren't the operator's.
_CLASSES = {
    "FusedMatMul": "MatMul",
    "RMSNormalization": "RMSNorm",
    "SkipSimplifiedLayerNormalization": "SkipLayerNorm",
    "Split": "Split_18",
}
# Template arguments of those that must exist for a type.
_TYPES = {
    **dict.fromkeys(("Attention", "RotaryEmbedding", "FusedMatMul", "QuickGelu", "Mul"), "INS_9MLFloat16E"),
    **dict.fromkeys(("RMSNormalization", "Cast"), "INS_9MLFloat16E"),
    "SkipSimplifiedLayerNormalization": "INS_9MLFloat16ELb1E",  # simplified
    **dict.fromkeys(("Cos", "Sin"), "IfE"),
    **dict.fromkeys(("Add", "Div", "LessOrEqual"), "IlE"),
}


@pytest.mark.parametrize("name", ["tied", "qwen2 with biases", "qwen3 with norms of heads"])
def test_cuda_has_a_kernel_for_every_operator_of_the_fp16_graph(
    name: str, checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    """By the names of classes in the provider's library, which say nothing of versions; no device is needed."""
    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.is_file():
        pytest.skip("the installed onnxruntime has no CUDA provider")
    names = _cuda_classes(library)
    if b"Attention" not in b"".join(names):
        pytest.skip("the library names no classes")
    path = write(checkpoint_of(name), "fp16", tmp_path)
    found = {(node.op_type, node.domain) for node in onnx.load(path, load_external_data=False).graph.node}
    for operator, domain in found - {("Shape", "")}:  # of sizes, which onnxruntime knows on the CPU
        kernel = _CLASSES.get(operator, operator)
        spaces = ["4cuda", "7contrib4cuda"] if domain else ["4cuda"]
        wanted = [f"N11onnxruntime{s}{len(kernel)}{kernel}{_TYPES.get(operator, 'E')}" for s in spaces]
        assert any(found.startswith(prefix.encode()) for prefix in wanted for found in names), operator


@cache
def _cuda_classes(library: Path) -> frozenset[bytes]:
    return frozenset(re.findall(rb"N11onnxruntime(?:7contrib)?4cuda\w+", library.read_bytes()))
