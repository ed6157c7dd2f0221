"""A base with an adapter merged into its weights, which reads as any checkpoint does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import AdapterMismatchError
from nlpsuite.models.adapter import Adapter, fingerprint
from nlpsuite.models.checkpoint_base import Checkpoint, RawTensor

__all__ = ["MergedCheckpoint"]


class MergedCheckpoint(Checkpoint):
    """A base with an adapter merged into its weights.

    Raises:
        AdapterMismatchError: the adapter was trained on another base.
    """

    def __init__(self, checkpoint: Checkpoint, adapter: Adapter) -> None:
        self.base, self.adapter = checkpoint, adapter.fitted(checkpoint.config)
        self.name, self.config = f"{checkpoint.name}+{adapter.label}", checkpoint.config
        self.revision = checkpoint.revision
        self.license = _both(checkpoint.license, adapter.info.license)
        self._changed = frozenset(self.adapter.names)
        self._check()

    def _check(self) -> None:
        info, base = self.adapter.info, self.base
        if info.base_fingerprint and (found := fingerprint(base)) != info.base_fingerprint:
            raise AdapterMismatchError(
                f"The adapter {self.adapter.path} was trained on {info.base} "
                f"(weights {info.base_fingerprint[:12]}); this base is {base.name} (weights {found[:12]}).",
                hint=f"Pass exactly that {info.base} with --model, or train an adapter for {base.name}.",
            )
        # Without a fingerprint, names and shapes are all there is to compare.
        shapes = dict(base.config.parameter_shapes())
        for name in self.adapter.names:
            if name not in shapes:
                raise AdapterMismatchError(
                    f"The adapter {self.adapter.path} changes {name}, which {base.name} does not have."
                )
            if shapes[name] != self.adapter.shape(name):
                raise AdapterMismatchError(
                    f"The adapter {self.adapter.path} changes {name} of shape "
                    f"{list(self.adapter.shape(name))}; in {base.name} it has {list(shapes[name])}."
                )

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        values = self.base.tensor(name)
        return self.adapter.changed(name, values) if name in self._changed else values

    def rows(self, name: str, which: slice | npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        values = self.base.rows(name, which)
        return self.adapter.changed(name, values, which) if name in self._changed else values

    def quantized(self, name: str) -> RawTensor | None:
        """None for a parameter that the adapter changes: the stored blocks are the base's."""
        return None if name in self._changed else self.base.quantized(name)

    def tokenizer_files(self) -> dict[str, str]:
        return self.base.tokenizer_files()

    def source_files(self) -> list[Path]:
        return [*self.base.source_files(), self.adapter.path]


def _both(base: str | None, adapter: str | None) -> str | None:
    """The license of the combined work, as an SPDX expression; None if the base's is unknown."""
    if base is None or adapter is None or base.casefold() == adapter.casefold():
        return base
    return f"{base} AND {adapter}"
