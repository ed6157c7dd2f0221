"""What every torch model offers, and how to get the one that fits a configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig, GPT2Config, LSTMConfig, ModelConfig
from nlpsuite.models.state import SlotState, State

__all__ = ["LanguageModule", "build_module", "load_module", "weightless_module"]


class LanguageModule(nn.Module, ABC):
    """A causal language model in torch: ``forward(input_ids, state) -> logits, state``.

    Parameter names are those of ``config.parameter_shapes()``, so loading is
    ``load_state_dict``. Training needs the two halves of ``forward`` apart, since logits are
    wanted only where there is a target.
    """

    config: ModelConfig

    @abstractmethod
    def hidden(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """What the head reads, (B, S, D), of tokens (B, S) int64, and the advanced state.

        Without a state the S tokens are the whole sequence, each sees those before it. With one
        they follow the tokens that their row has seen.
        """

    @abstractmethod
    def head(self, x: Tensor) -> Tensor:
        """Logits (..., V) of hidden values (..., D)."""

    @abstractmethod
    def initialize(self) -> None:
        """Fresh random weights, from torch's global generator."""

    def rebuild_buffers(self) -> None:
        """Compute what is neither a parameter nor stored in a checkpoint (rotary frequencies)."""

    def forward(
        self,
        input_ids: Tensor,  # (B, S) int64
        state: State | None = None,
        logit_indices: Tensor | None = None,  # (B, K) int64, positions among the S to read
    ) -> tuple[Tensor, State | None]:
        """Logits (B, K, V), or (B, S, V) without ``logit_indices``, and the advanced state."""
        x, state = self.hidden(input_ids, state)
        if logit_indices is not None:
            # The head is a fifth of a small model: spend it only on positions that are read.
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

    def set_dropout(self, p: float) -> None:
        """Set the rate of every dropout layer; a fresh or loaded model has 0."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = p


def build_module(config: ModelConfig) -> LanguageModule:
    """The model of a configuration, its weights as torch makes them; see ``initialize``."""
    from nlpsuite.models.decoder import DecoderLanguageModel
    from nlpsuite.models.gpt2 import GPT2LanguageModel
    from nlpsuite.models.lstm import LSTMLanguageModel

    classes: dict[type[ModelConfig], Any] = {
        DecoderConfig: DecoderLanguageModel,
        GPT2Config: GPT2LanguageModel,
        LSTMConfig: LSTMLanguageModel,
    }
    module: LanguageModule = classes[type(config)](config)
    return module


def weightless_module(config: ModelConfig, dtype: torch.dtype = torch.float32) -> LanguageModule:
    """The model with memory for its weights and nothing meaningful in it, for export and loading."""
    with torch.device("meta"):
        module = build_module(config)
    module = module.to(dtype).to_empty(device="cpu")
    module.tie()
    module.rebuild_buffers()
    return module.eval()


def load_module(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> LanguageModule:
    """Build a checkpoint's model and load its weights, one tensor at a time."""
    with torch.device("meta"):
        module = build_module(checkpoint.config)
    state = {name: torch.from_numpy(checkpoint.tensor(name)).to(dtype) for name in checkpoint.tensor_names()}
    if checkpoint.config.tied_head is not None:
        state["lm_head.weight"] = state[checkpoint.config.tied_head]
    module.load_state_dict(state, assign=True)
    module.tie()
    module.rebuild_buffers()
    return module.eval()
