"""The decoder language model of the Llama family, in one file.

One definition serves training, reference runs and export. Parameter names follow Hugging
Face checkpoints, so loading is ``load_state_dict``. Shapes in comments use

    B  rows (slots)         S  new tokens per row      M  cache length
    D  hidden size          H  attention heads         G  key-value heads
    d  head dimension       K  positions read          V  vocabulary

Sources: Touvron et al. 2023 (arXiv:2302.13971); rotary embedding, Su et al. 2021
(arXiv:2104.09864); grouped queries, Ainslie et al. 2023 (arXiv:2305.13245); RMSNorm,
Zhang & Sennrich 2019 (arXiv:1910.07467); SwiGLU, Shazeer 2020 (arXiv:2002.05202).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig

__all__ = ["DecoderLanguageModel", "SlotState", "empty_state"]


class SlotState(NamedTuple):
    """Where each row of the running batch stands.

    Attributes:
        write_indices: (B,) int64; the position in its row's cache at which the row's first
            new token is written, that is, the number of tokens the row has already seen.
        caches: per layer the keys and the values, each (B, G, M, d).
    """

    write_indices: Tensor
    caches: tuple[tuple[Tensor, Tensor], ...]


def empty_state(config: DecoderConfig, rows: int, length: int) -> SlotState:
    """A state for ``rows`` fresh rows of at most ``length`` tokens each."""
    shape = (rows, config.num_key_value_heads, length, config.head_dim)
    caches = tuple((torch.zeros(shape), torch.zeros(shape)) for _ in range(config.num_hidden_layers))
    return SlotState(torch.zeros(rows, dtype=torch.int64), caches)


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
    positions = write_indices[:, None] + torch.arange(new.shape[2])  # (B, S)
    return cache.scatter(2, positions[:, None, :, None].expand_as(new), new)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (B, H, S, d) by (B, S, d/2) cosines and sines, halves layout."""
    return torch.onnx.ops.rotary_embedding(x, cos, sin)


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        heads, groups, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.heads, self.groups, self.head_dim = heads, groups, d
        self.q_proj = nn.Linear(config.hidden_size, heads * d, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, groups * d, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, groups * d, bias=False)
        self.o_proj = nn.Linear(heads * d, config.hidden_size, bias=False)

    def forward(
        self,
        x: Tensor,  # (B, S, D)
        rotary: tuple[Tensor, Tensor],  # 2 × (B, S, d/2)
        mask: Tensor | None,  # (B, 1, S, M), true where attention may look
        state: tuple[Tensor, Tensor, Tensor] | None,  # keys, values, write_indices
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, S, _ = x.shape
        q = rotate(self.q_proj(x).view(B, S, self.heads, self.head_dim).transpose(1, 2), *rotary)
        k = rotate(self.k_proj(x).view(B, S, self.groups, self.head_dim).transpose(1, 2), *rotary)
        v = self.v_proj(x).view(B, S, self.groups, self.head_dim).transpose(1, 2)
        if state is not None:
            keys, values, write_indices = state
            k, v = write_slots(keys, k, write_indices), write_slots(values, v, write_indices)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
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

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
        state: tuple[Tensor, Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, cache = self.self_attn(self.input_layernorm(x), rotary, mask, state)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), cache


class Decoder(nn.Module):
    """Everything below the head; a module of its own so that names match the checkpoints."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class DecoderLanguageModel(nn.Module):
    """A causal language model; see the module's docstring for shapes."""

    inv_freq: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.register_buffer("inv_freq", self.rotary_frequencies(), persistent=False)

    def rotary_frequencies(self) -> Tensor:
        """(d/2,) inverse frequencies, always on the CPU, also while building on ``meta``."""
        with torch.device("cpu"):
            exponents = torch.arange(0, self.config.head_dim, 2, dtype=torch.float32) / self.config.head_dim
            return self.config.rope_theta**-exponents

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> DecoderLanguageModel:
        """Build the model and load its weights, in float32."""
        with torch.device("meta"):
            model = cls(checkpoint.config)
        state = {name: torch.from_numpy(checkpoint.tensor(name)) for name in checkpoint.tensor_names()}
        if checkpoint.config.tie_word_embeddings:
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        model.load_state_dict(state, assign=True)
        model.inv_freq = model.rotary_frequencies()
        return model.eval()

    def forward(
        self,
        input_ids: Tensor,  # (B, S) int64
        state: SlotState | None = None,
        logit_indices: Tensor | None = None,  # (B, K) int64, positions among the S to read
    ) -> tuple[Tensor, SlotState | None]:
        """Logits (B, K, V), or (B, S, V) without ``logit_indices``, and the advanced state.

        Without a state the S tokens are the whole sequence and attend causally (training).
        With one, row b's tokens follow the ``state.write_indices[b]`` tokens it has seen;
        padding on the right of a row is harmless, since later tokens overwrite it.
        """
        B, S = input_ids.shape
        mask = None
        positions = torch.arange(S, device=input_ids.device)[None, :].expand(B, S)
        if state is not None:
            positions = state.write_indices[:, None] + positions
            length = state.caches[0][0].shape[2]
            seen = torch.arange(length, device=input_ids.device)[None, None, None, :]
            mask = seen <= positions[:, None, :, None]  # (B, 1, S, M)
        angles = positions[:, :, None].to(torch.float32) * self.inv_freq  # (B, S, d/2)
        rotary = (angles.cos(), angles.sin())

        x = self.model.embed_tokens(input_ids)  # (B, S, D)
        caches = []
        for i, layer in enumerate(self.model.layers):
            slots = None if state is None else (*state.caches[i], state.write_indices)
            x, cache = layer(x, rotary, mask, slots)
            caches.append(cache)
        if logit_indices is not None:
            # The head is a fifth of a small model: spend it only on positions that are read.
            x = x.gather(1, logit_indices[:, :, None].expand(-1, -1, x.shape[2]))  # (B, K, D)
        logits = self.lm_head(self.model.norm(x))
        if state is None:
            return logits, None
        return logits, SlotState(state.write_indices + S, tuple(caches))
