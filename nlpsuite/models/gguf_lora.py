"""LoRA adapters in GGUF files, as llama.cpp's ``convert_lora_to_gguf.py`` writes them.

``<tensor>.lora_a`` (r, inputs) and ``<tensor>.lora_b`` (outputs, r) stand under the names of the base's GGUF file, the
rows of B in its order.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.checkpoint_gguf import restore_rows
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.gguf import GGUFFile
from nlpsuite.models.low_rank import Pair, same_rank

__all__ = ["GGUFLora"]


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
            a, b = file.tensor(both[0]), file.tensor(both[1])
            if a.ndim != 2 or b.ndim != 2 or not 0 < len(a) == b.shape[1]:
                raise BundleCorruptError(f"{path}: {tensor} has low-rank matrices that don't fit each other.")
            self.pairs[tensor] = (a, b)
        if not self.pairs:
            raise BundleCorruptError(f"{path} contains no weights.")
        ranks = {name: len(a) for name, (a, _) in self.pairs.items()}
        self.rank = max(ranks.values())
        # Without alpha llama.cpp doesn't scale; else by alpha over the rank of each pair.
        alpha = float(metadata.get("adapter.lora.alpha") or 0)
        if not math.isfinite(alpha):
            raise BundleCorruptError(f"{path}: adapter.lora.alpha is {alpha}.")
        scales = {name: alpha / rank if alpha else 1.0 for name, rank in ranks.items()}
        common = max(map(abs, scales.values()))
        self.alpha = common * self.rank
        self.pairs = same_rank(self.pairs, scales, common)

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
