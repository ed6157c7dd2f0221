"""Which integer kernels compute exactly on this machine."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.export.decoder_graph import DecoderKernels
from nlpsuite.export.fill import Precision
from nlpsuite.runtime.exactness import is_exact

__all__ = ["decoder_kernels", "exactness_graph"]

_ROWS, _INNER, _COLUMNS = 4, 128, 32


def decoder_kernels(precision: Precision) -> DecoderKernels:
    """The kernels of a decoder's graph for a precision on this machine.

    8-bit weights are stored signed where onnxruntime multiplies uint8 by int8 exactly: with VNNI, where that is
    the fastest, and on Arm. On other x86 CPUs its kernel saturates, so they are stored unsigned. Both give the same
    numbers. Where neither is exact, weights are in blocks.
    """
    if precision == "int8":
        return _int8_kernels()
    return precision


@cache
def _int8_kernels() -> DecoderKernels:
    if is_exact(exactness_graph(signed=True)):
        return "int8-signed"
    return "int8-unsigned" if is_exact(exactness_graph(signed=False)) else "int8-blocks"


def exactness_graph(*, signed: bool) -> bytes:
    """An ONNX model that says whether the largest products are summed exactly.

    Its input ``a`` is (4, 128) uint8, every element 255; its output ``exact`` is a bool. The weights are ±127, the
    worst case for a kernel that adds pairs of products in 16 bits.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    signs = np.where(np.arange(_COLUMNS) % 2, -1, 1)
    weights = np.repeat(127 * signs[None], _INNER, axis=0)
    zero = 0 if signed else 128
    kind: type[np.int8] | type[np.uint8] = np.int8 if signed else np.uint8
    constants: dict[str, npt.NDArray[Any]] = {
        "weights": (weights + zero).astype(kind),
        "middle": np.array(128, np.uint8),
        "zero": np.array(zero, kind),
        "expected": np.broadcast_to(127 * 127 * _INNER * signs, (_ROWS, _COLUMNS)).astype(np.int32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMulInteger", ["a", "weights", "middle", "zero"], ["found"]),
            helper.make_node("Sub", ["found", "expected"], ["difference"]),
            helper.make_node("Abs", ["difference"], ["size"]),
            helper.make_node("ReduceMax", ["size"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["wrong"], to=TensorProto.BOOL),
            helper.make_node("Not", ["wrong"], ["exact"]),
        ],
        "exactness",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [_ROWS, _INNER])],
        [helper.make_tensor_value_info("exact", TensorProto.BOOL, [])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
