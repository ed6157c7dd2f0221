"""The weights that a bundle's graph really holds, unpacked by code that shares nothing with the exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import ExternalDataInfo

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.bundle import Bundle

TYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.UINT8: np.uint8,
}


def read(bundle: Path) -> tuple[onnx.ModelProto, dict[str, tuple[ExternalDataInfo, np.ndarray]]]:
    """The graph, and each external tensor with where it is and what it holds."""
    graph = bundle / Bundle.open(bundle).graphs[0].path
    model = onnx.load(graph, load_external_data=False)
    stored = {}
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        info = ExternalDataInfo(tensor)
        data = (graph.parent / info.location).read_bytes()[info.offset : info.offset + info.length]
        stored[tensor.name] = info, np.frombuffer(data, TYPES[tensor.data_type]).reshape(tuple(tensor.dims))
    return model, stored


def halves(packed: np.ndarray) -> np.ndarray:
    """(rows, n) bytes to (rows, 2n) numbers of 4 bits, the lower half of each byte first."""
    return np.stack([packed % 16, packed // 16], axis=-1).reshape(len(packed), -1).astype(np.int64)


class StoredCheckpoint:
    """A checkpoint whose weights are those of a bundle that was made from it."""

    def __init__(self, checkpoint: Checkpoint, bundle: Path) -> None:
        self._checkpoint = checkpoint
        model, stored = read(bundle)
        self._arrays = {name: array for name, (_, array) in stored.items()}
        # A matrix that is multiplied as it is has been turned: (inputs, outputs).
        self._turned = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
        self.name, self.license, self.config = checkpoint.name, checkpoint.license, checkpoint.config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def tensor(self, name: str) -> np.ndarray:
        shape = dict(self.config.parameter_shapes())[name]
        if name in self._arrays:
            array = self._arrays[name]
            return np.array(array.T if name in self._turned else array, np.float32)
        scales = self._arrays[f"{name}.scales"].astype(np.float64)
        if f"{name}.int8" in self._arrays:
            levels = self._arrays[f"{name}.int8"].astype(np.float64) - 128
            return (levels * scales[:, :, None]).reshape(len(scales), -1)[:, : shape[1]].astype(np.float32)
        rows, count = scales.shape
        levels = halves(self._arrays[f"{name}.int4"].reshape(rows, -1)).reshape(rows, count, 32)
        zeros = halves(self._arrays[f"{name}.zero_points"])[:, :count]
        blocks = (levels - zeros[:, :, None]) * scales[:, :, None]
        inputs = -(-shape[1] // 32)
        own, more = blocks[:, :inputs], blocks[:, inputs:].reshape(rows, -1)
        if more.size:
            own = own + more[:, :inputs, None]  # a constant for each block: it is added to all its weights
        return own.reshape(rows, -1)[:, : shape[1]].astype(np.float32)
