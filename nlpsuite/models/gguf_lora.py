"""LoRA adapters in GGUF files, as llama.cpp's ``convert_lora_to_gguf.py`` writes them.

``<tensor>.lora_a`` (r, inputs) and ``<tensor>.lora_b`` (outputs, r) stand under the names of the base's GGUF file, the
rows of B in its order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint_gguf import restore_rows
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.gguf import GGUFFile

__all__ = ["GGUFLora"]

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class GGUFLora:
    """An opened file.

    Attributes:
        architecture: of its base, as llama.cpp calls it.
        rank, alpha: the change of a matrix is alpha / rank · B A.
        base: name of the base, if the file states it.
        pairs: A and B by the name of the base's tensor, in float32.

    Raises:
        UnsupportedModelError: another kind of adapter.
        BundleCorruptError: damaged.
    """

    def __init__(self, path: Path) -> None:
        file = GGUFFile.open(path)
        metadata = file.metadata
        kind = (metadata.get("general.type"), metadata.get("adapter.type"))
        if kind != ("adapter", "lora") or "adapter.alora.invocation_tokens" in metadata:
            raise UnsupportedModelError(
                f"{path} is not a LoRA adapter: general.type is {kind[0]!r}, adapter.type {kind[1]!r}.",
                hint="Pass a model with --model; an adapter comes from llama.cpp's convert_lora_to_gguf.py.",
            )
        self.architecture = str(metadata.get("general.architecture"))
        self.base = str(metadata.get("general.base_model.0.name") or "")
        self.pairs: dict[str, Pair] = {}
        for name in file.tensors:
            tensor = name.removesuffix(".lora_a").removesuffix(".lora_b")
            both = [f"{tensor}.lora_a", f"{tensor}.lora_b"]
            if tensor == name or not all(part in file.tensors for part in both):
                raise BundleCorruptError(f"{path}: {name} is not one of a pair of low-rank matrices.")
            self.pairs[tensor] = (file.tensor(both[0]), file.tensor(both[1]))
        ranks = {len(a) for a, _ in self.pairs.values()}
        if len(ranks) != 1:
            raise UnsupportedModelError(f"{path} has pairs of ranks {sorted(ranks)}; one rank is supported.")
        [self.rank] = ranks
        # Without alpha llama.cpp doesn't scale.
        self.alpha = float(metadata.get("adapter.lora.alpha") or self.rank)

    def named(self, config: ModelConfig) -> dict[str, Pair]:
        """The pairs by the names of a model's checkpoint, rows in its order; those of other tensors as they are."""
        import gguf

        if self.architecture.upper() not in gguf.MODEL_ARCH.__members__:
            return self.pairs
        layers = len([name for name, _ in config.state_shapes() if name.endswith(".key")])
        known = gguf.get_tensor_name_map(gguf.MODEL_ARCH[self.architecture.upper()], layers)
        found = dict(self.pairs)
        stacks = config.stacked()
        parts = {part for parts in stacks.values() for part in parts}
        for name in [*stacks, *(name for name, _ in config.parameter_shapes() if name not in parts)]:
            stored = known.get_name(name, try_suffixes=(".weight", ".bias"))
            if stored in found:
                a, b = found.pop(stored)
                found[name] = (a, restore_rows(config, self.architecture, name, np.ascontiguousarray(b)))
        return found
