"""Adapters written as LoRA directories: what peft's own files look like, and the same change when read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import CONFIGS, write_tiny_checkpoint

from nlpsuite.errors import OptionError, UnsupportedModelError
from nlpsuite.export.peft_export import export_peft
from nlpsuite.models.adapter import Adapter, AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.merged import MergedCheckpoint


def trained(directory: Path, base: Checkpoint, *, int8: bool = False) -> Path:
    """An adapter as `train adapter` writes it, on every matrix of a layer."""
    draw = np.random.default_rng(0).standard_normal
    tensors: dict[str, Any] = {}
    for name, shape in base.config.parameter_shapes():
        if len(shape) == 2 and not any(part in name for part in ("embed", "wte", "wpe", "head")):
            layer = name.removesuffix(".weight")
            tensors[f"{layer}.lora_A.weight"] = draw((4, shape[1])).astype("f2")
            tensors[f"{layer}.lora_B.weight"] = draw((shape[0], 4)).astype("f2")
    info = AdapterInfo("sentiment", "1", "nlpsuite", "0.1", base.name, fingerprint(base), rank=4, alpha=6.0)
    directory.mkdir()
    save_adapter(directory / "adapter.safetensors", info, tensors, int8=int8)
    return directory


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox"])
def test_read_back_it_changes_the_same(tmp_path: Path, name: str, int8: bool) -> None:
    base = open_checkpoint(write_tiny_checkpoint(tmp_path / name, config=CONFIGS[name]))
    ours = trained(tmp_path / "run", base, int8=int8)
    directory = export_peft(ours, tmp_path / "out" / "lora")
    assert sorted(file.name for file in directory.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    settings = json.loads((directory / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 4, 6.0)
    assert settings["base_model_name_or_path"] == base.name
    assert settings["fan_in_fan_out"] is (name == "gpt2")
    one, other = (MergedCheckpoint(base, Adapter.open(path)) for path in (ours, directory))
    for tensor in base.tensor_names():
        np.testing.assert_allclose(one.tensor(tensor), other.tensor(tensor), rtol=1e-6, atol=1e-6)


def test_what_is_there_is_not_overwritten(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    ours = trained(tmp_path / "run", tiny_checkpoint)
    export_peft(ours, tmp_path / "lora")
    with pytest.raises(OptionError, match="exists"):
        export_peft(ours, tmp_path / "lora")
    export_peft(ours, tmp_path / "lora", overwrite=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(OptionError, match="exists"):
        export_peft(ours, tmp_path / "mine", overwrite=True)
    with pytest.raises(UnsupportedModelError, match="isn't an adapter of"):
        export_peft(tmp_path / "lora", tmp_path / "again")


def test_on_the_command_line(cli: Any, tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    ours = trained(tmp_path / "run", tiny_checkpoint)
    done = cli("export", "--adapter", ours, "--as", "peft", "-o", tmp_path / "lora")
    assert (done.code, done.out) == (0, f"{tmp_path / 'lora'}\n")
    for arguments, message in (
        (["--as", "peft"], "--as peft needs --adapter and --output"),
        (["--as", "peft", "--adapter", ours, "-o", "x", "--precision", "int4"], "--precision has no effect"),
        (["model.gguf", "--as", "peft", "--adapter", ours, "-o", "x"], "MODEL has no effect"),
    ):
        failed = cli("export", *arguments)
        assert failed.code == 2 and message in failed.err
