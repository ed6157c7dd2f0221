"""Writing an adapter as peft saves it, for transformers, vLLM and other programs that read LoRA directories."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nlpsuite.errors import OptionError, StorageError, UnsupportedModelError
from nlpsuite.files import atomic_write_bytes
from nlpsuite.models.adapter import Adapter
from nlpsuite.models.peft import CONFIG_FILE, PREFIX, WEIGHTS_FILE, peft_config

__all__ = ["export_peft"]


def export_peft(
    adapter: str | os.PathLike[str], output: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write an adapter of `train adapter` as a directory with adapter_config.json and adapter_model.safetensors.

    Args:
        adapter: its file, or the directory of its run.
        output: the directory to write.
        overwrite: replace the files of an adapter that is there.

    Returns:
        The directory.

    Raises:
        OptionError: ``output`` exists.
        UnsupportedModelError: an adapter of another program.
        ModelNotFoundError, ModelUnavailableError, BundleCorruptError: as ``Adapter.open``.
        StorageError: it can't be written.
    """
    from safetensors.numpy import save

    opened, target = Adapter.open(Path(os.path.expanduser(adapter))), Path(os.path.expanduser(output))
    if not opened.info.base_fingerprint:
        raise UnsupportedModelError(
            f"{opened.path} isn't an adapter of `nlpsuite train adapter`, so its base isn't known.",
            hint="peft reads its own directories; llama.cpp's files come from one.",
        )
    if target.exists() and not (overwrite and (target / CONFIG_FILE).is_file()):
        raise OptionError(
            f"{target} exists.",
            hint="Choose another directory, or replace an adapter there with --overwrite.",
        )
    matrices = opened.tensors()
    layers = {name.rpartition(".lora_")[0] for name in matrices}
    info, transposed = opened.info, any(".attn.c_attn" in layer for layer in layers)
    config = peft_config(info.rank, info.alpha, info.base, dict.fromkeys(layers), transposed=transposed)
    weights = save(
        {f"{PREFIX}{name}": np.ascontiguousarray(values, np.float32) for name, values in matrices.items()},
        metadata={"format": "pt"},
    )
    try:
        target.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(target / WEIGHTS_FILE, weights)
        atomic_write_bytes(target / CONFIG_FILE, config.encode())
    except OSError as error:
        raise StorageError(f"Can't write {target}: {error.strerror or error}.") from error
    return target
