"""GPT-2, in one file; shapes use the letters of ``decoder`` (here G is H).

Parameter names follow Hugging Face checkpoints; matrices are (outputs, inputs), where those
checkpoints store them transposed. Source: Radford et al. 2019, "Language Models are Unsupervised
Multitask Learners".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.attention import attend
from nlpsuite.models.config import GPT2Config
from nlpsuite.models.module_base import AttentionModule
from nlpsuite.models.state import State

__all__ = ["GPT2LanguageModel"]


class Attention(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.heads, self.head_dim = config.n_head, config.head_dim
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(
        self, x: Tensor, mask: Tensor | None, layer: int, state: State | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, S, D = x.shape
        shape = (B, S, self.heads, self.head_dim)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.c_attn(x).split(D, dim=2))
        if state is not None:
            k, v = state.extend(layer, k, v)
        y = attend(q, k, v, mask)
        return self.c_proj(y.transpose(1, 2).reshape(B, S, D)), (k, v)


class MLP(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:  # (B, S, D) -> (B, S, D)
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(0.0)

    def forward(
        self, x: Tensor, mask: Tensor | None, layer: int, state: State | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, cache = self.attn(self.ln_1(x), mask, layer, state)
        x = x + self.dropout(y)
        return x + self.dropout(self.mlp(self.ln_2(x))), cache


class Transformer(nn.Module):
    """Everything below the head; a module of its own so that names match the checkpoints."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(0.0)


class GPT2LanguageModel(AttentionModule):
    """A causal language model of the GPT-2 architecture."""

    residual_writers = ("c_proj.weight",)
    config: GPT2Config

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie()

    def embed(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        # Padding after a row's end may lie past the last position: any embedding will do there.
        positions = positions.clamp(max=self.config.n_positions - 1)
        x = self.transformer.wte(input_ids) + self.transformer.wpe(positions)  # (B, S, D)
        return self.transformer.dropout(x), ()

    def layers(self) -> Iterable[nn.Module]:
        return self.transformer.h

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.transformer.ln_f(x))
        return logits
