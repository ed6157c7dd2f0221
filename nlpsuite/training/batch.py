"""Batches, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.language_module import LanguageModule

__all__ = ["IGNORE", "Batch", "LossModule", "pad_rows"]

IGNORE = -100
"""Label of a position without a target."""


class Batch(NamedTuple):
    """Rows of tokens, and what should follow each token.

    Attributes:
        input_ids: (B, S) int64, padded on the right.
        labels: (B, S) int64, the token that should follow, or ``IGNORE``.
    """

    input_ids: Tensor
    labels: Tensor

    @property
    def targets(self) -> int:
        """Number of positions with a target."""
        return int((self.labels != IGNORE).sum())

    def part(self, rank: int, size: int) -> Batch:
        """The rows of process ``rank`` of ``size``. All must take part: one without rows learns nothing."""
        if rank < len(self.input_ids):
            return Batch(self.input_ids[rank::size], self.labels[rank::size])
        return Batch(self.input_ids[:1], torch.full_like(self.labels[:1], IGNORE))

    def to(self, device: torch.device) -> Batch:
        return Batch(self.input_ids.to(device), self.labels.to(device))


def pad_rows(rows: Sequence[tuple[Sequence[int] | npt.NDArray[np.integer], int]]) -> Batch:
    """A batch of rows: the tokens of each, and how many of them come before the first target."""
    width = max(len(ids) for ids, _ in rows) - 1
    input_ids = np.zeros((len(rows), width), np.int64)
    labels = np.full((len(rows), width), IGNORE, np.int64)
    for row, (ids, given) in enumerate(rows):
        input_ids[row, : len(ids) - 1] = ids[:-1]
        labels[row, given - 1 : len(ids) - 1] = ids[given:]
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(labels))


class LossModule(nn.Module):
    """A model and its loss as one module, which is what distributed training wraps."""

    def __init__(self, module: LanguageModule, *, bf16: bool) -> None:
        super().__init__()
        self.module = module
        self._bf16 = bf16

    def forward(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """The sum of the cross-entropies (nats) of a batch's targets, float32."""
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self._bf16):
            x, _ = self.module.hidden(input_ids)  # (B, S, D)
            wanted = labels != IGNORE
            if not bool(wanted.all()):
                # The head is a fifth of a small model, and most positions of a prompt have no target.
                x, labels = x[wanted], labels[wanted]
            logits = self.module.head(x)
        return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="sum")
