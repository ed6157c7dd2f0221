"""The state that a model carries from one run to the next, for the rows of a batch.

It has two forms. ``SlotState`` is our runtime's: fixed memory per row, written in place, each row of
its own length. ``PastState`` is what other apps pass: past keys and values, concatenated, with a mask
that excludes padding. An attention layer uses both in the same way. Shapes use the letters of ``decoder``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

__all__ = ["PastState", "SlotState", "State", "write_slots"]


class SlotState(NamedTuple):
    """The state of our runtime's rows ("slots").

    Attributes:
        write_indices: (B,) int64; the tokens each row has seen, so also the position of its first
            new one. A row at 0 starts afresh, regardless of its state.
        tensors: in the order of ``ModelConfig.state_shapes``, each (B, *shape): for a decoder
            per layer the keys and the values, (B, G, M, d).
        lengths: (B,) int64; how many of the S new tokens are real. None means all. Only models
            with a recurrent state need it: in a cache later tokens overwrite padding.
    """

    write_indices: Tensor
    tensors: tuple[Tensor, ...]
    lengths: Tensor | None = None

    def positions(self, new: int) -> Tensor:
        """(B, S) position of each new token in its row."""
        return self.write_indices[:, None] + torch.arange(new, device=self.write_indices.device)

    def mask(self, new: int, window: int | None = None) -> Tensor:
        """(B, 1, S, M), true where a new token may look: at its own position and before.

        Args:
            window: at itself and ``window - 1`` tokens before only.
        """
        seen = torch.arange(self.tensors[0].shape[2], device=self.write_indices.device)[None, None, None, :]
        own = self.positions(new)[:, None, :, None]
        return seen <= own if window is None else (seen <= own) & (seen > own - window)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, G, M, d) of a layer with the new ones (B, G, S, d) written in."""
        keys, values = self.tensors[2 * layer : 2 * layer + 2]
        return write_slots(keys, k, self.write_indices), write_slots(values, v, self.write_indices)

    def advanced(self, new: int, tensors: tuple[Tensor, ...]) -> SlotState:
        """The state after ``new`` more tokens."""
        seen = new if self.lengths is None else self.lengths
        return SlotState(self.write_indices + seen, tensors)


class PastState(NamedTuple):
    """The state of the portable graph: everything concatenated, padding masked out.

    Attributes:
        attention_mask: (B, P + S) int64; 0 marks padding, on either side.
        position_ids: (B, S) int64 position of each new token.
        tensors: per layer past keys and values, (B, G, P, d).
    """

    attention_mask: Tensor
    position_ids: Tensor
    tensors: tuple[Tensor, ...]

    def positions(self, new: int) -> Tensor:
        """(B, S) position of each new token in its row."""
        return self.position_ids

    def mask(self, new: int, window: int | None = None) -> Tensor:
        """(B, 1, S, P + S), true where a new token may look: at itself and at real tokens before.

        Args:
            window: at itself and ``window - 1`` real tokens before only.
        """
        past = self.tensors[0].shape[2]
        at = torch.arange(past + new, device=self.attention_mask.device)
        own = past + torch.arange(new, device=self.attention_mask.device)
        causal = at[None, :] <= own[:, None]  # (S, P + S)
        real = self.attention_mask[:, None, None, :] != 0
        if window is not None:
            # By position: padding may lie between a row's tokens.
            positions = (self.attention_mask.cumsum(1) - 1)[:, None, None, :]
            real = real & (positions > self.position_ids[:, None, :, None] - window)
        # A padding token looks at itself: a row that is all False would give NaN.
        itself = at[None, :] == own[:, None]
        return (causal[None, None] & real) | itself[None, None]

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, G, P + S, d) of a layer, the new ones (B, G, S, d) at the end."""
        keys, values = self.tensors[2 * layer : 2 * layer + 2]
        return torch.cat((keys, k), 2), torch.cat((values, v), 2)

    def advanced(self, new: int, tensors: tuple[Tensor, ...]) -> PastState:
        """The state after ``new`` more tokens."""
        return PastState(self.attention_mask, self.position_ids, tensors)


State: TypeAlias = SlotState | PastState


def write_slots(cache: Tensor, new: Tensor, write_indices: Tensor) -> Tensor:
    """Write ``new`` (B, G, S, d) into ``cache`` (B, G, M, d), row b from ``write_indices[b]`` on."""
    if torch.onnx.is_in_onnx_export():
        # One node that onnxruntime runs in place when input and output share memory.
        written: Tensor = torch.onnx.ops.symbolic(
            "TensorScatter",
            (cache, new, write_indices),
            attrs={"axis": 2},
            dtype=cache.dtype,
            shape=cache.shape,
            version=24,
        )
        return written
    positions = write_indices[:, None] + torch.arange(new.shape[2], device=new.device)  # (B, S)
    # Under autocast keys and values come in half precision.
    return cache.scatter(2, positions[:, None, :, None].expand_as(new), new.to(cache.dtype))
