"""What every torch model offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nlpsuite.errors import OptionError
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.state import SlotState, State

__all__ = ["AttentionModule", "LanguageModule"]


class LanguageModule(nn.Module, ABC):
    """A causal language model in torch: ``forward(input_ids, state) -> logits, state``.

    Parameter names are those of ``config.parameter_shapes()``, so loading is
    ``load_state_dict``. Training calls the two halves of ``forward`` separately, since it
    needs logits only where there is a target.
    """

    config: ModelConfig

    @abstractmethod
    def hidden(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """The head's input (B, S, D) for tokens (B, S) int64, and the advanced state.

        Without a state the S tokens are the whole sequence, and each sees those before it. With one
        they follow the tokens that their row has already seen.
        """

    @abstractmethod
    def head(self, x: Tensor) -> Tensor:
        """Logits (..., V) of hidden values (..., D)."""

    @abstractmethod
    def initialize(self) -> None:
        """Fresh random weights, from torch's global generator."""

    def rebuild_buffers(self) -> None:
        """Compute buffers that checkpoints don't store (rotary frequencies)."""

    def forward(
        self,
        input_ids: Tensor,  # (B, S) int64
        state: State | None = None,
        logit_indices: Tensor | None = None,  # (B, K) int64, positions among the S to read
    ) -> tuple[Tensor, State | None]:
        """Logits (B, K, V), or (B, S, V) without ``logit_indices``, and the advanced state."""
        x, state = self.hidden(input_ids, state)
        if logit_indices is not None:
            # The head is a fifth of a small model: compute it only for positions that are read.
            x = x.gather(1, logit_indices[:, :, None].expand(-1, -1, x.shape[2]))  # (B, K, D)
        return self.head(x), state

    def empty_state(self, rows: int, length: int) -> SlotState:
        """A state for ``rows`` fresh rows of at most ``length`` tokens each, like the weights."""
        like = next(self.parameters())
        tensors = tuple(
            torch.zeros([rows, *(length if d == "cache_length" else d for d in dims)]).to(like)  # type: ignore[list-item]
            for _, dims in self.config.state_shapes()
        )
        return SlotState(torch.zeros(rows, dtype=torch.int64, device=like.device), tensors)

    def tie(self) -> None:
        """Let the head read the embedding's weight, where the configuration says so."""
        if self.config.tied_head is not None:
            self.get_submodule("lm_head").weight = self.get_parameter(self.config.tied_head)

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Whether training computes each layer twice instead of holding what its gradient needs.

        Raises:
            OptionError: the model has no layers to which that could be done.
        """
        if on:
            raise OptionError(
                "Gradient checkpointing needs layers of attention, which this model doesn't have.",
                hint="Omit --gradient-checkpointing; a smaller --batch-tokens takes less memory too.",
            )

    def set_dropout(self, p: float) -> None:
        """Set the rate of every dropout layer; a fresh or loaded model has 0."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = p


class AttentionModule(LanguageModule):
    """A stack of layers whose state is a cache of keys and values."""

    residual_writers: ClassVar[tuple[str, ...]]
    """Ends of the names of the matrices that write to the residual stream, twice per layer."""
    window: int | None = None
    """Tokens that the local layers see, the last one included; see ``DecoderConfig``."""
    local_layers: frozenset[int] = frozenset()
    checkpointed = False

    @abstractmethod
    def embed(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """The first layer's input (B, S, D), and further arguments of every layer."""

    @abstractmethod
    def layers(self) -> Iterable[nn.Module]:
        """The layers; each gives its output and its keys and values."""

    def set_gradient_checkpointing(self, on: bool) -> None:
        self.checkpointed = on

    def hidden(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        B, S = input_ids.shape
        if state is None:
            mask, local = None, self._causal_window(S, input_ids.device)
            positions = torch.arange(S, device=input_ids.device)[None, :].expand(B, S)
        else:
            mask, positions = state.mask(S), state.positions(S)
            local = state.mask(S, self.window) if self.local_layers else None
        x, further = self.embed(input_ids, positions)
        caches: list[Tensor] = []
        for i, layer in enumerate(self.layers()):
            arguments = (x, *further, local if i in self.local_layers else mask, i, state)
            if self.checkpointed and self.training and state is None:
                x, _ = checkpoint(layer, *arguments, use_reentrant=False)
                continue
            x, cache = layer(*arguments)
            if state is not None:
                caches.extend(cache)
        return x, None if state is None else state.advanced(S, tuple(caches))

    def _causal_window(self, length: int, device: torch.device) -> Tensor | None:
        """The local layers' mask (1, 1, S, S) of whole sequences; None where all of them fits the window."""
        if self.window is None or not self.local_layers or length <= self.window:
            return None
        seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        return seen.triu(1 - self.window)[None, None]

    def initialize(self) -> None:
        # As GPT-2: the matrices that write to the residual stream start smaller, since 2 × layers of them
        # add up.
        residual = 0.02 / math.sqrt(2 * len(list(self.layers())))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=residual if name.endswith(self.residual_writers) else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)
