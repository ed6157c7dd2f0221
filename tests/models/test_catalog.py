"""The catalogue: its data, the sizes computed from them, licenses, and the model proposed for a machine."""

from __future__ import annotations

import dataclasses
import json
import math
import runpy
from pathlib import Path

import pytest
from tiny import CONFIGS, write_tiny_checkpoint

from nlpsuite.errors import LicenseNotAcceptedError, ModelNotFoundError
from nlpsuite.export.build import build_bundle
from nlpsuite.models.catalog import catalog, find_model, propose_model
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.licenses import accept_license, is_accepted
from nlpsuite.models.resolve import resolve_model
from nlpsuite.models.size import PRECISIONS, memory_bytes, weight_bytes
from nlpsuite.models.sources import DEFAULT_MODEL
from nlpsuite.models.spec import ModelSpec, Silent
from nlpsuite.plugins.registry import known_plugins

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("model", catalog(), ids=lambda model: model.name)
def test_each_model_is_described_in_full(model) -> None:
    # The number of weights that the hub publishes proves the shape.
    assert model.config.parameter_count() == model.parameters
    assert model.figures and all(0 < f.value < 100 and f.source for f in model.figures)
    assert model.address == "default" or model.address.startswith("hf:")
    assert bool(model.terms) == (model.license not in ("Apache-2.0", "MIT"))
    tasks = {plugin.name for plugin in known_plugins() if plugin.kind == "task"}
    assert set(model.checked) <= tasks
    found = resolve_model(model.name.upper())
    assert isinstance(found, ModelSpec)
    assert found.parameters == model.parameters


def test_names_are_unique_and_sorted_by_size() -> None:
    names = [model.name.casefold() for model in catalog()]
    assert len(set(names)) == len(names)
    sizes = [model.parameters for model in catalog()]
    assert sizes == sorted(sizes)
    assert catalog()[0].name == DEFAULT_MODEL.name


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["llama-untied", "gemma3", "qwen2", "olmo2"])
def test_sizes_are_those_of_a_bundle(tmp_path: Path, name: str, precision: str) -> None:
    config = CONFIGS[name]
    assert isinstance(config, DecoderConfig)
    config = dataclasses.replace(config, hidden_size=512, intermediate_size=1000, head_dim=128)
    write_tiny_checkpoint(tmp_path / "model", config=config)
    bundle = build_bundle(open_checkpoint(tmp_path / "model"), tmp_path / "bundle", precision=precision)
    [data] = (bundle / "onnx").glob("*_data")
    # Of small tensors the alignment is much, and it is counted as half a page each.
    assert weight_bytes(config, precision) == pytest.approx(data.stat().st_size, rel=0.03)


@pytest.mark.model
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_size_of_the_default_model(default_gguf: Path, tmp_path: Path, precision: str) -> None:
    bundle = build_bundle(open_checkpoint(default_gguf), tmp_path / "bundle", precision=precision)
    [data] = (bundle / "onnx").glob("*_data")
    computed = weight_bytes(catalog()[0].config, precision)
    assert computed == pytest.approx(data.stat().st_size, rel=0.01)


def test_a_larger_context_takes_more_memory() -> None:
    model = find_model("Qwen2.5-0.5B-Instruct")
    assert model is not None
    config = model.config
    less, more = (memory_bytes(config, "int8", tokens) for tokens in (1000, 2000))
    # Keys and values of 24 layers, 2 heads of 64 numbers in float32.
    assert more - less == 1000 * 24 * 2 * 2 * 64 * 4


def test_terms_are_accepted_once(tmp_path: Path) -> None:
    model = find_model("gemma-3-270m-it")
    assert model is not None
    assert not is_accepted(model.terms)
    with pytest.raises(LicenseNotAcceptedError, match=model.terms) as caught:
        model.spec(offline=False).obtain(tmp_path, Silent())
    assert "nlpsuite pull gemma-3-270m-it" in caught.value.hint
    accept_license(model.name, model.license, model.terms)
    assert is_accepted(model.terms)
    other = find_model("Llama-3.2-1B-Instruct")
    assert other is not None and not is_accepted(other.terms)
    record = json.loads((tmp_path / "data" / "licenses.json").read_text())
    assert record[model.terms]["license"] == "Gemma"


def test_a_damaged_record_of_licenses_asks_again(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "licenses.json").write_text("[")
    assert not is_accepted("https://example.org/terms")
    accept_license("m", "L", "https://example.org/terms")
    assert is_accepted("https://example.org/terms")


@pytest.mark.parametrize("name", ["Qwen3-1.7B", "smollm2-135m-instruct"])
def test_a_name_with_a_revision(name: str) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    listed, found = find_model(name), find_model(f"{name}@{commit}")
    assert listed is not None and found is not None
    assert (found.name, found.page, found.revision) == (listed.name, listed.page, commit)
    spec = resolve_model(f"{name}@{commit}")
    assert isinstance(spec, ModelSpec) and commit in spec.origin and spec.key != resolve_model(name).key
    with pytest.raises(ModelNotFoundError):
        resolve_model("no-such-model@main")
    with pytest.raises(ModelNotFoundError):
        resolve_model(f"{name}@")


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model("qwen2.5-0.5b-instrukt")
    assert "Qwen2.5-0.5B-Instruct" in caught.value.hint


@pytest.mark.parametrize(
    "gigabytes, speed, expected",
    [
        (0.1, 1e9, "SmolLM2-135M-Instruct"),  # nothing fits: the smallest
        (64, 2e9, "SmolLM2-135M-Instruct"),  # memory enough, but slow
        (2, 20e9, "Qwen2.5-0.5B-Instruct"),
        (4, 20e9, "Qwen2.5-1.5B-Instruct"),
        (16, 100e9, "Phi-4-mini-instruct"),
    ],
)
def test_the_largest_model_that_fits_is_proposed(gigabytes: float, speed: float, expected: str) -> None:
    model, tokens = propose_model(round(gigabytes * 1e9), speed)
    assert model.name == expected
    assert tokens == speed / weight_bytes(model.config, "int8")
    # No model with terms of use, and none for code alone, is proposed.
    assert not model.terms and model.purpose == "text"


def test_a_gpu_has_no_speed_to_fear() -> None:
    assert propose_model(8 * 10**9, math.inf, precision="fp16")[0].name == "Qwen3-1.7B"


def test_the_docs_have_todays_catalogue() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "make_models_page.py"))
    assert made["page"](text) == text, "run: python docs/make_models_page.py"
    assert all(model.name in text for model in catalog())
