"""The slots graph of a decoder, node by node, without torch.

It computes what ``models.decoder`` computes, laid out for onnxruntime's kernels:

- The cache of a layer is (B, M, G·d), so that new keys and values are written, and queries read, without a
  transposition.
- Layers that read the same input are stacked (see ``linear``), residual sums are part of the norms, and the
  head reads only the positions asked for.

Letters as in ``models.decoder``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.export.graph_writer import CONTRIB, GraphWriter
from nlpsuite.export.linear import Blocks4, Blocks8, Channels8, Linear, Matrix, Plain
from nlpsuite.export.quantize import BLOCK
from nlpsuite.export.smoothing import Smoothing, smoothing_factors
from nlpsuite.export.template import CONFIG_KEY
from nlpsuite.export.weights import finite_tensor, in_type
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig

__all__ = ["DecoderKernels", "write_decoder_graph"]

# What multiplies the weights: see ``linear``.
DecoderKernels = Literal["fp32", "fp16", "int8-signed", "int8-unsigned", "int8-blocks", "int4"]

_OPSET = 24  # the first with TensorScatter
_EMBEDDING = "model.embed_tokens.weight"


def write_decoder_graph(
    checkpoint: Checkpoint,
    kernels: DecoderKernels,
    path: Path,
    *,
    probe: Sequence[int] = (),
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write ``path`` (the graph) and ``path`` + ``_data`` (its weights), one layer at a time.

    Inputs, int64: ``input_ids`` (B, S), ``write_indices`` (B,), ``logit_indices`` (B, K); and the cache,
    ``cache.{i}.key`` and ``cache.{i}.value`` (B, M, G·d). Outputs: ``logits`` (B, K, V) and
    ``updated.{i}.key`` / ``.value``, which may share memory with the cache.

    Args:
        probe: token ids of an ordinary text, for the ranges of activations; kernels that quantise these are
            more accurate with it.

    Raises:
        BundleCorruptError: a weight is not a finite number.
        UnsupportedModelError: a weight is too large for fp16.
        OSError: the files can't be written.
    """
    data = path.with_name(path.name + "_data")
    with data.open("wb") as file:
        begin = 0.0
        smoothing = Smoothing({}, {})
        if kernels in ("int8-signed", "int8-unsigned") and probe:
            begin = 0.4  # of the time
            smoothing = smoothing_factors(checkpoint, probe, lambda fraction: on_progress(begin * fraction))
        decoder = _Decoder(checkpoint, kernels, GraphWriter(file, data.name), smoothing)
        decoder.write(path, lambda fraction: on_progress(begin + (1 - begin) * fraction))


class _Positions(NamedTuple):
    """What layers know of positions, those that see everything and those with a window.

    Attributes:
        masks: (B, 1, S, M), true where a query may look.
        rotary: (B, S, r/2) cosines and sines.
    """

    masks: tuple[str, str]
    rotary: tuple[tuple[str, str], tuple[str, str]]


class _Decoder:
    def __init__(
        self, checkpoint: Checkpoint, kernels: DecoderKernels, graph: GraphWriter, smoothing: Smoothing
    ) -> None:
        assert isinstance(checkpoint.config, DecoderConfig)
        self._checkpoint, self._config, self._graph = checkpoint, checkpoint.config, graph
        self._dtype = np.float16 if kernels == "fp16" else np.float32
        self._smoothing = smoothing
        self._linear: Linear
        match kernels:
            case "int8-signed" | "int8-unsigned":
                self._linear = Channels8(kernels == "int8-signed", smoothing.inputs)
            case "int8-blocks":
                self._linear = Blocks8()
            case "int4":
                self._linear = Blocks4()
            case _:
                self._linear = Plain(self._dtype)
        # The head's input has outliers, and its output decides between tokens: blocks, also beside 4-bit layers.
        self._head: Plain | Blocks8 = self._linear if isinstance(self._linear, Plain) else Blocks8()
        config = self._config
        self._groups, self._d = config.num_key_value_heads, config.head_dim

    def write(self, path: Path, on_progress: Callable[[float], None]) -> None:
        graph, config = self._graph, self._config
        layers = config.num_hidden_layers
        positions = self._positions()
        x, delta = self._scaled(self._embed(), config.embedding_scale), ""
        # By weights: the embedding of a small model is a third of it.
        total, table = config.parameter_count(), config.vocab_size * config.hidden_size
        tables = table if config.tied_head else 2 * table
        for i in range(layers):
            on_progress((table + (total - tables) * i / layers) / total)
            x, delta = self._layer(i, x, delta, positions)
        on_progress((table + total - tables) / total)
        self._logits(x, delta)
        width = self._groups * self._d
        parts = [f"{i}.{part}" for i in range(layers) for part in ("key", "value")]
        cache = ("batch", "cache_length", width)
        graph.finish(
            path,
            "slots",
            [
                ("input_ids", np.int64, ("batch", "sequence")),
                ("write_indices", np.int64, ("batch",)),
                ("logit_indices", np.int64, ("batch", "reads")),
                *((f"cache.{part}", self._dtype, cache) for part in parts),
            ],
            [
                ("logits", self._dtype, ("batch", "reads", config.vocab_size)),
                *((f"updated.{part}", self._dtype, cache) for part in parts),
            ],
            opset=_OPSET,
            metadata={CONFIG_KEY: json.dumps(config.to_hf(), sort_keys=True)},
        )
        on_progress(1)

    def _matrix(self, name: str) -> Matrix:
        return Matrix(self._checkpoint, name, self._smoothing.outputs.get(name))

    def _vector(self, name: str) -> npt.NDArray[np.floating[Any]]:
        values = finite_tensor(self._checkpoint, name)
        if "norm" in name:
            values = values + np.float32(self._config.traits.norm_offset)
        values = values / self._smoothing.outputs.get(name, np.float32(1))
        return in_type(values, name, self._dtype)

    def _positions(self) -> _Positions:
        graph, config, ints = self._graph, self._config, np.int64
        zero, one = graph.constant(0, ints), graph.constant(1, ints)
        new = graph.node("Squeeze", graph.node("Shape", "input_ids", start=1, end=2))
        room = graph.node("Squeeze", graph.node("Shape", "cache.0.key", start=1, end=2))
        starts = graph.node("Unsqueeze", "write_indices", graph.constant([1], ints))
        at = graph.node("Add", starts, graph.node("Range", zero, new, one))  # (B, S)
        seen = graph.node("Range", zero, room, one)
        own = graph.node("Unsqueeze", at, graph.constant([1, 3], ints))
        mask = local_mask = graph.node("LessOrEqual", seen, own)
        positions = graph.node("Unsqueeze", at, graph.constant([2], ints))  # (B, S, 1)
        rotary = local_rotary = self._rotary("rotary_frequencies", positions, local=False)
        if config.local_layers:
            before = graph.node("Sub", own, graph.constant(config.sliding_window or 0, ints))
            local_mask = graph.node("And", mask, graph.node("Greater", seen, before))
            if config.local_rope_theta is not None:
                local_rotary = self._rotary("local_rotary_frequencies", positions, local=True)
        return _Positions((mask, local_mask), (rotary, local_rotary))

    def _rotary(self, name: str, positions: str, *, local: bool) -> tuple[str, str]:
        graph, magnitude = self._graph, self._config.rotary_magnitude(local=local)
        frequencies = np.array(self._config.rotary_frequencies(local=local), np.float32)
        angles = graph.node("Mul", graph.node("Cast", positions, to=1), graph.weight(name, frequencies))
        cos, sin = (
            self._cast(self._scaled(graph.node(kind, angles), magnitude, np.float32))
            for kind in ("Cos", "Sin")
        )
        return cos, sin

    def _scaled(self, x: str, factor: float, dtype: type[np.floating[Any]] | None = None) -> str:
        """x · factor, in the graph's type by default."""
        if factor == 1:
            return x
        return self._graph.node("Mul", x, self._graph.constant(factor, dtype or self._dtype))

    def _cast(self, x: str) -> str:
        """float32 to the graph's type."""
        return x if self._dtype is np.float32 else self._graph.node("Cast", x, to=10)

    def _embed(self) -> str:
        """The embeddings (B, S, D); a tied head reads the same weights."""
        graph, config = self._graph, self._config
        name, table = "head" if config.tied_head else "embedding", [self._matrix(_EMBEDDING)]
        if isinstance(self._head, Plain):
            return graph.node("Gather", self._head.store(graph, name, table), "input_ids")
        stored_levels, stored_scales = self._head.store(graph, name, table)
        levels = graph.node("Cast", graph.node("Gather", stored_levels, "input_ids"), to=1)
        signed = graph.node("Sub", levels, graph.constant(128, np.float32))  # (B, S, blocks, 32)
        scales = graph.node("Gather", stored_scales, "input_ids")
        scales = graph.node("Unsqueeze", scales, graph.constant([-1], np.int64))
        x = graph.node("Reshape", graph.node("Mul", signed, scales), graph.constant([0, 0, -1], np.int64))
        if config.hidden_size % BLOCK:
            x = graph.node(
                "Slice", x, *(graph.constant([at], np.int64) for at in (0, config.hidden_size, -1))
            )
        return x

    def _norm(self, x: str, delta: str, name: str) -> tuple[str, str]:
        """x + delta, and its RMSNorm."""
        weight = self._graph.weight(name, self._vector(name))
        if not delta:
            return x, self._rms_norm(x, weight)
        normed, _, _, total = self._graph.nodes(
            "SkipSimplifiedLayerNormalization",
            [x, delta, weight],
            [None, "", "", None],
            domain=CONTRIB,
            epsilon=self._config.rms_norm_eps,
        )
        return total, normed

    def _rms_norm(self, x: str, weight: str) -> str:
        epsilon = self._config.rms_norm_eps
        return self._graph.node("RMSNormalization", x, weight, axis=-1, epsilon=epsilon, stash_type=1)

    def _before(self, x: str, delta: str, layer: str, name: str | None) -> tuple[str, str]:
        """x + delta, and what half a layer reads of it: its norm, where there is one."""
        if name:
            return self._norm(x, delta, f"{layer}.{name}.weight")
        total = self._graph.node("Add", x, delta) if delta else x
        return total, total

    def _after(self, y: str, layer: str, name: str | None) -> str:
        """What half a layer adds to the residual stream."""
        if name:
            y = self._rms_norm(
                y, self._graph.weight(f"{layer}.{name}", self._vector(f"{layer}.{name}.weight"))
            )
        return self._scaled(y, self._config.residual_scale)

    def _layer(self, i: int, x: str, delta: str, positions: _Positions) -> tuple[str, str]:
        """The residual stream before the layer's last addition, and what is to be added."""
        graph, config, norms, layer = self._graph, self._config, self._config.norms, f"model.layers.{i}"
        x, read = self._before(x, delta, layer, norms.before_attention)
        mixed = self._attention(i, read, positions)
        out = self._matrix(f"{layer}.self_attn.o_proj.weight")
        delta = self._after(self._linear.apply(graph, mixed, f"{i}.o", [out]), layer, norms.after_attention)
        x, read = self._before(x, delta, layer, norms.before_mlp)
        inner = config.intermediate_size
        both = [self._matrix(f"{layer}.mlp.{part}_proj.weight") for part in ("gate", "up")]
        gate, up = graph.nodes(
            "Split",
            [self._linear.apply(graph, read, f"{i}.gate_up", both), graph.constant([inner, inner], np.int64)],
            [None, None],
            axis=-1,
        )
        activated = graph.node("Mul", self._activation(gate), up)
        down = self._matrix(f"{layer}.mlp.down_proj.weight")
        return x, self._after(
            self._linear.apply(graph, activated, f"{i}.down", [down]), layer, norms.after_mlp
        )

    def _activation(self, gate: str) -> str:
        if self._config.traits.activation == "gelu":
            return self._graph.node("Gelu", gate, approximate="tanh")
        # x · sigmoid(x) as one node.
        return self._graph.node("QuickGelu", gate, domain=CONTRIB, alpha=1.0)

    def _attention(self, i: int, x: str, positions: _Positions) -> str:
        """Attention's output (B, S, H·d) before the last product."""
        graph, config, groups = self._graph, self._config, self._groups
        heads, traits = config.num_attention_heads, config.traits
        local = i in config.local_layers
        prefix = f"model.layers.{i}.self_attn"
        stack = [self._matrix(f"{prefix}.{part}_proj.weight") for part in "qkv"]
        y = self._linear.apply(graph, x, f"{i}.qkv", stack)
        if traits.qkv_bias:
            biases = [self._vector(f"{prefix}.{part}_proj.bias") for part in "qkv"]
            y = graph.node("Add", y, graph.weight(f"{i}.qkv.bias", np.concatenate(biases)))
        sizes = [heads * self._d, groups * self._d, groups * self._d]
        q, k, v = graph.nodes("Split", [y, graph.constant(sizes, np.int64)], [None] * 3, axis=-1)
        if traits.qk_norm == "head":
            q = self._head_norm(q, f"{prefix}.q_norm.weight", heads)
            k = self._head_norm(k, f"{prefix}.k_norm.weight", groups)
        elif traits.qk_norm == "all":
            q, k = (
                self._rms_norm(part, graph.weight(name, self._vector(name)))
                for part, name in ((q, f"{prefix}.q_norm.weight"), (k, f"{prefix}.k_norm.weight"))
            )
        if i not in config.no_rope_layers:
            rotary = positions.rotary[local]
            partial: dict[str, Any] = {"rotary_embedding_dim": config.rotary_dim} if config.rotary_dim else {}
            q = graph.node("RotaryEmbedding", q, *rotary, num_heads=heads, **partial)
            k = graph.node("RotaryEmbedding", k, *rotary, num_heads=groups, **partial)
        written = [
            graph.node(
                "TensorScatter", f"cache.{i}.{part}", new, "write_indices", out=f"updated.{i}.{part}", axis=1
            )
            for part, new in (("key", k), ("value", v))
        ]
        scale: dict[str, Any] = {} if config.attention_scale is None else {"scale": config.attention_scale}
        return graph.node(
            "Attention",
            q,
            *written,
            positions.masks[local],
            q_num_heads=heads,
            kv_num_heads=groups,
            **scale,
        )

    def _head_norm(self, x: str, name: str, heads: int) -> str:
        """RMSNorm of each head."""
        graph = self._graph
        split = graph.node("Reshape", x, graph.constant([0, 0, heads, self._d], np.int64))
        weight = graph.weight(name, self._vector(name))
        return graph.node(
            "Reshape", self._rms_norm(split, weight), graph.constant([0, 0, heads * self._d], np.int64)
        )

    def _logits(self, x: str, delta: str) -> None:
        graph, config = self._graph, self._config
        indices = graph.node("Unsqueeze", "logit_indices", graph.constant([2], np.int64))
        indices = graph.node("Expand", indices, graph.constant([1, 1, config.hidden_size], np.int64))
        read = [graph.node("GatherElements", value, indices, axis=1) for value in (x, delta)]
        _, normed = self._norm(read[0], read[1], "model.norm.weight")
        normed = self._scaled(normed, config.logit_scale)
        name = config.tied_head or "lm_head.weight"
        self._head.apply(graph, normed, "head", [self._matrix(name)], out="logits")
