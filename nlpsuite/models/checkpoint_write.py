"""Writing a model as a Hugging Face directory, the form in which training leaves it.

Source: the safetensors format, github.com/huggingface/safetensors#format: the length of the
header, the header in JSON, the tensors one after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.models.checkpoint_hf import GPT2_TRANSPOSED
from nlpsuite.models.config import GPT2Config, ModelConfig

__all__ = ["write_checkpoint"]


def write_checkpoint(
    directory: Path,
    config: ModelConfig,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    tokenizer_files: Mapping[str, str],
    *,
    card: str = "",
) -> None:
    """Write config.json, model.safetensors, the tokenizer's files and README.md into ``directory``.

    ``open_checkpoint`` reads it, and so does transformers if it knows the architecture. Each
    tensor is asked for once, in the order of the file, and written before the next one; so a
    mapping that makes its tensors as they are read keeps memory low. The caller makes it atomic.

    Args:
        tensors: the parameters of ``config.parameter_shapes()``, all of them and nothing else.
        tokenizer_files: name -> text, as ``Checkpoint.tokenizer_files`` gives it.
        card: the text of README.md; empty for none.

    Raises:
        ValueError: ``tensors`` don't fit ``config``.
        OSError: ``directory`` can't be written.
    """
    shapes = dict(config.parameter_shapes())
    if wrong := sorted(shapes.keys() ^ set(tensors)):
        what = "is missing" if wrong[0] in shapes else "is not part of the model"
        raise ValueError(f"tensor {wrong[0]} {what}")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in tokenizer_files.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")
    if card:
        (directory / "README.md").write_text(card, encoding="utf-8", newline="")
    hf_config = {**config.to_hf(), "dtype": "float32", **_token_ids(tokenizer_files)}
    (directory / "config.json").write_text(json.dumps(hf_config, indent=2) + "\n", encoding="utf-8")

    transposed = GPT2_TRANSPOSED if isinstance(config, GPT2Config) else ()
    # Stacked matrices lie one after the other, so a reader sees them as one.
    with (directory / "model.safetensors").open("wb") as file:
        file.write(_header(shapes, transposed, config.stacked()))
        for name, shape in shapes.items():
            values = np.asarray(tensors[name], "<f4")
            if values.shape != shape:
                raise ValueError(f"tensor {name} has shape {values.shape}, must have {shape}")
            file.write((values.T if name.endswith(transposed) else values).tobytes())


def _header(
    shapes: Mapping[str, tuple[int, ...]],
    transposed: tuple[str, ...],
    stacks: Mapping[str, tuple[str, ...]],
) -> bytes:
    """The first bytes of a safetensors file with these float32 tensors in this order.

    Args:
        stacks: see ``ModelConfig.stacked``; parameters of a stack follow each other.
    """
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers insists on it
    end = 0
    for name, shape in _stack(shapes, stacks).items():
        start, end = end, end + 4 * math.prod(shape)
        stored = shape[::-1] if name.endswith(transposed) else shape
        entries[name] = {"dtype": "F32", "shape": stored, "data_offsets": (start, end)}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def _stack(
    shapes: Mapping[str, tuple[int, ...]], stacks: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[int, ...]]:
    """The stored tensors' names and shapes, in the order of the parameters."""
    stack_of = {part: name for name, parts in stacks.items() for part in parts}
    found: dict[str, tuple[int, ...]] = {}
    for part, shape in shapes.items():
        name = stack_of.get(part, part)
        found[name] = (found[name][0] + shape[0], *shape[1:]) if name in found else shape
    return found


def _token_ids(tokenizer_files: Mapping[str, str]) -> dict[str, Any]:
    """The special tokens' ids: other programs read them from config.json, and have defaults of their own."""
    ids = json.loads(tokenizer_files.get("generation_config.json", "{}"))
    return {key: ids.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
