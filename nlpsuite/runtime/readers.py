"""A bundle's graph reading one text from the start, without batch or scheduler: what a simple program does with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.device import Device
from nlpsuite.runtime.session import SlotSession

__all__ = ["Logits", "PortableReader", "Reader", "SlotsReader"]

Logits = npt.NDArray[np.float32]


class Reader(Protocol):
    """A model reading one text from the start."""

    def restart(self) -> None:
        """Start again."""

    def read(self, ids: Sequence[int]) -> Logits:
        """The logits (len(ids), V) after each of the next tokens."""


class SlotsReader:
    """The slots graph with one slot.

    Args:
        graph: the ONNX file, its weights beside it.
        room: most tokens of a text.
    """

    def __init__(self, graph: Path, device: Device, room: int) -> None:
        self._session = SlotSession(graph, device)
        self._session.reserve(1, room)
        self._seen = 0

    def restart(self) -> None:
        self._seen = 0  # later positions are overwritten; a recurrent model starts afresh at 0

    def read(self, ids: Sequence[int]) -> Logits:
        every = np.arange(len(ids))[None]
        logits = self._session.run(np.array([ids]), np.array([self._seen]), every)
        self._seen += len(ids)
        first: Logits = logits[0]
        return first


class PortableReader:
    """The portable graph as other apps run it: past keys and values go in, present ones come out.

    Args:
        graph: the ONNX file, its weights beside it.
        exact: round no activations: products of quantised weights are computed in float32, as onnxruntime does on
            some machines and in browsers.
    """

    def __init__(self, graph: Path, device: Device, *, exact: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # or its warnings reach the user's terminal
        model: str | bytes = str(graph)
        if exact:
            model = _with_exact_products(graph)
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", str(graph.parent)
            )
        self._session = onnxruntime.InferenceSession(model, options, providers=device.providers)
        self._inputs = [i for i in self._session.get_inputs() if i.name.startswith("past_key_values.")]
        self._outputs = ["logits", *(i.name.replace("past_key_values.", "present.") for i in self._inputs)]
        self.restart()

    def restart(self) -> None:
        self._seen = 0
        self._past: dict[str, npt.NDArray[Any]] = {}
        for value in self._inputs:
            dtype = np.float16 if value.type == "tensor(float16)" else np.float32
            _, heads, _, size = value.shape
            self._past[value.name] = np.zeros((1, heads, 0, size), dtype)

    def read(self, ids: Sequence[int]) -> Logits:
        total = self._seen + len(ids)
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(self._seen, total)[None],
        }
        logits, *present = self._session.run(self._outputs, {**inputs, **self._past})
        self._past = dict(zip(self._past, present))
        self._seen = total
        return np.asarray(logits[0], np.float32)


def _with_exact_products(graph: Path) -> bytes:
    """A graph without permission to round what quantised weights are multiplied with."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "MatMulNBits" and attribute.name == "accuracy_level":
                attribute.i = 1  # float32
    serialized: bytes = model.SerializeToString()
    return serialized
