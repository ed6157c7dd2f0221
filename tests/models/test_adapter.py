"""Adapter files, and merging them into a base."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tiny import write_tiny_checkpoint

from nlpsuite.errors import (
    AdapterMismatchError,
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    UnsupportedModelError,
)
from nlpsuite.models.adapter import Adapter, AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import Checkpoint, RawTensor, open_checkpoint
from nlpsuite.models.merged import MergedCheckpoint

Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
INFO = AdapterInfo(
    task="sentiment",
    task_version="1",
    distribution="nlpsuite",
    distribution_version="0.1.0",
    base="tiny-random",
    base_fingerprint="0" * 64,
    rank=2,
    alpha=8.0,
    options={"examples": False},
    data=({"name": "größe.tsv", "sha256": "1" * 64, "rows": 7, "license": None},),
    evaluation={"accuracy": 0.875, "n": 8},
    license="Apache-2.0",
    created_by="nlpsuite 0.1.0",
)


def matrices(dtype: Any = np.float32, seed: int = 0) -> dict[str, Any]:
    """Of rank 2, for a layer of 64 × 64 and one of 64 × 96."""
    draw = np.random.default_rng(seed).standard_normal
    shapes = {Q: (64, 64), DOWN: (64, 96)}
    tensors = {}
    for layer, (outputs, inputs) in shapes.items():
        tensors[f"{layer}.lora_A.weight"] = draw((2, inputs)).astype(dtype)
        tensors[f"{layer}.lora_B.weight"] = draw((outputs, 2)).astype(dtype)
    return tensors


@pytest.fixture
def adapter_file(tmp_path: Path) -> Callable[..., Path]:
    def save(changes: dict[str, Any] | None = None, /, **info: Any) -> Path:
        path = tmp_path / "adapter.safetensors"
        save_adapter(path, dataclasses.replace(INFO, **info), {**matrices(), **(changes or {})})
        return path

    return save


@pytest.fixture
def fitting(adapter_file: Callable[..., Path], tiny_checkpoint: Checkpoint) -> Callable[..., Adapter]:
    """An adapter with the tiny base's fingerprint."""

    def open_it(changes: dict[str, Any] | None = None, /, **info: Any) -> Adapter:
        return Adapter.open(adapter_file(changes, base_fingerprint=fingerprint(tiny_checkpoint), **info))

    return open_it


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_is_saved_is_opened(tmp_path: Path, dtype: Any) -> None:
    tensors = matrices(dtype)
    save_adapter(tmp_path / "a", INFO, tensors)
    adapter = Adapter.open(tmp_path / "a")
    assert adapter.info == INFO
    assert adapter.names == [f"{Q}.weight", f"{DOWN}.weight"]
    assert adapter.shape(f"{DOWN}.weight") == (64, 96)
    a, b = (tensors[f"{DOWN}.lora_{part}.weight"].astype(np.float64) for part in "AB")
    delta = adapter.delta(f"{DOWN}.weight")
    assert delta.dtype == np.float32
    np.testing.assert_allclose(delta, 8 / 2 * b @ a, rtol=1e-5, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_8_bit_integers_take_less_space_and_change_little(tmp_path: Path) -> None:
    tensors = matrices(np.float16)
    tensors[f"{Q}.lora_B.weight"][3] = 0
    save_adapter(tmp_path / "floats", INFO, tensors)
    save_adapter(tmp_path / "integers", INFO, tensors, int8=True)
    exact, rounded = Adapter.open(tmp_path / "floats"), Adapter.open(tmp_path / "integers")
    assert rounded.info == INFO
    assert rounded.names == exact.names
    for name in exact.names:
        wanted, found = exact.delta(name), rounded.delta(name)
        assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
        assert not (found == wanted).all()
    assert (rounded.delta(f"{Q}.weight")[3] == 0).all()


@pytest.mark.parametrize("change", ["missing", "short", "flat", "infinite"])
def test_scales_that_do_not_fit(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    save_adapter(path, INFO, matrices(), int8=True)
    stored, name = load_file(path), f"{Q}.lora_A.scales"
    match change:
        case "missing":
            del stored[name]
        case "short":
            stored[name] = stored[name][1:]
        case "flat":
            stored[name] = stored[name][:, 0]
        case _:
            stored[name] = np.full_like(stored[name], np.inf)
    save_file(stored, path, metadata=INFO.to_metadata(2))
    with pytest.raises(BundleCorruptError):
        Adapter.open(path)


def test_bfloat16(tmp_path: Path) -> None:
    tensors = matrices(seed=1)
    halves = {name: (values.view(np.uint32) >> 16).astype(np.uint16) for name, values in tensors.items()}
    header: dict[str, Any] = {"__metadata__": INFO.to_metadata()}
    data = b""
    for name, values in halves.items():
        end = len(data) + values.nbytes
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [len(data), end]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text + data)
    exact = {name: (values.astype(np.uint32) << 16).view(np.float32) for name, values in halves.items()}
    save_adapter(tmp_path / "b", INFO, exact)
    found, expected = Adapter.open(tmp_path / "a"), Adapter.open(tmp_path / "b")
    np.testing.assert_array_equal(found.delta(f"{Q}.weight"), expected.delta(f"{Q}.weight"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no adapter"):
        Adapter.open(tmp_path / "none")
    with pytest.raises(ModelNotFoundError, match="no adapter .*adapter.safetensors"):
        Adapter.open(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter.safetensors").mkdir()
    with pytest.raises(ModelUnavailableError, match="directory"):
        Adapter.open(tmp_path / "a")


def test_a_training_run_is_named_by_its_directory(adapter_file: Callable[..., Path]) -> None:
    path = adapter_file()
    assert Adapter.open(path.parent).sha256 == Adapter.open(path).sha256


@pytest.mark.parametrize(
    "changes, message",
    [
        ({f"{Q}.lora_A.weight": np.full((2, 64), np.nan, np.float32)}, "not finite"),
        ({f"{Q}.lora_B.weight": np.zeros((64, 3), np.float32)}, "does not have rank 2"),
        ({f"{Q}.lora_B.weight": np.zeros(2, np.float32)}, "does not have rank 2"),
        ({f"{Q}.lora_B.weight": np.zeros((64, 2), np.float64)}, "float64"),
        ({"head.lora_A.weight": np.zeros((2, 4), np.float32)}, "head.lora_B.weight is missing"),
        ({"model.norm.weight": np.zeros(64, np.float32)}, "does not belong to a pair"),
    ],
)
def test_damaged_weights_are_neither_saved_nor_opened(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    tensors = {**matrices(), **changes}
    with pytest.raises(BundleCorruptError, match=message):
        save_adapter(tmp_path / "a", INFO, tensors)
    assert not (tmp_path / "a").exists()
    save_file(tensors, tmp_path / "a", metadata=INFO.to_metadata())
    with pytest.raises(BundleCorruptError, match="F64" if message == "float64" else message):
        Adapter.open(tmp_path / "a")


def test_no_weights_and_an_overflow(tmp_path: Path, adapter_file: Callable[..., Path]) -> None:
    with pytest.raises(BundleCorruptError, match="no weights"):
        save_adapter(tmp_path / "a", INFO, {})
    huge = {
        f"{Q}.lora_{part}.weight": np.full(shape, 3e38, np.float32)
        for part, shape in (("A", (2, 64)), ("B", (64, 2)))
    }
    with pytest.raises(BundleCorruptError, match="not finite"):
        Adapter.open(adapter_file(huge)).delta(f"{Q}.weight")


@pytest.mark.parametrize(
    "metadata, error, message",
    [
        (None, UnsupportedModelError, "not written by `nlpsuite train adapter`"),
        ({"format": "pt"}, UnsupportedModelError, "not written by `nlpsuite train adapter`"),
        ({"version": 3}, UnsupportedModelError, "version 3"),
        ({"format": "x"}, BundleCorruptError, "another format"),
        ({"rank": 0}, BundleCorruptError, "rank is 0"),
        ({"alpha": "8"}, BundleCorruptError, "alpha is '8'"),
        ({"task": 7}, BundleCorruptError, "not a string"),
        ({"options": []}, BundleCorruptError, "not a mapping"),
        ({"data": [1]}, BundleCorruptError, "not a mapping"),
    ],
)
def test_metadata_of_others_and_damaged(
    tmp_path: Path, metadata: dict[str, Any] | None, error: type[Exception], message: str
) -> None:
    [(key, text)] = INFO.to_metadata().items()
    if metadata is not None and metadata != {"format": "pt"}:
        metadata = {key: json.dumps(json.loads(text) | metadata)}
    save_file(matrices(), tmp_path / "a", metadata=metadata)
    with pytest.raises(error) as caught:
        Adapter.open(tmp_path / "a")
    assert message in str(caught.value)


def test_fields_of_later_programs_are_passed_over(tmp_path: Path) -> None:
    [(key, text)] = INFO.to_metadata().items()
    save_file(matrices(), tmp_path / "a", metadata={key: json.dumps(json.loads(text) | {"colour": "red"})})
    assert Adapter.open(tmp_path / "a").info == INFO


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4000), byte=st.integers(0, 255), cut=st.integers(0, 4000), cuts=st.booleans())
def test_any_damage_gives_a_clear_error(
    adapter_file: Callable[..., Path], at: int, byte: int, cut: int, cuts: bool
) -> None:
    path = adapter_file()
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    damaged = path.with_name("damaged")
    damaged.write_bytes(data[: cut % len(data)] if cuts else data)
    try:
        adapter = Adapter.open(damaged)
    except (BundleCorruptError, UnsupportedModelError) as error:
        assert str(damaged) in error.message
    else:
        assert not cuts and adapter.names


def test_values_that_are_not_json_are_refused() -> None:
    for value in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            dataclasses.replace(INFO, evaluation={"accuracy": value}).to_metadata()


def test_fingerprint_knows_content_and_not_names(tmp_path: Path) -> None:
    first = open_checkpoint(write_tiny_checkpoint(tmp_path / "first"))
    shutil.copytree(tmp_path / "first", tmp_path / "moved")
    other = open_checkpoint(write_tiny_checkpoint(tmp_path / "other", seed=1))
    assert fingerprint(first) == fingerprint(open_checkpoint(tmp_path / "moved"))
    assert fingerprint(first) != fingerprint(other)


def test_merging(tiny_checkpoint: Checkpoint, fitting: Callable[..., Adapter]) -> None:
    adapter = fitting()
    merged: Checkpoint = MergedCheckpoint(tiny_checkpoint, adapter)
    assert merged.name == "tiny-random+sentiment"
    assert merged.config == tiny_checkpoint.config
    assert merged.tensor_names() == tiny_checkpoint.tensor_names()
    assert merged.tokenizer_files() == tiny_checkpoint.tokenizer_files()
    assert merged.source_files() == [*tiny_checkpoint.source_files(), adapter.path]
    assert fingerprint(merged) != fingerprint(tiny_checkpoint)
    for name in merged.tensor_names():
        expected = tiny_checkpoint.tensor(name)
        if name in adapter.names:
            expected = expected + adapter.delta(name)
        np.testing.assert_array_equal(merged.tensor(name), expected)


def test_blocks_of_changed_tensors_are_not_given(
    tiny_checkpoint: Checkpoint, fitting: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = RawTensor("Q8_0", np.zeros((1, 34), np.uint8))
    monkeypatch.setattr(tiny_checkpoint, "quantized", lambda name: block, raising=False)
    merged = MergedCheckpoint(tiny_checkpoint, fitting())
    assert merged.quantized(f"{Q}.weight") is None
    assert merged.quantized("model.embed_tokens.weight") is block


@pytest.mark.parametrize(
    "base, own, both",
    [
        ("apache-2.0", "Apache-2.0", "apache-2.0"),
        ("apache-2.0", "CC-BY-4.0", "apache-2.0 AND CC-BY-4.0"),
        ("apache-2.0", None, "apache-2.0"),
        (None, "MIT", None),
    ],
)
def test_licence_of_both(
    base: str | None,
    own: str | None,
    both: str | None,
    tiny_checkpoint: Checkpoint,
    fitting: Callable[..., Adapter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny_checkpoint, "license", base)
    assert MergedCheckpoint(tiny_checkpoint, fitting(license=own)).license == both


def test_another_base_is_refused(tmp_path: Path, fitting: Callable[..., Adapter]) -> None:
    other = open_checkpoint(write_tiny_checkpoint(tmp_path / "other", seed=1))
    with pytest.raises(AdapterMismatchError, match="trained on tiny-random .*this base is other") as caught:
        MergedCheckpoint(other, fitting())
    assert "--model" in str(caught.value)


def test_layers_that_do_not_fit(tiny_checkpoint: Checkpoint, fitting: Callable[..., Adapter]) -> None:
    unknown = {
        "model.layers.7.mlp.up_proj.lora_A.weight": np.zeros((2, 64), np.float32),
        "model.layers.7.mlp.up_proj.lora_B.weight": np.zeros((96, 2), np.float32),
    }
    with pytest.raises(AdapterMismatchError, match=r"layers\.7\.mlp\.up_proj\.weight, which tiny-random"):
        MergedCheckpoint(tiny_checkpoint, fitting(unknown))
    shape = {f"{Q}.lora_A.weight": np.zeros((2, 32), np.float32)}
    with pytest.raises(AdapterMismatchError, match=r"\[64, 32\]; in tiny-random it has \[64, 64\]"):
        MergedCheckpoint(tiny_checkpoint, fitting(shape))


def test_merged_weights_compute_what_the_trained_layers_compute(
    tiny_checkpoint: Checkpoint, fitting: Callable[..., Adapter]
) -> None:
    with warnings.catch_warnings():  # torch's own, at import
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
        from nlpsuite.models.lora import add_lora, lora_parameters
    torch.set_num_threads(1)
    # Small, so that the comparison is not one of rounding.
    small = {name: values / 20 for name, values in matrices().items()}
    module = load_module(tiny_checkpoint)
    add_lora(module, rank=2, alpha=INFO.alpha, targets=["q_proj", "down_proj"])
    with torch.no_grad():
        for name, parameter in lora_parameters(module).items():
            # Those that the adapter does not have keep their B of zeros, and change nothing.
            if name in small:
                parameter.copy_(torch.from_numpy(small[name]))
        ids = torch.tensor([[5, 70, 33, 120]])
        trained = module(ids)[0]
        merged = load_module(MergedCheckpoint(tiny_checkpoint, fitting(small)))(ids)[0]
        plain = load_module(tiny_checkpoint)(ids)[0]
    assert (trained - merged).abs().max() < 1e-4
    assert (trained - plain).abs().max() > 1e-2
