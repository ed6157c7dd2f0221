"""The weights that a bundle's graph really holds, unpacked by code that shares nothing with the exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx.external_data_helper import ExternalDataInfo

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig
from nlpsuite.runtime.bundle import Bundle

TYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.UINT8: np.uint8,
    onnx.TensorProto.INT8: np.int8,
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


def unpacked(arrays: dict[str, np.ndarray], name: str, columns: int, *, turned: bool = False) -> np.ndarray:
    """The matrix (out, ``columns``) that is stored under a name, in any form.

    Args:
        turned: a plain matrix is stored as (inputs, outputs).
    """
    for plain in (name, f"{name}.weight"):
        if plain in arrays:
            return np.array(arrays[plain].T if turned else arrays[plain], np.float32)
    scales = arrays[f"{name}.scales"].astype(np.float64)
    if f"{name}.channels" in arrays:  # signed, or unsigned around 128; scales are for inputs up to 127
        levels = arrays[f"{name}.channels"]
        middle = 0 if levels.dtype == np.int8 else 128
        return ((levels.T.astype(np.float64) - middle) * scales[:, None] * 127).astype(np.float32)
    if f"{name}.int8" in arrays:
        levels = arrays[f"{name}.int8"].astype(np.float64) - 128
        return (levels * scales[:, :, None]).reshape(len(scales), -1)[:, :columns].astype(np.float32)
    rows, count = scales.shape
    levels = halves(arrays[f"{name}.int4"].reshape(rows, -1)).reshape(rows, count, 32)
    zeros = halves(arrays[f"{name}.zero_points"])[:, :count]
    blocks = (levels - zeros[:, :, None]) * scales[:, :, None]
    inputs = -(-columns // 32)
    own, more = blocks[:, :inputs], blocks[:, inputs:].reshape(rows, -1)
    if more.size:
        own = own + more[:, :inputs, None]  # a constant for each block: it is added to all its weights
    return own.reshape(rows, -1)[:, :columns].astype(np.float32)


class StoredCheckpoint:
    """A checkpoint whose weights are those of a bundle that was made from it."""

    def __init__(self, checkpoint: Checkpoint, bundle: Path) -> None:
        self._checkpoint = checkpoint
        model, stored = read(bundle)
        self._arrays = {name: array for name, (_, array) in stored.items()}
        # A matrix that is multiplied as it is has been turned: (inputs, outputs).
        self._turned = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
        self.name, self.license, self.config = checkpoint.name, checkpoint.license, checkpoint.config
        self._places: dict[str, Place] = {}
        if isinstance(self.config, DecoderConfig) and Bundle.open(bundle).graphs[0].layout == "slots":
            self._places = places(self.config)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def tensor(self, name: str) -> np.ndarray:
        shape = dict(self.config.parameter_shapes())[name]
        if name not in self._places:
            return unpacked(self._arrays, name, shape[-1], turned=name in self._turned)
        place = self._places[name]
        if len(shape) == 1:
            found = self._arrays[place.stack][place.first : place.first + shape[0]]
        else:
            whole = unpacked(self._arrays, place.stack, shape[1])
            found = whole[place.first : place.first + shape[0]]
        return np.ascontiguousarray(found, np.float32)

    def unsmoothed(self, name: str) -> np.ndarray:
        """The same without the factors that move outliers of activations into the weights."""
        return self.tensor(name) / self.factors(name)

    def factors(self, name: str) -> np.ndarray:
        """What each number of a weight was multiplied by to move outliers of activations into the weights.

        Recognised by the vector or the rows that were divided by them.
        """
        found = np.ones(self.tensor(name).shape, np.float32)
        layer, _, part = name.rpartition(".layers.")[2].partition(".")
        if not isinstance(self.config, DecoderConfig) or not part:
            return found
        if part in ("input_layernorm.weight", "post_attention_layernorm.weight"):
            return found / self._divisors(name)
        if part == "mlp.up_proj.weight":
            found /= self._divisors(name)[:, None]
        readers = {
            "input_layernorm": ("q_proj.weight", "k_proj.weight", "v_proj.weight"),
            "post_attention_layernorm": ("gate_proj.weight", "up_proj.weight"),
            "mlp.up_proj": ("down_proj.weight",),
        }
        for source, names in readers.items():
            if part.endswith(names):
                found *= self._divisors(f"model.layers.{layer}.{source}.weight")
        return found

    def _divisors(self, name: str) -> np.ndarray:
        """What a vector, or each row of a matrix, was divided by: a power of two."""
        original, found = self._checkpoint.tensor(name), self.tensor(name)
        if original.ndim == 2:
            norm = self._divisors(name.replace("mlp.up_proj", "post_attention_layernorm"))
            original, found = (np.linalg.norm(x, axis=1) for x in (original, found / norm))
        return np.exp2(np.rint(np.log2(original / found))).astype(np.float32)


class Place(NamedTuple):
    """Where a decoder's slots graph holds a weight.

    Attributes:
        stack: the stored tensor, which holds several weights below each other.
        first: its first row.
    """

    stack: str
    first: int = 0


def places(config: DecoderConfig) -> dict[str, Place]:
    """By name of the weight; norms are stored as they are."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    inner = config.intermediate_size
    embedding = "model.embed_tokens.weight"
    found = {embedding: Place("head" if config.tie_word_embeddings else "embedding")}
    found["lm_head.weight"] = Place("head")
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}"
        firsts = {"q": 0, "k": queries, "v": queries + keys}
        for part, first in firsts.items():
            found[f"{layer}.self_attn.{part}_proj.weight"] = Place(f"{i}.qkv", first)
            found[f"{layer}.self_attn.{part}_proj.bias"] = Place(f"{i}.qkv.bias", first)
        found[f"{layer}.self_attn.o_proj.weight"] = Place(f"{i}.o")
        found[f"{layer}.mlp.gate_proj.weight"] = Place(f"{i}.gate_up")
        found[f"{layer}.mlp.up_proj.weight"] = Place(f"{i}.gate_up", inner)
        found[f"{layer}.mlp.down_proj.weight"] = Place(f"{i}.down")
    return found


def precise(bundle: Path) -> Path:
    """The bundle's graph with activations as they are instead of rounded to 8 bits."""
    path = bundle / Bundle.open(bundle).graphs[0].path
    model = onnx.load(path, load_external_data=False)
    quotients = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"
    }
    make = onnx.helper.make_node
    nodes = []
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
        if node.op_type != "MatMulIntegerToFloat":
            nodes.append(node)
            continue
        rounded, levels, _, scales, _, zero = node.input
        names = [f"{node.name}.{part}" for part in ("levels", "zero", "centred", "weights", "input")]
        nodes += [
            make("Cast", [levels], [names[0]], to=onnx.TensorProto.FLOAT),
            make("Cast", [zero], [names[1]], to=onnx.TensorProto.FLOAT),
            make("Sub", names[:2], [names[2]]),
            make("Mul", [names[2], scales], [names[3]]),
            make("Mul", [quotients[rounded], "most"], [names[4]]),
            make("MatMul", [names[4], names[3]], node.output),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(127, np.float32), "most"))
    path.write_bytes(model.SerializeToString())
    return path
