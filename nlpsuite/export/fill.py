"""Fill a graph template with a checkpoint's weights in a given precision. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export.quantize import BLOCK, quantize_int8
from nlpsuite.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import onnx

__all__ = ["Precision", "fill_template"]

Precision = Literal["fp32", "int8"]

_CONTRIB = "com.microsoft"  # onnxruntime's own operators, on CPU and CUDA alike
_ALIGNMENT = 4096  # pages, so that the runtime can map each tensor


def fill_template(
    template: onnx.ModelProto,
    checkpoint: Checkpoint,
    precision: Precision,
    path: Path,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write ``path`` (the graph) and ``path`` + ``_data`` (its weights).

    Weights pass one at a time, so memory stays near the largest tensor. Every stored
    tensor is written once, however many nodes read it (a tied embedding and head do).

    Raises:
        UnsupportedModelError: the template asks for a tensor that the checkpoint lacks or
            has in another shape.
        OSError: the files can't be written.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(template)
    graph = model.graph
    wanted = {t.name: t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    _check_shapes(wanted, checkpoint)
    quantized = _rewrite_linear_layers(model, set(wanted), precision)

    data_path = path.with_name(path.name + "_data")
    filled: list[onnx.TensorProto] = [t for t in graph.initializer if t.name not in wanted]
    with data_path.open("wb") as file:
        for done, name in enumerate(wanted):
            for part, array in _encoded(name, checkpoint.tensor(name), name in quantized):
                filled.append(_append(file, data_path.name, part, array))
            on_progress((done + 1) / len(wanted))
    del graph.initializer[:]
    graph.initializer.extend(filled)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _check_shapes(wanted: dict[str, onnx.TensorProto], checkpoint: Checkpoint) -> None:
    """Refuse, before anything is written, weights that the graph would read wrongly."""
    missing = sorted(set(wanted) - set(checkpoint.tensor_names()))
    if missing:
        raise UnsupportedModelError(f"The checkpoint has no tensor {missing[0]!r}.")
    shapes = dict(checkpoint.config.parameter_shapes())
    for name, tensor in wanted.items():
        if tuple(tensor.dims) != shapes.get(name):
            raise UnsupportedModelError(
                f"The graph wants {name} of shape {list(tensor.dims)}; the checkpoint's is {list(shapes.get(name, ()))}."
            )


def _encoded(
    name: str, weight: npt.NDArray[np.float32], quantize: bool
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    if quantize:
        blocks, scales = quantize_int8(weight)
        yield f"{name}.int8", blocks
        yield f"{name}.scales", scales
    else:
        yield name, np.ascontiguousarray(weight, dtype=np.float32)


def _append(file: Any, location: str, name: str, array: npt.NDArray[Any]) -> onnx.TensorProto:
    """Write one array at the next aligned offset and return the initializer that refers to it."""
    import onnx

    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
    tensor = onnx.TensorProto(
        name=name,
        dims=array.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", file.tell()), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    file.write(array.tobytes())
    return tensor


def _rewrite_linear_layers(model: onnx.ModelProto, weights: set[str], precision: Precision) -> set[str]:
    """Replace ``MatMul(x, Transpose(weight))`` and the embedding lookup by their final operators.

    Returns the names of the weights to be quantised.
    """
    graph = model.graph
    transposed = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in weights
    }
    dims = {t.name: tuple(t.dims) for t in graph.initializer}
    linear = set(transposed.values())
    quantized = linear if precision == "int8" else set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[0] in transposed:
            continue
        if node.op_type == "MatMul" and node.input[1] in transposed:
            nodes.append(_linear(node, transposed[node.input[1]], dims, precision))
        elif node.op_type == "Gather" and node.input[0] in quantized:
            nodes.extend(_quantized_lookup(graph, node, dims[node.input[0]]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    if all(opset.domain != _CONTRIB for opset in model.opset_import):
        model.opset_import.add(domain=_CONTRIB, version=1)
    return quantized


def _linear(
    node: onnx.NodeProto, weight: str, dims: dict[str, tuple[int, ...]], precision: Precision
) -> onnx.NodeProto:
    """x · weightᵀ with the weight in checkpoint layout (out, in)."""
    from onnx.helper import make_node

    if precision == "fp32":
        # A plain Transpose would be folded into a second copy of every weight at load.
        return make_node(
            "FusedMatMul", [node.input[0], weight], node.output, name=node.name, domain=_CONTRIB, transB=1
        )
    rows, columns = dims[weight]
    return make_node(
        "MatMulNBits",
        [node.input[0], f"{weight}.int8", f"{weight}.scales"],
        node.output,
        name=node.name,
        domain=_CONTRIB,
        K=columns,
        N=rows,
        bits=8,
        block_size=BLOCK,
        accuracy_level=4,  # activations as int8 per block of 32: the fast kernels
    )


def _quantized_lookup(
    graph: onnx.GraphProto, node: onnx.NodeProto, shape: tuple[int, ...]
) -> Iterator[onnx.NodeProto]:
    """The embedding of ids, read from the blocks that the tied head uses, in standard operators."""
    import onnx
    from onnx.helper import make_node

    weight, ids, out = node.input[0], node.input[1], node.output[0]
    if shape[1] % BLOCK:
        raise UnsupportedModelError(
            f"A tied embedding of width {shape[1]} can't be quantised in blocks of {BLOCK}.",
            hint="Use --precision fp32.",
        )
    constants: dict[str, npt.NDArray[Any]] = {
        f"{out}.zero": np.array(128, np.float32),
        f"{out}.last": np.array([-1], np.int64),
        f"{out}.shape": np.array([0, 0, shape[1]], np.int64),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())
    zero, last, flat = constants
    name = node.name
    yield make_node("Gather", [f"{weight}.int8", ids], [f"{out}.levels"], name=f"{name}.levels", axis=0)
    yield make_node(
        "Cast", [f"{out}.levels"], [f"{out}.float"], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
    )
    yield make_node("Sub", [f"{out}.float", zero], [f"{out}.signed"], name=f"{name}.sub")
    yield make_node("Gather", [f"{weight}.scales", ids], [f"{out}.scale"], name=f"{name}.scale", axis=0)
    yield make_node("Unsqueeze", [f"{out}.scale", last], [f"{out}.scale4"], name=f"{name}.unsqueeze")
    yield make_node("Mul", [f"{out}.signed", f"{out}.scale4"], [f"{out}.blocks"], name=f"{name}.mul")
    yield make_node("Reshape", [f"{out}.blocks", flat], [out], name=f"{name}.reshape")
