"""The decoder language model of the Llama family, in one file.

One definition serves training, reference runs and export. Parameter names follow Hugging
Face checkpoints, so loading is ``load_state_dict``. Shapes in comments use

    B  rows (slots)         S  new tokens per row      M  positions attention reads
    D  hidden size          H  attention heads         G  key-value heads
    d  head dimension       V  vocabulary

Sources: Touvron et al. 2023 (arXiv:2302.13971); rotary embedding, Su et al. 2021
(arXiv:2104.09864); grouped queries, Ainslie et al. 2023 (arXiv:2305.13245); RMSNorm,
Zhang & Sennrich 2019 (arXiv:1910.07467); SwiGLU, Shazeer 2020 (arXiv:2002.05202); query and
key norms, Qwen3 (arXiv:2505.09388).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.attention import attend
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.module_base import AttentionModule
from nlpsuite.models.state import State

__all__ = ["DecoderLanguageModel"]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (B, H, S, d) by (B, S, d/2) cosines and sines, halves layout."""
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.rotary_embedding(x, cos, sin)
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        heads, groups, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.heads, self.groups, self.head_dim = heads, groups, d
        self.q_proj = nn.Linear(config.hidden_size, heads * d, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, groups * d, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, groups * d, bias=config.qkv_bias)
        self.o_proj = nn.Linear(heads * d, config.hidden_size, bias=False)
        self.q_norm: nn.Module = nn.RMSNorm(d, eps=config.rms_norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm: nn.Module = nn.RMSNorm(d, eps=config.rms_norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self,
        x: Tensor,  # (B, S, D)
        rotary: tuple[Tensor, Tensor],  # 2 × (B, S, d/2)
        mask: Tensor | None,  # (B, 1, S, M), true where attention may look
        layer: int,
        state: State | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, S, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, S, self.heads, self.head_dim)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(B, S, self.groups, self.head_dim)).transpose(1, 2)
        v = self.v_proj(x).view(B, S, self.groups, self.head_dim).transpose(1, 2)
        q, k = rotate(q, *rotary), rotate(k, *rotary)
        if state is not None:
            k, v = state.extend(layer, k, v)
        y = attend(q, k, v, mask)
        return self.o_proj(y.transpose(1, 2).reshape(B, S, -1)), (k, v)


class MLP(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, S, D) -> (B, S, D)
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class DecoderLayer(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.dropout = nn.Dropout(0.0)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
        layer: int,
        state: State | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, cache = self.self_attn(self.input_layernorm(x), rotary, mask, layer, state)
        x = x + self.dropout(y)
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x))), cache


class Decoder(nn.Module):
    """Everything below the head; a module of its own so that names match the checkpoints."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.dropout = nn.Dropout(0.0)


class DecoderLanguageModel(AttentionModule):
    """A causal language model; see the module's docstring for shapes."""

    residual_writers = ("o_proj.weight", "down_proj.weight")
    config: DecoderConfig
    inv_freq: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        self.rebuild_buffers()

    def rebuild_buffers(self) -> None:
        """The (d/2,) inverse frequencies: always float32, whatever the weights are."""
        frequencies = torch.tensor(self.config.rotary_frequencies(), dtype=torch.float32, device="cpu")
        self.register_buffer("inv_freq", frequencies, persistent=False)

    def embed(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        x = self.model.dropout(self.model.embed_tokens(input_ids))  # (B, S, D)
        angles = positions[:, :, None].to(torch.float32) * self.inv_freq  # (B, S, d/2)
        rotary = (angles.cos().to(x.dtype), angles.sin().to(x.dtype))
        return x, (rotary,)

    def layers(self) -> Iterable[nn.Module]:
        return self.model.layers

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.model.norm(x))
        return logits
