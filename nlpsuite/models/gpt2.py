"""GPT-2, in one file; shapes use the letters of ``decoder`` (here G is H).

Parameter names follow Hugging Face checkpoints; matrices are (outputs, inputs), where those
checkpoints store them transposed. Source: Radford et al. 2019, "Language Models are Unsupervised
Multitask Learners".
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.attention import attend
from nlpsuite.models.config import GPT2Config
from nlpsuite.models.language_module import LanguageModule
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


class GPT2LanguageModel(LanguageModule):
    """A causal language model of the GPT-2 architecture."""

    config: GPT2Config

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie()

    def initialize(self) -> None:
        residual = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=residual if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)

    def hidden(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        B, S = input_ids.shape
        if state is None:
            mask = None
            positions = torch.arange(S, device=input_ids.device)[None, :].expand(B, S)
        else:
            mask, positions = state.mask(S), state.positions(S)
        # Padding behind a row's end may lie past the last position: any embedding will do there.
        positions = positions.clamp(max=self.config.n_positions - 1)
        x = self.transformer.wte(input_ids) + self.transformer.wpe(positions)  # (B, S, D)
        x = self.transformer.dropout(x)
        caches: list[Tensor] = []
        for i, block in enumerate(self.transformer.h):
            x, cache = block(x, mask, i, state)
            caches.extend(cache)
        return x, None if state is None else state.advanced(S, tuple(caches))

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.transformer.ln_f(x))
        return logits
