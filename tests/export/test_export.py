"""``export``: from the name of a base to a directory, complete or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from templates import needs_torch
from tiny import LLAMA, LSTM, random_weights, tiny_tokenizer_files, write_tiny_checkpoint, write_tiny_gguf

from nlpsuite.errors import (
    AdapterMismatchError,
    BundleCorruptError,
    MissingExtraError,
    ModelNotFoundError,
    NlpsuiteError,
    OptionError,
    StorageError,
    UnsupportedModelError,
    VerificationError,
)
from nlpsuite.export import graph_writer, verify
from nlpsuite.export.cache import get_bundle
from nlpsuite.export.export import export_model as export
from nlpsuite.models.adapter import AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]  # torch's and its exporter's


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "Tiny Random")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture(scope="module")
def write_adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    found = fingerprint(open_checkpoint(base))

    def write(**changes: Any) -> Path:
        info: dict[str, Any] = {
            "task": "sentiment",
            "task_version": "1",
            "distribution": "nlpsuite",
            "distribution_version": "0.1.0",
            "base": "Tiny Random",
            "base_fingerprint": found,
            "rank": 2,
            "alpha": 4.0,
            "options": {"labels": "positive,negative"},
            "evaluation": {"accuracy": 0.9, "n": 10},
        }
        draw = np.random.default_rng(0).standard_normal
        layer = "model.layers.0.mlp.up_proj"
        tensors = {
            f"{layer}.lora_A.weight": draw((2, 64), np.float32),
            f"{layer}.lora_B.weight": draw((96, 2), np.float32) / 10,
        }
        path = tmp_path_factory.mktemp("adapter") / "sentiment.safetensors"
        save_adapter(path, AdapterInfo(**{**info, **changes}), tensors)
        return path

    return write


# What is written


def test_a_checked_bundle(base: Path, here: Path) -> None:
    exported = export(str(base), precision="fp32")
    bundle = exported.bundle
    assert bundle.path == here / "exported" / "tiny-random-fp32"
    assert os.listdir(here / "exported") == ["tiny-random-fp32"]
    bundle.verify()
    assert (bundle.name, bundle.adapter) == ("Tiny Random", None)
    assert bundle.verification is not None
    assert bundle.verification["greedy_agreement"] == 32
    assert bundle.origin["source"] == str(base)
    assert f"{bundle.verification['perplexity']:.3f}" in (bundle.path / "README.md").read_text()
    assert exported.seconds > 0
    ids = LanguageModel.load(bundle.path, device="cpu").token_logprobs("The sea is wide.")
    assert np.isfinite(ids).all()


@pytest.mark.parametrize(
    "options,directory",
    [
        ({"precision": "int8"}, "tiny-random-int8"),
        ({"precision": "fp16", "layout": "portable"}, "tiny-random-portable-fp16"),
        ({"precision": "int4", "layout": "portable"}, "tiny-random-portable-int4"),
    ],
)
def test_default_directories(options: dict[str, str], directory: str, base: Path, here: Path) -> None:
    bundle = export(str(base), verify=False, **options).bundle  # type: ignore[arg-type]
    assert bundle.path == here / "exported" / directory
    assert bundle.verification is None
    assert "not compared" in (bundle.path / "README.md").read_text()
    names = set(bundle.files)
    assert ("genai_config.json" in names) == (options.get("layout") == "portable")
    assert all(f"{graph.path}_data" in names for graph in bundle.graphs)


def test_a_run_of_training_and_a_gguf_file(here: Path) -> None:
    weights = random_weights(LSTM)
    write_checkpoint(here / "runs" / "my-lstm" / "model", LSTM, weights, tiny_tokenizer_files())
    bundle = export("runs/my-lstm", precision="fp32").bundle
    assert (bundle.name, bundle.path.name) == ("my-lstm", "my-lstm-fp32")
    write_tiny_gguf(here / "m.gguf", kind="Q4_1")
    bundle = export("m.gguf", precision="int4", name="Mine", output=here / "out").bundle
    assert (bundle.name, bundle.path, bundle.license) == ("Mine", here / "out", "apache-2.0")
    assert bundle.verification is not None


def test_an_adapter_is_merged(base: Path, here: Path, write_adapter: Callable[..., Path]) -> None:
    adapter = write_adapter()
    plain = export(str(base), precision="fp32").bundle
    bundle = export(str(base), adapter=adapter, precision="fp32").bundle
    assert (bundle.name, bundle.path.name) == ("Tiny Random+sentiment", "tiny-random-sentiment-fp32")
    assert bundle.adapter is not None
    assert bundle.adapter["options"] == {"labels": "positive,negative"}
    assert bundle.adapter["evaluation"] == {"accuracy": 0.9, "n": 10}
    assert bundle.origin["adapter"]["sha256"] == bundle.adapter["sha256"]
    assert bundle.origin["adapter"]["name"] == "sentiment.safetensors"
    assert bundle.verification is not None and plain.verification is not None
    assert bundle.verification["reference_perplexity"] != plain.verification["reference_perplexity"]
    assert "nlpsuite run sentiment" in (bundle.path / "README.md").read_text()


def test_progress(base: Path, here: Path) -> None:
    calls: list[Any] = []

    class Recorder:
        def stage(self, text: str, total: int | None) -> None:
            calls.append(text)

        def advance(self, done: int) -> None:
            calls.append(done)

        def close(self) -> None:
            calls.append("closed")

    export(str(base), precision="fp32", reporter=Recorder())
    texts = [call for call in calls if isinstance(call, str)]
    assert texts == ["Exporting Tiny Random (slots, fp32)", "Comparing the fp32 graph with torch", "closed"]
    numbers = [call for call in calls if isinstance(call, int)]
    assert numbers == sorted(numbers) and len(numbers) > LLAMA.num_hidden_layers
    assert numbers[-1] == 4 * LLAMA.parameter_count()


# What is there already


def test_a_bundle_is_replaced_only_when_asked(base: Path, here: Path) -> None:
    first = export(str(base), precision="fp32", output="out", verify=False).bundle
    with pytest.raises(OptionError, match="out exists already") as caught:
        export(str(base), precision="fp32", output="out")
    assert "--overwrite" in caught.value.hint
    second = export(str(base), precision="int8", output="out", verify=False, overwrite=True).bundle
    assert second.graphs[0].precision == "int8" != first.graphs[0].precision
    second.verify()
    assert sorted(os.listdir(here)) == ["out"]


def test_nothing_but_a_bundle_is_replaced(base: Path, here: Path) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter1.txt").write_text("…")
    (here / "file").write_text("…")
    for target in ("thesis", "file", "."):
        with pytest.raises(OptionError, match="is not a bundle"):
            export(str(base), precision="fp32", output=target, verify=False, overwrite=True)
    assert sorted(os.listdir(here)) == ["file", "thesis"]
    (here / "empty").mkdir()
    export(str(base), precision="fp32", output="empty", verify=False, overwrite=True)


def test_a_failed_export_leaves_the_old_bundle(
    base: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = export(str(base), precision="fp32", output="out", verify=False).bundle
    monkeypatch.setattr(verify, "_FP32_TOLERANCE", 0.0)
    with pytest.raises(VerificationError):
        export(str(base), precision="fp32", output="out", overwrite=True)
    Bundle.open(here / "out").verify()
    assert Bundle.open(here / "out").fingerprint == before.fingerprint
    assert os.listdir(here) == ["out"]


# What is refused


def refused(error: type[NlpsuiteError], here: Path, *arguments: Any, **options: Any) -> NlpsuiteError:
    before = sorted(os.listdir(here))
    with pytest.raises(error) as caught:
        export(*arguments, **{"precision": "fp32", "output": "out", **options})
    assert caught.value.hint
    assert sorted(os.listdir(here)) == before
    return caught.value


def test_options_of_no_known_value(base: Path, here: Path) -> None:
    assert "fp16" in refused(OptionError, here, str(base), precision="int2").hint
    assert "portable" in refused(OptionError, here, str(base), layout="genai").hint


def test_a_bundle_is_no_base(base: Path, here: Path, isolated_cache: Path) -> None:
    bundle = export(str(base), precision="fp32", output="done", verify=False).bundle
    assert "origin" in refused(OptionError, here, str(bundle.path)).hint
    cached = get_bundle(str(base), precision="fp32")
    assert "already exported" in refused(OptionError, here, cached.name).message
    shutil.rmtree(cached)


@pytest.mark.parametrize("spec", ["./absent", "absent.gguf", "hf:nobody", "absent"])
def test_no_such_base(spec: str, here: Path) -> None:
    refused(ModelNotFoundError, here, spec)


def test_no_such_adapter(base: Path, here: Path) -> None:
    refused(ModelNotFoundError, here, str(base), adapter="absent.safetensors")


def test_an_adapter_of_another_base(base: Path, here: Path, write_adapter: Callable[..., Path]) -> None:
    refused(AdapterMismatchError, here, str(base), adapter=write_adapter(base_fingerprint="0" * 64))


def test_a_recurrent_model_in_the_portable_layout(here: Path) -> None:
    write_tiny_checkpoint(here / "lstm", config=LSTM)
    assert "--layout slots" in refused(UnsupportedModelError, here, "lstm", layout="portable").hint


def test_damaged_weights(here: Path) -> None:
    weights = random_weights(LLAMA)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    write_checkpoint(here / "nan", LLAMA, weights, tiny_tokenizer_files())
    for precision in ("fp32", "int8", "int4"):
        error = refused(BundleCorruptError, here, "nan", precision=precision)
        assert "model.layers.1.mlp.up_proj.weight" in error.message
    file = here / "nan" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(BundleCorruptError, here, "nan")


def test_a_full_disk(base: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = graph_writer.append_tensor

    def fails(file: Any, location: str, name: str, array: Any) -> Any:
        if name == "model.norm.weight":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(file, location, name, array)

    monkeypatch.setattr(graph_writer, "append_tensor", fails)
    assert "No space left" in refused(StorageError, here, str(base)).message


def test_too_little_space(base: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    error = refused(StorageError, here, str(base))
    assert str(here) in error.message and "-o" in error.hint


def test_a_place_that_cannot_be_written(base: Path, here: Path) -> None:
    (here / "file").touch()
    assert "-o" in refused(StorageError, here, str(base), output="file/out").hint


def test_without_torch(base: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "--no-verify" in refused(MissingExtraError, here, str(base)).hint
    export(str(base), precision="fp32", output="out", verify=False)


def test_the_manifest_is_plain_json(base: Path, here: Path) -> None:
    bundle = export(str(base), precision="fp32").bundle
    manifest = json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))
    assert manifest["verification"] == bundle.verification
    assert json.dumps(manifest, allow_nan=False)
