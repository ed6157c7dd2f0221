"""How a linear layer's weights are stored, and the nodes that multiply by them.

A layer here is a stack of checkpoint matrices that read the same input: queries, keys and values, or gate and
up. One product for all of them quantises the input once and starts one kernel instead of three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.export.graph_writer import CONTRIB, GraphWriter
from nlpsuite.export.int4_layout import matmul_int4
from nlpsuite.export.quantize import (
    BLOCK,
    Int4Blocks,
    Int8Blocks,
    block_sums,
    quantize_channels,
    quantize_int4,
    quantize_int8,
)
from nlpsuite.export.stored_blocks import stored_int4, stored_int8
from nlpsuite.export.weights import encode_rows, in_type
from nlpsuite.models.checkpoint import Checkpoint

__all__ = ["Blocks4", "Blocks8", "Channels8", "Linear", "Matrix", "Plain", "nbits_attributes"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Matrix:
    """A checkpoint's weight (out, in).

    Attributes:
        divisor: (out,) of each output's weights.
    """

    checkpoint: Checkpoint
    name: str
    divisor: Floats | None = None

    @property
    def rows(self) -> int:
        """Number of outputs."""
        return self._shape[0]

    @property
    def columns(self) -> int:
        """Number of inputs."""
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, ...]:
        return dict(self.checkpoint.config.parameter_shapes())[self.name]

    def encoded(self, encode: Callable[[Floats], Sequence[npt.NDArray[Any]]]) -> list[npt.NDArray[Any]]:
        """The weight as ``encode`` stores rows of it; see ``encode_rows``."""

        def divided(values: Floats, part: slice) -> Sequence[npt.NDArray[Any]]:
            return encode(values if self.divisor is None else values / self.divisor[part, None])

        return encode_rows(self.checkpoint, self.name, divided)


class Linear(ABC):
    """A way to store and multiply weights."""

    @abstractmethod
    def apply(
        self, graph: GraphWriter, x: str, name: str, layer: Sequence[Matrix], out: str | None = None
    ) -> str:
        """x · Wᵀ for the stacked matrices of a layer.

        Args:
            x: (B, S, in).
            name: of the layer, for its stored tensors.
            out: name of the result.

        Returns:
            (B, S, total out), in the order of the matrices.

        Raises:
            BundleCorruptError: a weight is not a finite number.
            UnsupportedModelError: a weight is too large for its type.
        """


@dataclass(frozen=True)
class Plain(Linear):
    """Weights as they are, in float32 or float16."""

    dtype: npt.DTypeLike = np.float32

    def apply(
        self, graph: GraphWriter, x: str, name: str, layer: Sequence[Matrix], out: str | None = None
    ) -> str:
        weight = self.store(graph, name, layer)
        # A plain Transpose would be folded into a second copy of every weight at load.
        return graph.node("FusedMatMul", x, weight, out=out, domain=CONTRIB, transB=1)

    def store(self, graph: GraphWriter, name: str, layer: Sequence[Matrix]) -> str:
        """Store the weights (out, in), if they aren't yet; returns the tensor's name."""
        if graph.has(f"{name}.weight"):
            return f"{name}.weight"

        def plain(matrix: Matrix) -> list[npt.NDArray[Any]]:
            return matrix.encoded(lambda values: (in_type(values, matrix.name, self.dtype),))

        return graph.weight(f"{name}.weight", *_stacked(map(plain, layer)))


@dataclass(frozen=True)
class Blocks8(Linear):
    """8-bit weights with a scale for every 32 inputs; the kernel quantises the input likewise."""

    def apply(
        self, graph: GraphWriter, x: str, name: str, layer: Sequence[Matrix], out: str | None = None
    ) -> str:
        stored = self.store(graph, name, layer)
        rows, columns = sum(m.rows for m in layer), layer[0].columns
        return _matmul_nbits(graph, x, stored, bits=8, rows=rows, columns=columns, out=out)

    def store(self, graph: GraphWriter, name: str, layer: Sequence[Matrix]) -> list[str]:
        """Store levels and scales, if they aren't yet; returns the tensors' names."""
        names = [f"{name}.int8", f"{name}.scales"]
        if graph.has(names[0]):
            return names
        parts = (stored_int8(m.checkpoint.quantized(m.name)) or m.encoded(quantize_int8) for m in layer)
        blocks = Int8Blocks(*_stacked(parts))
        return [graph.weight(names[0], blocks.levels), graph.weight(names[1], blocks.scales)]


@dataclass(frozen=True)
class Blocks4(Linear):
    """4-bit weights with a scale and a minimum for every 32 inputs; see ``int4_layout``."""

    def apply(
        self, graph: GraphWriter, x: str, name: str, layer: Sequence[Matrix], out: str | None = None
    ) -> str:
        parts = (stored_int4(m.checkpoint.quantized(m.name)) or m.encoded(quantize_int4) for m in layer)
        packed = matmul_int4(Int4Blocks(*_stacked(parts)))
        columns = layer[0].columns
        if packed.sums:
            matrix = block_sums(columns)
            sums = graph.node("MatMul", x, graph.weight(f"block_sums.{columns}", matrix))
            x, columns = graph.node("Concat", x, sums, axis=-1), columns + matrix.shape[1]
        stored = [
            graph.weight(f"{name}.int4", packed.levels),
            graph.weight(f"{name}.scales", packed.scales),
            graph.weight(f"{name}.zero_points", packed.zero_points),
        ]
        return _matmul_nbits(graph, x, stored, bits=4, rows=len(packed.levels), columns=columns, out=out)


@dataclass(frozen=True)
class Channels8(Linear):
    """8-bit weights with a scale per output; each token's input is rounded to 8 bits with a scale of its own.

    The sums are of integers and exact, so a row's result doesn't depend on the other rows.

    Attributes:
        signed: store weights as int8, else as uint8 with zero point 128. The products are the same
            numbers, but on x86 without VNNI onnxruntime's kernel for int8 saturates: see ``kernels``.
        smoothing: power-of-two factors (in,) that the weights of a layer are multiplied by, by its name; what
            computes the layer's input divides by them.
    """

    signed: bool
    smoothing: Mapping[str, Floats] = field(default_factory=dict)

    def apply(
        self, graph: GraphWriter, x: str, name: str, layer: Sequence[Matrix], out: str | None = None
    ) -> str:
        factors = self.smoothing.get(name, np.float32(1))
        parts = (m.encoded(lambda values: quantize_channels(values * factors)) for m in layer)
        levels, scales = _stacked(parts)
        stored = levels.T if self.signed else levels.T.view(np.uint8) ^ np.uint8(128)
        largest = graph.node(
            "ReduceMax", graph.node("Abs", x), graph.constant([-1], np.int64), keepdims=1
        )  # (B, S, 1); of an input of zeros 0, which makes the result 0 whatever NaN is rounded to
        middle = graph.constant(128, np.uint8)
        rounded = graph.node(
            "QuantizeLinear",
            graph.node("Div", x, largest),
            graph.constant(1 / 127, np.float32),
            middle,
        )
        product = graph.node(
            "MatMulIntegerToFloat",
            rounded,
            graph.weight(f"{name}.channels", np.ascontiguousarray(stored)),
            graph.constant(1, np.float32),
            graph.weight(f"{name}.scales", scales / np.float32(127)),
            middle,
            graph.constant(0, np.int8) if self.signed else middle,
            domain=CONTRIB,
        )
        return graph.node("Mul", product, largest, out=out)


def _stacked(parts: Iterable[Sequence[npt.NDArray[Any]]]) -> list[npt.NDArray[Any]]:
    """The arrays of a layer's matrices, each put together by rows."""
    matrices = list(parts)
    if len(matrices) == 1:
        return list(matrices[0])
    return [np.concatenate(arrays) for arrays in zip(*matrices)]


def _matmul_nbits(
    graph: GraphWriter,
    x: str,
    stored: Sequence[str],
    *,
    bits: int,
    rows: int,
    columns: int,
    out: str | None = None,
) -> str:
    """x (..., columns) times stored blocks, (..., rows)."""
    attributes = nbits_attributes(bits, rows, columns)
    return graph.node("MatMulNBits", x, *stored, out=out, domain=CONTRIB, **attributes)


def nbits_attributes(bits: int, rows: int, columns: int) -> dict[str, Any]:
    """The attributes of ``MatMulNBits``."""
    return {
        "K": columns,
        "N": rows,
        "bits": bits,
        "block_size": BLOCK,
        "accuracy_level": 4,  # activations as int8 per block of 32: the fast kernels
    }
