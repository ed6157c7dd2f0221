"""An ONNX graph under construction, its large tensors going straight into the weights file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

__all__ = ["CONTRIB", "GraphWriter", "append_tensor"]

CONTRIB = "com.microsoft"  # onnxruntime's own operators, on CPU and CUDA alike
_ALIGNMENT = 4096  # pages, so that the runtime can map each tensor


def append_tensor(file: BinaryIO, location: str, name: str, array: npt.NDArray[Any]) -> onnx.TensorProto:
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
    file.write(np.ascontiguousarray(array).data)
    return tensor


class GraphWriter:
    """Collects nodes; ``finish`` writes the graph.

    Args:
        file: the weights file, next to the graph.
        location: its name.
    """

    def __init__(self, file: BinaryIO, location: str) -> None:
        self._file, self._location = file, location
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(
        self, operator: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        [output] = self.nodes(operator, inputs, [out], domain=domain, **attributes)
        return output

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str | None],
        *,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node and return its outputs' names; None for a name of its own, empty for an unused output."""
        from onnx.helper import make_node

        at = len(self._nodes)
        named = [f"t.{at}.{i}" if name is None else name for i, name in enumerate(outputs)]
        self._nodes.append(
            make_node(operator, inputs, named, name=f"{operator}.{at}", domain=domain, **attributes)
        )
        return named

    def constant(self, value: Any, dtype: npt.DTypeLike) -> str:
        """A small constant in the graph itself; equal ones are stored once."""
        import onnx

        array = np.asarray(value, dtype)
        name = f"const.{array.dtype}.{list(array.shape)}.{array.tolist()}"
        if not self.has(name):
            self._initializers[name] = onnx.numpy_helper.from_array(array, name)
        return name

    def has(self, name: str) -> bool:
        """Whether a tensor of this name is stored."""
        return name in self._initializers

    def weight(self, name: str, array: npt.NDArray[Any]) -> str:
        """Store a tensor in the weights file and return its name; equal names must have equal content."""
        if not self.has(name):
            self._initializers[name] = append_tensor(self._file, self._location, name, array)
        return name

    def finish(
        self,
        path: Path,
        name: str,
        inputs: Sequence[tuple[str, npt.DTypeLike, Sequence[int | str]]],
        outputs: Sequence[tuple[str, npt.DTypeLike, Sequence[int | str]]],
        *,
        opset: int,
        metadata: dict[str, str],
    ) -> None:
        """Write the graph; inputs and outputs are given as name, type and shape."""
        import onnx
        from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info

        def values(given: Sequence[tuple[str, npt.DTypeLike, Sequence[int | str]]]) -> list[Any]:
            return [
                make_tensor_value_info(value, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
                for value, dtype, shape in given
            ]

        graph = make_graph(
            self._nodes, name, values(inputs), values(outputs), list(self._initializers.values())
        )
        model = make_model(
            graph,
            producer_name="nlpsuite",
            ir_version=10,  # what the operators used here need; newer ones would only exclude readers
            opset_imports=[make_opsetid("", opset), make_opsetid(CONTRIB, 1)],
        )
        onnx.helper.set_model_props(model, metadata)
        path.write_bytes(model.SerializeToString(deterministic=True))
