"""Integer kernels: the probe says what this CPU computes, and a bundle for another CPU is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from nlpsuite.errors import BundleCorruptError, BundleUnsuitableError
from nlpsuite.export import kernels as module
from nlpsuite.export.build import build_bundle
from nlpsuite.export.kernels import decoder_kernels, exactness_graph
from nlpsuite.files import sha256_file
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.bundle import EXACTNESS_GRAPH, MANIFEST, Bundle
from nlpsuite.runtime.exactness import is_exact
from nlpsuite.runtime.language_model import LanguageModel


def product(operator: str, a: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(a - 128) · (weights - zero) by one of onnxruntime's operators, the weights being constant."""
    zero = np.array(0, np.int8) if weights.dtype == np.int8 else np.array(128, np.uint8)
    one = np.array(1, np.float32)
    stored = {"w": weights, "middle": np.array(128, np.uint8), "zero": zero, "one": one}
    make = onnx.helper.make_node
    if operator == "MatMulInteger":
        node, out = make(operator, ["a", "w", "middle", "zero"], ["y"]), onnx.TensorProto.INT32
    else:
        inputs = ["a", "w", "one", "one", "middle", "zero"]
        node, out = make(operator, inputs, ["y"], domain="com.microsoft"), onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "product",
        [info("a", onnx.TensorProto.UINT8, list(a.shape))],
        [info("y", out, [len(a), weights.shape[1]])],
        [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"a": a})[0]
    return result


def directly(operator: str, *, signed: bool) -> bool:
    """Whether products of extreme numbers are numpy's, for one row and many, whatever their sizes."""
    generator = np.random.default_rng(0)
    for rows, inner, columns in ((1, 128, 32), (4, 128, 32), (1, 576, 960), (33, 1536, 50), (128, 40, 7)):
        a = generator.choice(np.array([1, 255], np.uint8), (rows, inner))
        a[0] = 255
        levels = generator.choice(np.array([-127, 127]), (inner, columns))
        levels[:, 0], levels[:, 1] = 127, -127
        weights = (levels + (0 if signed else 128)).astype(np.int8 if signed else np.uint8)
        expected = (a.astype(np.int64) - 128) @ levels
        if (product(operator, a, weights) != expected).any():
            return False
    return True


def flags() -> set[str]:
    """Of the CPU, empty where they can't be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


@pytest.mark.parametrize("operator", ["MatMulInteger", "MatMulIntegerToFloat"])
@pytest.mark.parametrize("signed", [True, False])
def test_the_probe_says_whether_products_are_exact(operator: str, signed: bool) -> None:
    assert is_exact(exactness_graph(signed=signed)) == directly(operator, signed=signed)


def test_signed_products_saturate_without_vnni() -> None:
    found = flags()
    if "avx2" not in found or found & {"avx_vnni", "avx512_vnni", "amx_int8"}:
        pytest.skip("not an x86 CPU with AVX2 and without VNNI")
    assert not is_exact(exactness_graph(signed=True))
    assert not directly("MatMulInteger", signed=True)
    a, weights = np.full((4, 128), 255, np.uint8), np.full((128, 32), 127, np.int8)
    assert (product("MatMulInteger", a, weights) < 127 * 127 * 128).all()


@pytest.mark.parametrize(
    "exact,kernels",
    [
        ({True: True, False: True}, "int8-signed"),
        ({True: False, False: True}, "int8-unsigned"),
        ({True: False, False: False}, "int8-blocks"),
    ],
)
def test_the_choice(exact: dict[bool, bool], kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = {exactness_graph(signed=signed): answer for signed, answer in exact.items()}
    monkeypatch.setattr(module, "is_exact", graphs.__getitem__)
    module._int8_kernels.cache_clear()
    try:
        assert decoder_kernels("int8") == kernels
        assert [decoder_kernels(p) for p in ("fp32", "fp16", "int4")] == ["fp32", "fp16", "int4"]
    finally:
        module._int8_kernels.cache_clear()


@pytest.mark.parametrize("kernels", ["int8-signed", "int8-unsigned", "int8-blocks"])
def test_a_bundle_says_what_it_needs(
    kernels: str, tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.export import build

    monkeypatch.setattr(build, "decoder_kernels", lambda precision: kernels)
    bundle = Bundle.open(build_bundle(tiny_checkpoint, tmp_path / "b", precision="int8"))
    asks = kernels != "int8-blocks"
    assert bundle.graph().kernels == (kernels if asks else "")
    assert (EXACTNESS_GRAPH in bundle.files) == asks
    if asks:
        probe = (bundle.path / EXACTNESS_GRAPH).read_bytes()
        assert probe == exactness_graph(signed=kernels == "int8-signed")


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_other_precisions_run_anywhere(precision: Any, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bundle = Bundle.open(build_bundle(tiny_checkpoint, tmp_path / "b", precision=precision))
    assert bundle.graph().kernels == "" and EXACTNESS_GRAPH not in bundle.files


# Bundles of other machines


def with_probe(bundle: Path, target: Path, probe: bytes | None, kernels: str = "int8-signed") -> Path:
    """A copy with another exactness graph, or without one, and a manifest that fits."""
    shutil.copytree(bundle, target)
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    manifest["graphs"][0]["kernels"] = kernels
    manifest["files"].pop(EXACTNESS_GRAPH, None)
    file = target / EXACTNESS_GRAPH
    file.unlink(missing_ok=True)
    if probe is not None:
        file.write_bytes(probe)
        manifest["files"][EXACTNESS_GRAPH] = {"sha256": sha256_file(file), "bytes": len(probe)}
    (target / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return target


def inexact_probe() -> bytes:
    """The signed one where it finds saturation, else one that expects something else."""
    probe = exactness_graph(signed=True)
    if not is_exact(probe):
        return probe
    model = onnx.load_model_from_string(probe)
    [expected] = [t for t in model.graph.initializer if t.name == "expected"]
    wrong = onnx.numpy_helper.to_array(expected) + 1
    expected.CopyFrom(onnx.numpy_helper.from_array(wrong.astype(np.int32), "expected"))
    data: bytes = model.SerializeToString()
    return data


def test_a_bundle_for_another_cpu_is_refused(tiny_bundle_int8: Path, tmp_path: Path) -> None:
    bundle = with_probe(tiny_bundle_int8, tmp_path / "b", inexact_probe())
    Bundle.open(bundle).verify()
    with pytest.raises(BundleUnsuitableError, match="int8-signed products are exact") as caught:
        LanguageModel.load(bundle, device="cpu")
    assert (caught.value.code, caught.value.exit_code) == ("model-unsuitable", 5)
    assert "Export the model again" in caught.value.hint and "int4" in caught.value.hint


def test_one_that_needs_nothing_is_not_asked(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = with_probe(tiny_bundle, tmp_path / "b", inexact_probe(), kernels="")
    assert len(LanguageModel.load(bundle, device="cpu").token_logprobs("the cat")) > 0


@pytest.mark.parametrize("probe,words", [(None, "exactness.onnx"), (b"no graph", "onnxruntime can't run")])
def test_a_damaged_probe(probe: bytes | None, words: str, tiny_bundle_int8: Path, tmp_path: Path) -> None:
    bundle = with_probe(tiny_bundle_int8, tmp_path / "b", probe)
    with pytest.raises(BundleCorruptError, match=words):
        LanguageModel.load(bundle, device="cpu")
