"""Copying memory on a device, which onnxruntime's Python interface has no function for."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.device import Device

__all__ = ["copy_on_device"]


def copy_on_device(
    device: Device, dtype: npt.DTypeLike, shape: tuple[int, ...], source: int, target: int
) -> None:
    """Copy an array between two addresses of a device's memory that don't overlap."""
    session = _identity(device, np.dtype(dtype))
    binding = session.io_binding()
    binding.bind_input("source", device.kind, 0, dtype, shape, source)
    binding.bind_output("target", device.kind, 0, dtype, shape, target)
    session.run_with_iobinding(binding)


@cache
def _identity(device: Device, dtype: np.dtype[Any]) -> Any:
    """A session whose output is its input."""
    import onnxruntime
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["source"], ["target"])],
        "copy",
        [helper.make_tensor_value_info("source", kind, None)],
        [helper.make_tensor_value_info("target", kind, None)],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=device.providers)
