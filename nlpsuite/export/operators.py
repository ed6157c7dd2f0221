"""Replacing the operators that read a graph's weights, to match the form in which these are stored.

A template reads weights in two ways: ``MatMul(x, Transpose(weight))`` and a lookup,
``Gather(weight, input_ids)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nlpsuite.export.graph_writer import CONTRIB
from nlpsuite.export.linear import nbits_attributes
from nlpsuite.export.quantize import BLOCK, block_sums
from nlpsuite.export.template import Layout

if TYPE_CHECKING:
    import onnx

__all__ = ["Form", "Kind", "Readers", "rewrite"]


Kind: TypeAlias = Literal["plain", "transposed", "int8", "int4"]


class Form(NamedTuple):
    """How a weight is stored.

    Attributes:
        kind: ``plain`` as in the checkpoint, ``transposed`` (in, out), or blocks.
        rows, columns: outputs and inputs.
        sums: whether the input is followed by the sums of its blocks; see ``int4_layout``.
    """

    kind: Kind
    rows: int
    columns: int
    sums: bool = False


class Readers(NamedTuple):
    """How a template reads its weights; a tied embedding is in both sets.

    Attributes:
        linear: by linear layers.
        lookups: by the lookup of the input's tokens.

    A weight that any other node reads is in neither set.
    """

    linear: frozenset[str]
    lookups: frozenset[str]

    @classmethod
    def of(cls, graph: onnx.GraphProto, weights: set[str]) -> Readers:
        transposed = _transposed(graph, weights)
        linear, lookups, other = set(transposed.values()), set(), set()
        for node in graph.node:
            for at, name in enumerate(node.input):
                if name in weights and at == 0 and _is_lookup(node):
                    lookups.add(name)
                elif name in weights and node.op_type != "Transpose":
                    other.add(name)
                elif name in transposed and not (node.op_type == "MatMul" and at == 1):
                    other.add(transposed[name])
        return cls(frozenset(linear - other), frozenset(lookups - other))


def _transposed(graph: onnx.GraphProto, weights: set[str]) -> dict[str, str]:
    """Name of a transposed weight in the graph -> the weight."""
    return {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in weights
    }


def _is_lookup(node: onnx.NodeProto) -> bool:
    # GPT-2 looks up positions too; only tokens come straight from the input.
    return node.op_type == "Gather" and node.input[1] == "input_ids"


def rewrite(
    model: onnx.ModelProto, forms: Mapping[str, Form], layout: Layout
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Replace the nodes that read the weights in ``forms``, in place.

    Yields large constants that the new nodes read, to be stored with the weights.
    """
    from onnx.helper import make_node

    graph = model.graph
    transposed = {k: w for k, w in _transposed(graph, set(forms)).items() if w in forms}
    nodes: list[onnx.NodeProto] = []
    summed: dict[str, str] = {}  # input -> the same with the sums of its blocks
    constants: dict[str, npt.NDArray[Any]] = {}
    for node in graph.node:
        weight = transposed.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None:
            form, x = forms[weight], node.input[0]
            if form.sums and x not in summed:
                # Once for all layers that read it (queries, keys and values; gate and up).
                constant = f"block_sums.{form.columns}"
                constants.setdefault(constant, block_sums(form.columns))
                summed[x] = f"{x}.with_sums"
                name = f"{node.name}.sums"
                nodes.append(make_node("MatMul", [x, constant], [f"{x}.sums"], name=name))
                nodes.append(
                    make_node("Concat", [x, f"{x}.sums"], [summed[x]], name=f"{name}.concat", axis=-1)
                )
            nodes.append(_linear(node, weight, form, summed[x] if form.sums else x, layout))
        elif _is_lookup(node) and node.input[0] in forms and forms[node.input[0]].kind == "int8":
            nodes.extend(_quantized_lookup(graph, node, forms[node.input[0]]))
        elif node.op_type == "Transpose" and _is_obsolete(node, transposed, forms, layout):
            continue
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    if all(opset.domain != CONTRIB for opset in model.opset_import) and any(
        node.domain == CONTRIB for node in nodes
    ):
        model.opset_import.add(domain=CONTRIB, version=1)
    yield from constants.items()


def _is_obsolete(
    node: onnx.NodeProto, transposed: Mapping[str, str], forms: Mapping[str, Form], layout: Layout
) -> bool:
    weight = transposed.get(node.output[0])
    return weight is not None and not (forms[weight].kind == "plain" and layout == "portable")


def _linear(node: onnx.NodeProto, weight: str, form: Form, x: str, layout: Layout) -> onnx.NodeProto:
    """x · weightᵀ."""
    from onnx.helper import make_node

    if form.kind == "transposed":
        return make_node("MatMul", [x, weight], node.output, name=node.name)
    if form.kind == "plain":
        if layout == "portable":
            return node
        # A plain Transpose would be folded into a second copy of every weight at load.
        return make_node("FusedMatMul", [x, weight], node.output, name=node.name, domain=CONTRIB, transB=1)
    stored = [f"{weight}.{form.kind}", f"{weight}.scales"]
    if form.kind == "int4":
        stored.append(f"{weight}.zero_points")
    columns = form.columns + (block_sums(form.columns).shape[1] if form.sums else 0)
    return make_node(
        "MatMulNBits",
        [x, *stored],
        node.output,
        name=node.name,
        domain=CONTRIB,
        **nbits_attributes(8 if form.kind == "int8" else 4, form.rows, columns),
    )


def _quantized_lookup(graph: onnx.GraphProto, node: onnx.NodeProto, form: Form) -> Iterator[onnx.NodeProto]:
    """The embedding of ids, read from blocks (which a tied head reads too), in standard operators."""
    import onnx
    from onnx.helper import make_node

    weight, ids, out = node.input[0], node.input[1], node.output[0]
    padded = -(-form.columns // BLOCK) * BLOCK
    constants: dict[str, npt.NDArray[Any]] = {
        f"{out}.zero": np.array(128, np.float32),
        f"{out}.last": np.array([-1], np.int64),
        f"{out}.shape": np.array([0, 0, padded], np.int64),
    }
    zero, last, flat = constants
    if padded != form.columns:
        constants[f"{out}.start"] = np.array([0], np.int64)
        constants[f"{out}.end"] = np.array([form.columns], np.int64)
    graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())
    name = node.name
    yield make_node("Gather", [f"{weight}.int8", ids], [f"{out}.levels"], name=f"{name}.levels", axis=0)
    yield make_node(
        "Cast", [f"{out}.levels"], [f"{out}.float"], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
    )
    yield make_node("Sub", [f"{out}.float", zero], [f"{out}.signed"], name=f"{name}.sub")
    yield make_node("Gather", [f"{weight}.scales", ids], [f"{out}.scale"], name=f"{name}.scale", axis=0)
    yield make_node("Unsqueeze", [f"{out}.scale", last], [f"{out}.scale4"], name=f"{name}.unsqueeze")
    yield make_node("Mul", [f"{out}.signed", f"{out}.scale4"], [f"{out}.blocks"], name=f"{name}.mul")
    whole = out if padded == form.columns else f"{out}.padded"
    yield make_node("Reshape", [f"{out}.blocks", flat], [whole], name=f"{name}.reshape")
    if whole != out:
        yield make_node("Slice", [whole, f"{out}.start", f"{out}.end", last], [out], name=f"{name}.slice")
