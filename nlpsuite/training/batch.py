"""Batches, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nlpsuite.models.language_module import LanguageModule

__all__ = ["IGNORE", "Batch", "LossModule", "pad_rows"]

_PART_LOGITS = 1 << 24  # at a time: 64 MB in float32

IGNORE = -100
"""Label of a position without a target."""


class Batch(NamedTuple):
    """Rows of tokens, and what should follow each token.

    Attributes:
        input_ids: (B, S) int64, padded on the right.
        labels: (B, S) int64, the token that should follow, or ``IGNORE``.
        counted: number of positions with a target, where it was counted before the batch went to a GPU.
    """

    input_ids: Tensor
    labels: Tensor
    counted: int | None = None

    @property
    def targets(self) -> int:
        """Number of positions with a target."""
        if self.counted is not None:
            return self.counted
        return int((self.labels != IGNORE).sum())

    def part(self, rank: int, size: int) -> Batch:
        """The rows of process ``rank`` of ``size``. All must take part: one without rows learns nothing."""
        if rank < len(self.input_ids):
            return Batch(self.input_ids[rank::size], self.labels[rank::size])
        return Batch(self.input_ids[:1], torch.full_like(self.labels[:1], IGNORE))

    def to(self, device: torch.device) -> Batch:
        if device == self.input_ids.device:
            return self
        # Counted here: asking a GPU for a number would wait for all that it has to do.
        ids, labels = (tensor.to(device, non_blocking=True) for tensor in (self.input_ids, self.labels))
        return Batch(ids, labels, self.targets)

    def pinned(self) -> Batch:
        """In page-locked memory."""
        return Batch(self.input_ids.pin_memory(), self.labels.pin_memory(), self.targets)


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
    """A model and its loss as one module, which is what distributed training wraps.

    Args:
        bf16: multiply matrices in bfloat16.
        in_parts: compute the logits of some positions at a time, and again for the gradient, so that memory never
            holds those of a whole batch: with 128,000 tokens they take more than the layers.
        label_smoothing: while training (Szegedy et al. 2016, arXiv:1512.00567); validation is without.
    """

    def __init__(
        self, module: LanguageModule, *, bf16: bool, in_parts: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.module = module
        self._bf16, self._in_parts, self._smoothing = bf16, in_parts, label_smoothing

    def forward(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """The sum of the cross-entropies (nats) of a batch's targets, float32."""
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self._bf16):
            x, _ = self.module.hidden(input_ids)  # (B, S, D)
            wanted = labels != IGNORE
            if x.is_cuda or not bool(wanted.all()):
                # The head is a fifth of a small model, and most positions of a prompt have no target.
                x, labels = x[wanted], labels[wanted]
            if not self._in_parts:
                return self._loss(x, labels)
            x, labels = x.flatten(0, -2), labels.flatten()
            step = max(1, _PART_LOGITS // self.module.config.vocab_size)
            losses = [
                checkpoint(self._loss, x[at : at + step], labels[at : at + step], use_reentrant=False)
                for at in range(0, max(1, len(x)), step)
            ]
            return torch.stack(losses).sum()

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        logits = self.module.head(x).float()
        smoothing = self._smoothing if self.module.training else 0.0
        return F.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), reduction="sum", label_smoothing=smoothing
        )
