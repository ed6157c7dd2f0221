"""Filling a template: the files, what is in them, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from stored import StoredCheckpoint, read

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export.fill import fill_template
from nlpsuite.export.quantize import dequantize_int8
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.bundle import Bundle

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def template(tiny_checkpoint: Checkpoint) -> onnx.ModelProto:
    """A small template with the two ways in which a graph reads a weight."""
    rows = dict(tiny_checkpoint.config.parameter_shapes())[EMBEDDING]
    weight = onnx.TensorProto(
        name=EMBEDDING, dims=rows, data_type=onnx.TensorProto.FLOAT, data_location=onnx.TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value="weights-to-be-filled")
    make = onnx.helper.make_node
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            make("Gather", [EMBEDDING, "input_ids"], ["x"], name="lookup"),
            make("Transpose", [EMBEDDING], ["w"], perm=[1, 0]),
            make("MatMul", ["x", "w"], ["y"], name="head"),
        ],
        "g",
        [info("input_ids", onnx.TensorProto.INT64, ["b", "s"])],
        [info("y", onnx.TensorProto.FLOAT, ["b", "s", rows[0]])],
        [weight],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def test_fp32_holds_the_checkpoints_weights_as_they_are(
    tiny_bundle: Path, tiny_checkpoint: Checkpoint
) -> None:
    model, stored = read(tiny_bundle)
    found = StoredCheckpoint(tiny_checkpoint, tiny_bundle)
    for name in tiny_checkpoint.tensor_names():
        np.testing.assert_array_equal(found.tensor(name), tiny_checkpoint.tensor(name))
    sizes = sum(tiny_checkpoint.tensor(name).size for name in tiny_checkpoint.tensor_names())
    arrays = {name: array for name, (_, array) in stored.items()}
    assert sum(array.size for array in arrays.values()) == sizes + arrays["rotary_frequencies"].size
    assert [n for n in model.graph.node if n.op_type == "Transpose" and n.input[0] in stored] == []


def test_int8_holds_levels_within_half_a_scale(tiny_bundle_int8: Path, tiny_checkpoint: Checkpoint) -> None:
    if not Bundle.open(tiny_bundle_int8).graph().kernels:
        pytest.skip("integer products aren't exact on this CPU: all weights are in blocks")
    _, stored = read(tiny_bundle_int8)
    layers = [f"{i}.{part}" for i in range(2) for part in ("qkv", "o", "gate_up", "down")]
    vectors = [n for n, shape in tiny_checkpoint.config.parameter_shapes() if len(shape) == 1]
    assert set(stored) == {f"{n}.{part}" for n in layers for part in ("channels", "scales")} | {
        *vectors,
        "head.int8",
        "head.scales",
        "rotary_frequencies",
    }
    found = StoredCheckpoint(tiny_checkpoint, tiny_bundle_int8)
    embedding = tiny_checkpoint.tensor(EMBEDDING)
    limit = np.repeat(stored["head.scales"][1], 32, axis=1)[:, : embedding.shape[1]] / 2
    assert (np.abs(found.tensor(EMBEDDING) - embedding) <= limit * 1.001).all()
    for name in vectors:
        np.testing.assert_array_equal(found.unsmoothed(name), tiny_checkpoint.tensor(name))
    for name, shape in tiny_checkpoint.config.parameter_shapes():
        if len(shape) == 2 and name != EMBEDDING:
            weight, restored = tiny_checkpoint.tensor(name) * found.factors(name), found.tensor(name)
            scales = np.abs(restored).max(axis=1, keepdims=True) / 127
            assert (np.abs(restored - weight) <= scales / 2 * 1.001).all(), name


def test_a_template_filled_in_int8_holds_blocks_within_half_a_scale(
    template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    fill_template(template, tiny_checkpoint, "int8", tmp_path / "g.onnx")
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "g.onnx").graph.initializer}
    weight, scales = tiny_checkpoint.tensor(EMBEDDING), arrays[f"{EMBEDDING}.scales"]
    restored = dequantize_int8(arrays[f"{EMBEDDING}.int8"], scales, weight.shape[1])
    limit = np.repeat(scales, 32, axis=1)[:, : weight.shape[1]] / 2
    assert (np.abs(restored - weight) <= limit * 1.001).all()


@pytest.mark.parametrize("bundle", ["tiny_bundle", "tiny_bundle_int8"])
def test_every_tensor_is_stored_once_and_aligned(bundle: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(bundle)
    model, stored = read(path)
    names = [t.name for t in model.graph.initializer]
    assert len(names) == len(set(names))
    places = sorted((info.offset, info.offset + info.length) for info, _ in stored.values())
    assert all(start % 4096 == 0 for start, _ in places)
    assert all(end <= following for (_, end), (following, _) in zip(places, places[1:]))
    size = (path / "onnx" / "slots.onnx_data").stat().st_size
    assert size == places[-1][1]
    assert size - sum(end - start for start, end in places) < 4096 * len(places)  # nothing but gaps beside
    assert {info.location for info, _ in stored.values()} == {"slots.onnx_data"}
    probe = ["exactness.onnx"] if Bundle.open(path).graph().kernels else []
    assert sorted(p.name for p in (path / "onnx").iterdir()) == [*probe, "slots.onnx", "slots.onnx_data"]


@pytest.mark.parametrize(
    "bundle,operator", [("tiny_bundle", "FusedMatMul"), ("tiny_bundle_int8", "MatMulNBits")]
)
def test_embedding_and_head_read_one_tensor(
    bundle: str, operator: str, request: pytest.FixtureRequest
) -> None:
    model, stored = read(request.getfixturevalue(bundle))
    tensor = "head.weight" if operator == "FusedMatMul" else "head.int8"
    readers = [node.op_type for node in model.graph.node if tensor in node.input]
    assert sorted(readers) == sorted(["Gather", operator])
    assert sum(name.startswith(("head", "embedding")) for name in stored) == (
        1 if operator == "FusedMatMul" else 2
    )
    products = {"FusedMatMul", "MatMulNBits", "MatMulIntegerToFloat"}
    assert sum(node.op_type in products for node in model.graph.node) == 2 * 4 + 1


def test_the_graph_passes_the_checker(tiny_bundle: Path) -> None:
    onnx.checker.check_model(str(tiny_bundle / "onnx" / "slots.onnx"))


def test_the_same_inputs_give_the_same_bytes(
    template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = template.SerializeToString(deterministic=True)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        fill_template(template, tiny_checkpoint, "int8", tmp_path / folder / "g.onnx")
    for name in ("g.onnx", "g.onnx_data"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert template.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("precision,tolerance", [("fp32", 1e-4), ("int8", 0.05), ("int4", 0.05)])
def test_a_filled_graph_computes_what_the_template_says(
    precision: Any, tolerance: float, template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    import onnxruntime

    fill_template(template, tiny_checkpoint, precision, tmp_path / "g.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.onnx", "g.onnx_data"]
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    ids = np.array([[0, 1, 2], [297, 42, 17]])
    (out,) = session.run(None, {"input_ids": ids})
    weight = tiny_checkpoint.tensor(EMBEDDING)
    expected = weight[ids] @ weight.T
    assert np.abs(out - expected).max() <= tolerance * np.abs(expected).max()


def test_progress_runs_to_one(template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    seen: list[float] = []
    fill_template(template, tiny_checkpoint, "fp32", tmp_path / "g.onnx", seen.append)
    assert seen == [1.0]


def test_a_missing_tensor_is_refused_before_anything_is_written(
    template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    wanting = copy.deepcopy(template)
    wanting.graph.initializer[0].name = "model.absent.weight"
    with pytest.raises(UnsupportedModelError, match=r"no tensor 'model\.absent\.weight'"):
        fill_template(wanting, tiny_checkpoint, "fp32", tmp_path / "g.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_a_wrong_shape_is_refused_before_anything_is_written(
    precision: Any, template: onnx.ModelProto, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    other = copy.deepcopy(template)
    other.graph.initializer[0].dims[0] += 1
    with pytest.raises(UnsupportedModelError, match=EMBEDDING):
        fill_template(other, tiny_checkpoint, precision, tmp_path / "g.onnx")
    assert list(tmp_path.iterdir()) == []
