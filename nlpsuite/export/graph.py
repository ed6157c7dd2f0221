"""torch module to weight-free graph template. The only part of the exporter that needs torch."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import onnx
import onnx_ir as ir
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

from nlpsuite.export.portable import check_portable
from nlpsuite.export.template import CONFIG_KEY, WEIGHTS_PLACEHOLDER, DType, Layout
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.language_module import LanguageModule, weightless_module
from nlpsuite.models.state import PastState, SlotState

__all__ = ["export_template"]

_OPSETS = {"slots": 24, "portable": 23}  # the first with TensorScatter; the first with Attention
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
# Constants up to this size are part of the graph; larger ones are weights.
_INLINE_LIMIT = 1024
# The largest sizes that the exporter may assume; past positions may be none.
_MOST = 2**30


class _Traced(NamedTuple):
    """The arguments of torch's exporter: a module, its inputs with their free sizes, and names."""

    graph: nn.Module
    inputs: dict[str, tuple[Any, Any]]
    input_names: list[str]
    output_names: list[str]


class _SlotsGraph(nn.Module):
    """A model with its state flattened into named inputs and outputs."""

    def __init__(self, module: LanguageModule) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        input_ids: Tensor,
        write_indices: Tensor,
        logit_indices: Tensor,
        tensors: tuple[Tensor, ...],
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        state = SlotState(write_indices, tensors, lengths)
        logits, after = self.module(input_ids, state, logit_indices)
        return logits, list(after.tensors)


class _PortableGraph(nn.Module):
    """A model as other apps run it: past and new keys and values concatenated, logits everywhere."""

    def __init__(self, module: LanguageModule) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        logits, after = self.module(input_ids, PastState(attention_mask, position_ids, tensors))
        return logits, list(after.tensors)


def export_template(config: ModelConfig, layout: Layout = "slots", dtype: DType = "fp32") -> onnx.ModelProto:
    """The graph of a model, with named weights that hold no data.

    The *slots* graph, for our runtime, has the inputs ``input_ids`` (batch, sequence),
    ``write_indices`` (batch), ``logit_indices`` (batch, reads), all int64, and ``cache.{name}``
    for each part of the state; for GPT-2 ``cache.{i}.key`` / ``cache.{i}.value`` (batch,
    kv_heads, cache_length, head_dim). A recurrent model has ``sequence_lengths`` (batch) too.
    Outputs: ``logits`` (batch, reads, vocab) and ``updated.{name}``, which may share memory with
    the caches. That of a decoder is written by ``decoder_graph`` instead.

    The *portable* graph, for other apps, has ``input_ids`` and ``position_ids`` (batch_size,
    sequence_length), ``attention_mask`` (batch_size, total_sequence_length), all int64, and
    ``past_key_values.{i}.key`` / ``.value`` (batch_size, kv_heads, past_sequence_length,
    head_dim). Outputs: ``logits`` (batch_size, sequence_length, vocab) and ``present.{i}.key`` /
    ``.value``, past and new.

    In both, linear layers are ``MatMul(x, Transpose(weight))`` with weights in checkpoint layout.

    Args:
        dtype: of weights, state and logits. Rotary angles and the norms' sums are float32 in both.

    Raises:
        UnsupportedModelError: a recurrent model has no portable graph.
    """
    module = _weightless(config, _DTYPES[dtype])
    traced = _slots(module) if layout == "slots" else _portable(module)
    with _quiet():
        program = torch.onnx.export(
            traced.graph.eval(),
            tuple(value for value, _ in traced.inputs.values()),
            dynamo=True,
            opset_version=_OPSETS[layout],
            input_names=traced.input_names,
            output_names=traced.output_names,
            dynamic_shapes={name: dims for name, (_, dims) in traced.inputs.items()},
            optimize=False,
        )
        assert program is not None
        model = program.model
        optimizer.optimize_ir(model, should_fold=_may_be_folded)
    _drop_weights(model, config)
    return _canonical(ir.serde.serialize_model(model), config, layout)


def _slots(module: LanguageModule) -> _Traced:
    config = module.config
    names = [name for name, _ in config.state_shapes()]
    batch, sequence, reads, length = (
        Dim(name, min=1, max=_MOST) for name in ("batch", "sequence", "reads", "cache_length")
    )
    state = module.empty_state(rows=2, length=16)
    inputs = {
        "input_ids": (torch.zeros(2, 3, dtype=torch.int64), {0: batch, 1: sequence}),
        "write_indices": (state.write_indices, {0: batch}),
        "logit_indices": (torch.zeros(2, 4, dtype=torch.int64), {0: batch, 1: reads}),
        "tensors": (
            state.tensors,
            tuple(
                {0: batch, **{i: length for i, size in enumerate(shape, 1) if size == "cache_length"}}
                for _, shape in config.state_shapes()
            ),
        ),
    }
    if config.recurrent:
        inputs["lengths"] = (torch.full((2,), 3), {0: batch})
    return _Traced(
        _SlotsGraph(module),
        inputs,
        ["input_ids", "write_indices", "logit_indices"]
        + [f"cache.{name}" for name in names]
        + ["sequence_lengths"] * config.recurrent,
        ["logits"] + [f"updated.{name}" for name in names],
    )


def _portable(module: LanguageModule) -> _Traced:
    config = module.config
    check_portable(config)
    names = [name for name, _ in config.state_shapes()]
    batch, sequence = (Dim(name, min=1, max=_MOST) for name in ("batch_size", "sequence_length"))
    past = Dim("past_sequence_length", min=0, max=_MOST)
    state = module.empty_state(rows=2, length=5)
    # A separate tensor for each: the exporter would merge a shared one into a single input.
    inputs = {
        "input_ids": (torch.zeros(2, 3, dtype=torch.int64), {0: batch, 1: sequence}),
        "attention_mask": (torch.ones(2, 8, dtype=torch.int64), {0: batch, 1: Dim.DYNAMIC}),
        "position_ids": (torch.zeros(2, 3, dtype=torch.int64), {0: batch, 1: sequence}),
        "tensors": (state.tensors, tuple({0: batch, 2: past} for _ in names)),
    }
    return _Traced(
        _PortableGraph(module),
        inputs,
        ["input_ids", "attention_mask", "position_ids"] + [f"past_key_values.{name}" for name in names],
        ["logits"] + [f"present.{name}" for name in names],
    )


def _may_be_folded(node: ir.Node) -> bool | None:
    """False for nodes that read a weight, so that weights keep their checkpoint's name and layout.

    Parameters and buffers have a path for a name; the exporter's own constants have none.
    """
    constants = (value for value in node.inputs if value is not None and value.is_initializer())
    return False if any(value.name is not None and "." in value.name for value in constants) else None


def _weightless(config: ModelConfig, dtype: torch.dtype) -> LanguageModule:
    """A model with parameters allocated but not initialised, except for their first number."""
    module = weightless_module(config, dtype)
    # The optimiser merges initializers that are equal, and unwritten memory often is.
    for number, parameter in enumerate(module.parameters(), 1):
        parameter.data.view(-1)[0] = number
    return module


def _drop_weights(model: ir.Model, config: ModelConfig) -> None:
    """Replace every large initializer with an empty reference under its checkpoint name."""
    graph = model.graph
    parameters = {name for name, _ in config.parameter_shapes()} | {"lm_head.weight"}
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        assert tensor is not None and value.name is not None
        if tensor.nbytes <= _INLINE_LIMIT and value.name.removeprefix("module.") not in parameters:
            continue
        name = value.name.removeprefix("module.")
        if config.tied_head is not None and name == "lm_head.weight":
            name = config.tied_head
        value.const_value = ir.ExternalTensor(
            WEIGHTS_PLACEHOLDER,
            offset=0,
            length=0,
            dtype=tensor.dtype,
            shape=ir.Shape([int(size) for size in tensor.shape]),  # type: ignore[arg-type]
            name=name,
        )
        graph.initializers.pop(value.name)
        value.name = name
        graph.initializers[name] = value


def _canonical(model: onnx.ModelProto, config: ModelConfig, layout: Layout) -> onnx.ModelProto:
    """Make names and metadata depend on the model alone, not on the exporter's run."""
    graph = model.graph
    fixed = {
        v.name for v in (*graph.input, *graph.output, *graph.initializer) if not v.name.startswith("val_")
    }
    renamed: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.name not in fixed:
            renamed[tensor.name] = f"const.{len(renamed)}"
            tensor.name = renamed[tensor.name]
    for position, node in enumerate(graph.node):
        node.name = f"{node.op_type}.{position}"
        node.doc_string = ""
        del node.metadata_props[:]
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        for i, name in enumerate(node.output):
            if name not in fixed:
                renamed[name] = f"t.{position}.{i}"
            node.output[i] = renamed.get(name, name)
    if layout == "portable":
        _name_total_length(graph)
    # Shapes of intermediate values carry the exporter's symbols; onnxruntime infers its own.
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.name, graph.doc_string = layout, ""
    model.producer_name, model.producer_version, model.doc_string = "nlpsuite", "", ""
    model.metadata_props.add(key=CONFIG_KEY, value=json.dumps(config.to_hf(), sort_keys=True))
    onnx.checker.check_model(_with_empty_weights(model))
    return model


def _name_total_length(graph: onnx.GraphProto) -> None:
    """The exporter names a sum of sizes after its terms; other apps expect this name."""
    named = {"batch_size", "sequence_length", "past_sequence_length"}
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param not in named:
                dim.dim_param = "total_sequence_length"


def _with_empty_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that the checker accepts: it insists on the bytes of external data, so weights become inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights: list[Any] = [t for t in copy.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    for tensor in weights:
        copy.graph.initializer.remove(tensor)
        copy.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    return copy


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's exporter, which reports on stdout and in the log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
