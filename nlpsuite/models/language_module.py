"""The torch model of a configuration or a checkpoint."""

from __future__ import annotations

from typing import Any

import torch

from nlpsuite.models.checkpoint_base import Checkpoint
from nlpsuite.models.config import DecoderConfig, GPT2Config, GPTNeoXConfig, LSTMConfig, ModelConfig
from nlpsuite.models.decoder import DecoderLanguageModel
from nlpsuite.models.gpt2 import GPT2LanguageModel
from nlpsuite.models.gpt_neox import GPTNeoXLanguageModel
from nlpsuite.models.lstm import LSTMLanguageModel
from nlpsuite.models.module_base import LanguageModule

__all__ = ["LanguageModule", "build_module", "load_module", "weightless_module"]


def build_module(config: ModelConfig) -> LanguageModule:
    """The model of a configuration, its weights as torch makes them; see ``initialize``."""
    classes: dict[type[ModelConfig], Any] = {
        DecoderConfig: DecoderLanguageModel,
        GPT2Config: GPT2LanguageModel,
        GPTNeoXConfig: GPTNeoXLanguageModel,
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
