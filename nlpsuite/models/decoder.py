"""The decoder language model of the Llama family and its relatives, in one file.

One definition serves training, reference runs and export. Parameter names follow Hugging
Face checkpoints, so loading is ``load_state_dict``. Shapes in comments use

    B  rows (slots)         S  new tokens per row      M  positions attention reads
    D  hidden size          H  attention heads         G  key-value heads
    d  head dimension       r  rotated dimensions of a head
    V  vocabulary

Sources: Touvron et al. 2023 (arXiv:2302.13971); rotary embedding, Su et al. 2021
(arXiv:2104.09864); grouped queries, Ainslie et al. 2023 (arXiv:2305.13245); RMSNorm,
Zhang & Sennrich 2019 (arXiv:1910.07467); SwiGLU, Shazeer 2020 (arXiv:2002.05202); query and
key norms, Qwen3 (arXiv:2505.09388).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
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
    """Rotary embedding of (B, H, S, d) by (B, S, r/2) cosines and sines, halves layout; r ≤ d is rotated."""
    r = 2 * cos.shape[2]
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.rotary_embedding(x, cos, sin, rotary_embedding_dim=0 if r == x.shape[3] else r)
    a, b, rest = x[..., : r // 2], x[..., r // 2 : r], x[..., r:]
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)


class RMSNorm(nn.RMSNorm):
    """RMSNorm (Zhang & Sennrich 2019) whose factors are its weights plus an offset."""

    def __init__(self, size: int, config: DecoderConfig) -> None:
        super().__init__(size, eps=config.rms_norm_eps)
        self.offset = config.traits.norm_offset

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        weight = self.weight + self.offset if self.offset else self.weight
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        heads, groups, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        traits = config.traits
        self.heads, self.groups, self.head_dim = heads, groups, d
        self.scale = config.score_scale
        self.rotary = None if layer in config.no_rope_layers else int(layer in config.local_layers)
        self.q_proj = nn.Linear(config.hidden_size, heads * d, bias=traits.qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, groups * d, bias=traits.qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, groups * d, bias=traits.qkv_bias)
        self.o_proj = nn.Linear(heads * d, config.hidden_size, bias=False)
        self.norm_heads = traits.qk_norm == "head"
        self.q_norm: nn.Module = nn.Identity()
        self.k_norm: nn.Module = nn.Identity()
        if traits.qk_norm != "none":
            self.q_norm = RMSNorm(d if self.norm_heads else heads * d, config)
            self.k_norm = RMSNorm(d if self.norm_heads else groups * d, config)

    def forward(
        self,
        x: Tensor,  # (B, S, D)
        rotary: Sequence[tuple[Tensor, Tensor]],  # of full and of local layers, each 2 × (B, S, r/2)
        mask: Tensor | None,  # (B, 1, S, M), true where attention may look
        layer: int,
        state: State | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, S, _ = x.shape
        q = self._heads(self.q_proj(x), self.q_norm, self.heads)
        k = self._heads(self.k_proj(x), self.k_norm, self.groups)
        v = self.v_proj(x).view(B, S, self.groups, self.head_dim).transpose(1, 2)
        if self.rotary is not None:
            q, k = rotate(q, *rotary[self.rotary]), rotate(k, *rotary[self.rotary])
        if state is not None:
            k, v = state.extend(layer, k, v)
        y = attend(q, k, v, mask, self.scale)
        return self.o_proj(y.transpose(1, 2).reshape(B, S, -1)), (k, v)

    def _heads(self, x: Tensor, norm: nn.Module, heads: int) -> Tensor:
        """(B, S, heads · d) -> (B, heads, S, d), normed."""
        split = (*x.shape[:2], heads, self.head_dim)
        x = norm(x.view(split)) if self.norm_heads else norm(x).view(split)
        return x.transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.silu = config.traits.activation == "silu"

    def forward(self, x: Tensor) -> Tensor:  # (B, S, D) -> (B, S, D)
        gate = self.gate_proj(x)
        gate = F.silu(gate) if self.silu else F.gelu(gate, approximate="tanh")
        out: Tensor = self.down_proj(gate * self.up_proj(x))
        return out


class DecoderLayer(nn.Module):
    """Attention and gated unit, each with the norms that the family has before and after it."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)
        self.norms, self.scale = config.norms, config.residual_scale
        for name in filter(None, dataclasses.astuple(self.norms)):
            setattr(self, name, RMSNorm(config.hidden_size, config))
        self.dropout = nn.Dropout(0.0)

    def forward(
        self,
        x: Tensor,
        rotary: Sequence[tuple[Tensor, Tensor]],
        mask: Tensor | None,
        layer: int,
        state: State | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        norms = self.norms
        y, cache = self.self_attn(self._norm(norms.before_attention, x), rotary, mask, layer, state)
        x = self._add(x, self._norm(norms.after_attention, y))
        y = self.mlp(self._norm(norms.before_mlp, x))
        return self._add(x, self._norm(norms.after_mlp, y)), cache

    def _norm(self, name: str | None, x: Tensor) -> Tensor:
        normed: Tensor = getattr(self, name)(x) if name else x
        return normed

    def _add(self, x: Tensor, y: Tensor) -> Tensor:
        y = self.dropout(y)
        return x + y if self.scale == 1 else x + self.scale * y


class Decoder(nn.Module):
    """Everything below the head; a module of its own so that names match the checkpoints."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config)
        self.dropout = nn.Dropout(0.0)


class DecoderLanguageModel(AttentionModule):
    """A causal language model; see the module's docstring for shapes."""

    residual_writers = ("o_proj.weight", "down_proj.weight")
    config: DecoderConfig
    frequencies: Tensor
    local_frequencies: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.window, self.local_layers = config.sliding_window, frozenset(config.local_layers)
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        self.rebuild_buffers()

    def rebuild_buffers(self) -> None:
        """The (r/2,) inverse frequencies: always float32, whatever the weights are."""
        for name, local in (("frequencies", False), ("local_frequencies", True)):
            values = self.config.rotary_frequencies(local=local)
            values_tensor = torch.tensor(values, dtype=torch.float32, device="cpu")
            self.register_buffer(name, values_tensor, persistent=False)

    def embed(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        x = self.model.embed_tokens(input_ids)  # (B, S, D)
        if self.config.embedding_scale != 1:
            x = x * self.config.embedding_scale
        magnitude, local_magnitude = (self.config.rotary_magnitude(local=local) for local in (False, True))
        rotary = [self._rotary(positions, self.frequencies, magnitude, x.dtype)]
        if self.local_layers:
            rotary.append(self._rotary(positions, self.local_frequencies, local_magnitude, x.dtype))
        return self.model.dropout(x), (rotary,)

    def _rotary(
        self, positions: Tensor, frequencies: Tensor, magnitude: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines (B, S, r/2)."""
        angles = positions[:, :, None].to(torch.float32) * frequencies
        cos, sin = angles.cos(), angles.sin()
        if magnitude != 1:
            cos, sin = cos * magnitude, sin * magnitude
        return cos.to(dtype), sin.to(dtype)

    def layers(self) -> Iterable[nn.Module]:
        return self.model.layers

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.model.norm(x))
        return logits if self.config.logit_scale == 1 else logits * self.config.logit_scale

    def initialize(self) -> None:
        super().initialize()
        offset = self.config.traits.norm_offset
        for norm in self.modules():
            if offset and isinstance(norm, RMSNorm):
                nn.init.constant_(norm.weight, 1 - offset)
