"""GPT-NeoX, in one file; shapes use the letters of ``decoder`` (here G is H).

Parameter names follow Hugging Face checkpoints, but for the head, which these call ``embed_out``. Sources: Black et
al. 2022 (arXiv:2204.06745); Pythia, Biderman et al. 2023 (arXiv:2304.01373).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.attention import attend
from nlpsuite.models.config import GPTNeoXConfig
from nlpsuite.models.decoder import rotate
from nlpsuite.models.module_base import AttentionModule
from nlpsuite.models.state import State

__all__ = ["GPTNeoXLanguageModel"]


class Attention(nn.Module):
    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, layer: int, state: State | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, S, D = x.shape
        stacked = self.query_key_value(x).view(B, S, self.heads, 3 * self.head_dim).transpose(1, 2)
        q, k, v = stacked.split(self.head_dim, dim=3)  # (B, H, S, d)
        q, k = rotate(q, *rotary), rotate(k, *rotary)
        if state is not None:
            k, v = state.extend(layer, k, v)
        y = attend(q, k, v, mask)
        return self.dense(y.transpose(1, 2).reshape(B, S, D)), (k, v)


class MLP(nn.Module):
    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.intermediate_size)
        self.dense_4h_to_h = nn.Linear(config.intermediate_size, config.hidden_size)
        self.form = "none" if config.hidden_act == "gelu" else "tanh"

    def forward(self, x: Tensor) -> Tensor:  # (B, S, D) -> (B, S, D)
        out: Tensor = self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x), approximate=self.form))
        return out


class Layer(nn.Module):
    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention, self.mlp = Attention(config), MLP(config)
        self.parallel = config.use_parallel_residual
        self.dropout = nn.Dropout(0.0)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, layer: int, state: State | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, cache = self.attention(self.input_layernorm(x), rotary, mask, layer, state)
        after = x + self.dropout(y)
        read = x if self.parallel else after
        return after + self.dropout(self.mlp(self.post_attention_layernorm(read))), cache


class NeoX(nn.Module):
    """Everything below the head; a module of its own so that names match the checkpoints."""

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(0.0)


class GPTNeoXLanguageModel(AttentionModule):
    """A causal language model of the GPT-NeoX architecture."""

    residual_writers = ("attention.dense.weight", "dense_4h_to_h.weight")
    config: GPTNeoXConfig
    frequencies: Tensor

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.config = config
        self.gpt_neox = NeoX(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        self.rebuild_buffers()

    def rebuild_buffers(self) -> None:
        """The (r/2,) inverse frequencies: always float32, whatever the weights are."""
        values = torch.tensor(self.config.rotary_frequencies(), dtype=torch.float32, device="cpu")
        self.register_buffer("frequencies", values, persistent=False)

    def embed(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        x = self.gpt_neox.embed_in(input_ids)  # (B, S, D)
        angles = positions[:, :, None].to(torch.float32) * self.frequencies
        rotary = (angles.cos().to(x.dtype), angles.sin().to(x.dtype))  # 2 × (B, S, r/2)
        return self.gpt_neox.dropout(x), (rotary,)

    def layers(self) -> Iterable[nn.Module]:
        return self.gpt_neox.layers

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.gpt_neox.final_layer_norm(x))
        return logits
