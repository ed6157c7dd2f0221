"""Fill a graph template with a checkpoint's weights in a given precision. No torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export.graph_writer import append_tensor
from nlpsuite.export.int4_layout import matmul_int4
from nlpsuite.export.operators import Form, Kind, Readers, rewrite
from nlpsuite.export.quantize import Int4Blocks, quantize_int4, quantize_int8
from nlpsuite.export.stored_blocks import stored_int4, stored_int8
from nlpsuite.export.template import Layout
from nlpsuite.export.weights import encode_rows, finite_tensor, in_type
from nlpsuite.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import onnx

__all__ = ["Precision", "fill_template"]

Precision = Literal["fp32", "fp16", "int8", "int4"]

_HEAD = "lm_head.weight"


def fill_template(
    template: onnx.ModelProto,
    checkpoint: Checkpoint,
    precision: Precision,
    path: Path,
    on_progress: Callable[[float], None] = lambda fraction: None,
    *,
    layout: Layout = "slots",
) -> None:
    """Write ``path`` (the graph) and ``path`` + ``_data`` (its weights).

    Weights are processed one at a time, so memory stays near the largest tensor. Every stored
    tensor is written once, however many nodes read it (a tied embedding and head do).

    Args:
        template: for the layout; for fp16, one with float16 weights.

    Raises:
        UnsupportedModelError: the checkpoint lacks a tensor or has it in another shape; a weight is
            too large for fp16.
        BundleCorruptError: a weight is not a finite number.
        OSError: the files can't be written.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(template)
    graph = model.graph
    wanted = {t.name: t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    _check_shapes(wanted, checkpoint)
    readers = Readers.of(graph, set(wanted))

    data_path = path.with_name(path.name + "_data")
    filled: list[onnx.TensorProto] = []
    forms: dict[str, Form] = {}
    with data_path.open("wb") as file:
        for done, (name, tensor) in enumerate(wanted.items()):
            kind = _kind(name, readers, precision, layout)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            parts, sums = _encoded(name, checkpoint, kind, dtype)
            filled.extend(append_tensor(file, data_path.name, part, array) for part, array in parts.items())
            if name in readers.linear | readers.lookups:
                forms[name] = Form(kind, tensor.dims[0], tensor.dims[1], sums)
            on_progress((done + 1) / len(wanted))
        for name, array in rewrite(model, forms, layout):
            filled.append(append_tensor(file, data_path.name, name, array))
    small = [t for t in graph.initializer if t.name not in wanted]
    del graph.initializer[:]
    graph.initializer.extend(small + filled)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _check_shapes(wanted: dict[str, onnx.TensorProto], checkpoint: Checkpoint) -> None:
    """Raise UnsupportedModelError, before anything is written, for weights that don't fit the graph."""
    missing = sorted(set(wanted) - set(checkpoint.tensor_names()))
    if missing:
        raise UnsupportedModelError(f"The checkpoint has no tensor {missing[0]!r}.")
    shapes = dict(checkpoint.config.parameter_shapes())
    for name, tensor in wanted.items():
        if tuple(tensor.dims) != shapes.get(name):
            raise UnsupportedModelError(
                f"The graph wants {name} of shape {list(tensor.dims)}; the checkpoint's is {list(shapes.get(name, ()))}."
            )


def _kind(name: str, readers: Readers, precision: Precision, layout: Layout) -> Kind:
    """The form in which a weight is stored; weights that only other operators read stay unchanged."""
    linear, lookup = name in readers.linear, name in readers.lookups
    if precision in ("fp32", "fp16"):
        # Other apps have no operator for transposed weights; a tied head's are transposed at load.
        return "transposed" if layout == "portable" and linear and not lookup else "plain"
    if precision == "int4" and linear and not lookup and name != _HEAD:
        return "int4"
    # Perplexity of the default model with its embedding moved off its own grid: a 4-bit head +4.7 %, an
    # 8-bit one +0.09 %; a 4-bit lookup +0.31 %, an 8-bit one +0.03 %. A run looks up only a few rows, so
    # fewer bits would save no time.
    return "int8" if linear or lookup else "plain"


def _encoded(
    name: str, checkpoint: Checkpoint, kind: Kind, dtype: npt.DTypeLike
) -> tuple[dict[str, npt.NDArray[Any]], bool]:
    """The stored arrays of a weight by their names, and whether its input needs sums (see int4_layout)."""
    if kind == "int8":
        blocks, scales = stored_int8(checkpoint.quantized(name)) or encode_rows(
            checkpoint, name, lambda values, _: quantize_int8(values)
        )
        return {f"{name}.int8": blocks, f"{name}.scales": scales}, False
    if kind == "int4":
        stored = stored_int4(checkpoint.quantized(name))
        packed = matmul_int4(
            stored or Int4Blocks(*encode_rows(checkpoint, name, lambda values, _: quantize_int4(values)))
        )
        return {
            f"{name}.int4": packed.levels,
            f"{name}.scales": packed.scales,
            f"{name}.zero_points": packed.zero_points,
        }, packed.sums
    weight = in_type(finite_tensor(checkpoint, name), name, dtype)
    return {name: np.ascontiguousarray(weight.T if kind == "transposed" else weight)}, False
