"""The graph template: reproducible, weight-free, of standard operators."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from nlpsuite.export.template import CONFIG_KEY, WEIGHTS_PLACEHOLDER, template_for
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.sources import SMOLLM2_135M_CONFIG

SHIPPED = Path(__file__).parents[2] / "exported" / "templates" / "smollm2-135m.slots.onnx"


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


def test_a_fresh_export_is_the_shipped_template() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        from nlpsuite.export.graph import export_template

        fresh = export_template(SMOLLM2_135M_CONFIG)
    assert fresh.SerializeToString(deterministic=True) == SHIPPED.read_bytes()


def test_it_is_small_and_holds_no_weights(shipped: onnx.ModelProto) -> None:
    assert SHIPPED.stat().st_size <= 1_000_000
    external = {t.name: t for t in shipped.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
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
    assert counts["TensorScatter"] == 2 * layers
    assert counts["Attention"] == layers
    assert counts["RMSNormalization"] == 2 * layers + 1
    assert counts["RotaryEmbedding"] == 2 * layers
    assert counts["Softmax"] == 0  # it would mean that attention fell apart
    assert {node.domain for node in shipped.graph.node} == {""}
    assert {o.domain: o.version for o in shipped.opset_import}[""] == 24


def test_declared_inputs_and_outputs(shipped: onnx.ModelProto) -> None:
    config = SMOLLM2_135M_CONFIG
    cache = ["batch", config.num_key_value_heads, "cache_length", config.head_dim]
    slots = [f"{i}.{kind}" for i in range(config.num_hidden_layers) for kind in ("key", "value")]
    assert {v.name: dims(v) for v in shipped.graph.input} == {
        "input_ids": ["batch", "sequence"],
        "write_indices": ["batch"],
        "logit_indices": ["batch", "reads"],
        **{f"cache.{name}": cache for name in slots},
    }
    assert {v.name: dims(v) for v in shipped.graph.output} == {
        "logits": ["batch", "reads", config.vocab_size],
        **{f"updated.{name}": cache for name in slots},
    }


def test_nothing_of_the_exporting_machine_is_in_it(shipped: onnx.ModelProto) -> None:
    data = SHIPPED.read_bytes()
    assert b"site-packages" not in data and b".py" not in data and b"/home" not in data
    assert [p.key for p in shipped.metadata_props] == [CONFIG_KEY]
    assert DecoderConfig.from_hf(json.loads(shipped.metadata_props[0].value)) == SMOLLM2_135M_CONFIG


def test_a_template_fits_exactly_its_configuration() -> None:
    import dataclasses

    found = template_for(SMOLLM2_135M_CONFIG)
    assert found is not None
    assert found.SerializeToString(deterministic=True) == SHIPPED.read_bytes()
    for change in ({"rope_theta": 10_000.0}, {"vocab_size": 49_153}, {"tie_word_embeddings": False}):
        assert template_for(dataclasses.replace(SMOLLM2_135M_CONFIG, **change)) is None


def test_weights_that_happen_to_be_equal_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.export.graph import export_template

        allocate = torch.nn.Module.to_empty

        def zeroed(self, **options):  # what fresh memory often is
            module = allocate(self, **options)
            for parameter in module.parameters():
                parameter.data.zero_()
            return module

        monkeypatch.setattr(torch.nn.Module, "to_empty", zeroed)
        config = DecoderConfig(32, 16, 16, 2, 2, 1, 8, 64)
        model = export_template(config)
    external = {t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    assert external == {name for name, _ in config.parameter_shapes()}
