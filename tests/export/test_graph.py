"""The graph template: reproducible, weight-free, of standard operators."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export.template import (
    CONFIG_KEY,
    SMOLLM2_135M_CONFIG,
    WEIGHTS_PLACEHOLDER,
    DType,
    Layout,
    template_for,
)
from nlpsuite.models.config import DecoderConfig, GPT2Config, LSTMConfig, ModelConfig

pytestmark = pytest.mark.slow

TEMPLATES = Path(__file__).parents[2] / "nlpsuite" / "export" / "templates"
SHIPPED = TEMPLATES / "smollm2-135m.portable.fp32.onnx"
TINY = DecoderConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=64,
)
GPT2 = GPT2Config(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2, n_inner=32)
# A decoder's slots graph is written without torch: see test_decoder_graph.
MODELS: list[ModelConfig] = [
    TINY,
    dataclasses.replace(TINY, family="qwen2"),
    dataclasses.replace(TINY, family="qwen3", tie_word_embeddings=False),
    GPT2,
    LSTMConfig(vocab_size=32, embedding_size=8, hidden_size=16, num_layers=2),
]
INTEGERS = {
    "input_ids",
    "write_indices",
    "logit_indices",
    "sequence_lengths",
    "attention_mask",
    "position_ids",
}


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(SHIPPED, load_external_data=False)


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of functions included."""
    yield from model.graph.node
    for function in model.functions:
        yield from function.node


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def export(config: ModelConfig, layout: Layout = "slots", dtype: DType = "fp32") -> onnx.ModelProto:
    with warnings.catch_warnings():  # torch's and the exporter's own, at import and while tracing
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        from nlpsuite.export.graph import export_template

        return export_template(config, layout, dtype)


def weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_fresh_export_is_the_shipped_template(dtype: DType) -> None:
    shipped = TEMPLATES / f"smollm2-135m.portable.{dtype}.onnx"
    fresh = export(SMOLLM2_135M_CONFIG, "portable", dtype)
    assert fresh.SerializeToString(deterministic=True) == shipped.read_bytes()


def test_it_is_small_and_holds_no_weights(shipped: onnx.ModelProto) -> None:
    assert SHIPPED.stat().st_size <= 1_000_000
    external = weights(shipped)
    assert {name: tuple(t.dims) for name, t in external.items()} == dict(
        SMOLLM2_135M_CONFIG.parameter_shapes()
    )
    for tensor in external.values():
        assert not tensor.raw_data and not tensor.float_data
        assert {e.key: e.value for e in tensor.external_data}["location"] == WEIGHTS_PLACEHOLDER
    inline = [t for t in shipped.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
    assert sum(t.ByteSize() for t in inline) < 20_000
    assert max(t.ByteSize() for t in inline) < 1_200


def test_operators_are_standard_and_fused(shipped: onnx.ModelProto) -> None:
    counts = Counter(node.op_type for node in nodes(shipped))
    layers = SMOLLM2_135M_CONFIG.num_hidden_layers
    assert counts["Attention"] == layers
    assert counts["RMSNormalization"] == 2 * layers + 1
    assert counts["RotaryEmbedding"] == 2 * layers
    assert counts["Softmax"] == counts["TensorScatter"] == 0  # a Softmax would mean that attention fell apart
    assert {node.domain for node in shipped.graph.node} == {""}
    assert {o.domain: o.version for o in shipped.opset_import}[""] == 23


def test_attention_of_a_slots_graph_is_fused_and_in_place() -> None:
    model = export(GPT2)
    counts = Counter(node.op_type for node in nodes(model))
    assert counts["TensorScatter"] == 2 * GPT2.n_layer
    assert counts["Attention"] == GPT2.n_layer and counts["Softmax"] == 0
    assert {o.domain: o.version for o in model.opset_import}[""] == 24


def test_declared_inputs_and_outputs() -> None:
    model = export(GPT2)
    cache = ["batch", GPT2.n_head, "cache_length", GPT2.head_dim]
    slots = [f"{i}.{kind}" for i in range(GPT2.n_layer) for kind in ("key", "value")]
    assert {v.name: dims(v) for v in model.graph.input} == {
        "input_ids": ["batch", "sequence"],
        "write_indices": ["batch"],
        "logit_indices": ["batch", "reads"],
        **{f"cache.{name}": cache for name in slots},
    }
    assert {v.name: dims(v) for v in model.graph.output} == {
        "logits": ["batch", "reads", GPT2.vocab_size],
        **{f"updated.{name}": cache for name in slots},
    }


def test_nothing_of_the_exporting_machine_is_in_it(shipped: onnx.ModelProto) -> None:
    data = SHIPPED.read_bytes()
    assert b"site-packages" not in data and b".py" not in data and b"/home" not in data
    assert [p.key for p in shipped.metadata_props] == [CONFIG_KEY]
    assert DecoderConfig.from_hf(json.loads(shipped.metadata_props[0].value)) == SMOLLM2_135M_CONFIG


def test_a_template_fits_exactly_its_configuration() -> None:
    found = template_for(SMOLLM2_135M_CONFIG, "portable")
    assert found is not None
    assert found.SerializeToString(deterministic=True) == SHIPPED.read_bytes()
    for change in ({"rope_theta": 10_000.0}, {"vocab_size": 49_153}, {"tie_word_embeddings": False}):
        assert template_for(dataclasses.replace(SMOLLM2_135M_CONFIG, **change), "portable") is None


def test_a_template_fits_its_layout_and_numbers() -> None:
    half = template_for(SMOLLM2_135M_CONFIG, "portable", "fp16")
    assert half is not None
    assert {t.data_type for t in weights(half).values()} == {onnx.TensorProto.FLOAT16}
    assert "attention_mask" in {value.name for value in half.graph.input}
    assert template_for(SMOLLM2_135M_CONFIG, "slots") is None


@pytest.mark.parametrize(
    "config,layout",
    [
        pytest.param(config, layout, id=f"{getattr(config, 'family', type(config).__name__)}-{layout}")
        for config in MODELS
        for layout in ("slots", "portable")
        if layout == "portable" or not isinstance(config, DecoderConfig)
    ],
)
def test_every_model_keeps_its_weights_names_and_shapes(config: ModelConfig, layout: Layout) -> None:
    if layout == "portable" and config.recurrent:
        with pytest.raises(UnsupportedModelError, match="no portable graph") as raised:
            export(config, layout)
        assert raised.value.hint is not None and "slots" in raised.value.hint
        return
    models: dict[DType, onnx.ModelProto] = {
        "fp32": export(config, layout),
        "fp16": export(config, layout, "fp16"),
    }
    for dtype, model in models.items():
        kind = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16}[dtype]
        found = weights(model)
        assert {name: tuple(t.dims) for name, t in found.items()} == dict(config.parameter_shapes())
        assert {t.data_type for t in found.values()} == {kind}
        numbers = [v for v in (*model.graph.input, *model.graph.output) if v.name not in INTEGERS]
        assert len(numbers) == 1 + 2 * len(list(config.state_shapes()))
        assert {v.type.tensor_type.elem_type for v in numbers} == {kind}
        assert {node.domain for node in nodes(model)} == {""}
        assert model.graph.name == layout


def test_half_precision_keeps_angles_and_norms_in_single() -> None:
    model = export(TINY, "portable", "fp16")
    made = {output: node for node in model.graph.node for output in node.output}
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    (cos,) = (node for node in model.graph.node if node.op_type == "Cos")
    factors = [name for name in made[cos.input[0]].input if name in kinds]
    assert [kinds[name] for name in factors] == [onnx.TensorProto.FLOAT]
    for node in model.graph.node:
        if node.op_type == "RMSNormalization":
            assert {a.name: a.i for a in node.attribute}["stash_type"] == onnx.TensorProto.FLOAT


def test_the_portable_graph_declares_every_size() -> None:
    """Other apps size their first, empty cache by these names and numbers."""
    model = export(TINY, "portable")
    slots = [f"{i}.{kind}" for i in range(2) for kind in ("key", "value")]
    assert {v.name: dims(v) for v in model.graph.input} == {
        "input_ids": ["batch_size", "sequence_length"],
        "attention_mask": ["batch_size", "total_sequence_length"],
        "position_ids": ["batch_size", "sequence_length"],
        **{f"past_key_values.{name}": ["batch_size", 2, "past_sequence_length", 8] for name in slots},
    }
    assert {v.name: dims(v) for v in model.graph.output} == {
        "logits": ["batch_size", "sequence_length", 32],
        **{f"present.{name}": ["batch_size", 2, "total_sequence_length", 8] for name in slots},
    }
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 23)]
    counts = Counter(node.op_type for node in nodes(model))
    assert counts["Attention"] == 2 and counts["Softmax"] == counts["TensorScatter"] == 0


def test_a_recurrent_models_state_has_a_fixed_size() -> None:
    model = export(LSTMConfig(vocab_size=32, embedding_size=8, hidden_size=16, num_layers=2))
    state = ["batch", 2, 16]
    assert {v.name: dims(v) for v in model.graph.input} == {
        "input_ids": ["batch", "sequence"],
        "write_indices": ["batch"],
        "logit_indices": ["batch", "reads"],
        "cache.h": state,
        "cache.c": state,
        "sequence_lengths": ["batch"],
    }
    assert {v.name: dims(v) for v in model.graph.output} == {
        "logits": ["batch", "reads", 32],
        "updated.h": state,
        "updated.c": state,
    }
    assert Counter(node.op_type for node in nodes(model))["LSTM"] == 2


def test_weights_that_happen_to_be_equal_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    allocate = torch.nn.Module.to_empty

    def zeroed(self, **options):  # what fresh memory often is
        module = allocate(self, **options)
        for parameter in module.parameters():
            parameter.data.zero_()
        return module

    monkeypatch.setattr(torch.nn.Module, "to_empty", zeroed)
    assert set(weights(export(TINY, "portable"))) == {name for name, _ in TINY.parameter_shapes()}
