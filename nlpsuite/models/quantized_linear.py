"""Frozen linear layers whose weights stay in the blocks of a GGUF file (QLoRA, Dettmers et al. 2023, arXiv:2305.14314).

A layer's weights are dequantised when it is called and once more when gradients pass through it, so that memory
holds one layer's floats at a time.

Source of the layouts: ``block_q4_0`` and so on in ggml-common.h; see also ``export.stored_blocks``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nlpsuite.models.checkpoint_base import Checkpoint, RawTensor
from nlpsuite.models.language_module import build_module
from nlpsuite.models.module_base import LanguageModule

__all__ = ["BLOCK_TYPES", "QuantizedLinear", "dequantize", "load_quantized_module"]


def _half(values: Tensor) -> Tensor:
    """Pairs of bytes (…, 2n) as float16, in float32 (…, n)."""
    return values.contiguous().view(torch.float16).to(torch.float32)


def _nibbles(values: Tensor) -> Tensor:
    """(…, n) bytes to (…, 2n) levels: the lower halves come first."""
    return torch.cat((values & 15, values >> 4), dim=-1)


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks[..., :2]) * (_nibbles(blocks[..., 2:]).to(torch.float32) - 8)


def _q4_1(blocks: Tensor) -> Tensor:
    both = _half(blocks[..., :4])
    return both[..., :1] * _nibbles(blocks[..., 4:]).to(torch.float32) + both[..., 1:]


def _q8_0(blocks: Tensor) -> Tensor:
    return _half(blocks[..., :2]) * blocks[..., 2:].contiguous().view(torch.int8).to(torch.float32)


def _q4_k(blocks: Tensor) -> Tensor:
    rows, count = blocks.shape[:2]
    factors = _half(blocks[..., :4])
    packed = blocks[..., 4:16].reshape(rows, count, 3, 4)
    first, second, third = packed.unbind(2)
    scales = torch.cat((first & 63, third & 15 | first >> 6 << 4), dim=-1).to(torch.float32)
    minimums = torch.cat((second & 63, third >> 4 | second >> 6 << 4), dim=-1).to(torch.float32)
    levels = (
        _nibbles(blocks[..., 16:].reshape(rows, count, 4, 32)).reshape(rows, count, 8, 32).to(torch.float32)
    )
    scaled = (factors[..., :1] * scales)[..., None] * levels
    return (scaled - (factors[..., 1:] * minimums)[..., None]).flatten(2)


def _q6_k(blocks: Tensor) -> Tensor:
    rows, count = blocks.shape[:2]
    low, high = blocks[..., :128], blocks[..., 128:192]
    scales = blocks[..., 192:208].contiguous().view(torch.int8).to(torch.float32)
    low = low.reshape(rows, count, 2, 1, 64)
    low = torch.cat((low & 15, low >> 4), dim=3).reshape(rows, count, 8, 32)
    high = high.reshape(rows, count, 2, 1, 32)
    high = torch.cat([high >> shift & 3 for shift in (0, 2, 4, 6)], dim=3).reshape(rows, count, 8, 32)
    levels = (low | high << 4).to(torch.float32).reshape(rows, count, 16, 16) - 32
    return ((_half(blocks[..., 208:]) * scales)[..., None] * levels).flatten(2)


# Bytes of a block, and its weights.
_LAYOUTS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q8_0": (34, _q8_0),
    "Q4_K": (144, _q4_k),
    "Q6_K": (210, _q6_k),
}
BLOCK_TYPES = tuple(_LAYOUTS)
"""ggml's types that a layer can hold."""


def dequantize(blocks: Tensor, type: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weights (rows, columns) of rows of blocks (rows, bytes) uint8, computed in float32."""
    size, decode = _LAYOUTS[type]
    return decode(blocks.view(len(blocks), -1, size)).flatten(1).to(dtype)


class _Product(torch.autograd.Function):
    """x · Wᵀ, with W in blocks and no gradient of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Tensor, type: str) -> Tensor:
        ctx.save_for_backward(blocks)
        ctx.type, ctx.dtype = type, x.dtype
        return x @ dequantize(blocks, type, x.dtype).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (blocks,) = ctx.saved_tensors
        return gradients[0] @ dequantize(blocks, ctx.type, gradients[0].dtype), None, None


class QuantizedLinear(nn.Module):
    """A frozen linear layer; gradients pass through it to its input.

    Args:
        raw: the weights (outputs, inputs), of one of ``BLOCK_TYPES``.
        bias: (outputs,), or None.
    """

    blocks: Tensor

    def __init__(self, raw: RawTensor, in_features: int, bias: Tensor | None = None) -> None:
        super().__init__()
        self.storage, self.in_features, self.out_features = raw.type, in_features, len(raw.blocks)
        self.register_buffer("blocks", torch.from_numpy(raw.blocks), persistent=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:  # (..., inputs) -> (..., outputs)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        y: Tensor = _Product.apply(x, self.blocks, self.storage)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias.to(y.dtype)


def load_quantized_module(
    checkpoint: Checkpoint, dtype: torch.dtype, quantize: Callable[[Checkpoint, str], RawTensor]
) -> LanguageModule:
    """A checkpoint's model whose linear layers, but the head, are ``QuantizedLinear``; the rest in ``dtype``.

    Args:
        quantize: gives the blocks of a matrix that the checkpoint doesn't have in one of ``BLOCK_TYPES``.
    """
    with torch.device("meta"):
        module = build_module(checkpoint.config)
    layers = [
        name for name, layer in module.named_modules() if isinstance(layer, nn.Linear) and name != "lm_head"
    ]

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(checkpoint.tensor(name)).to(dtype)

    for name in layers:
        parent, _, kind = name.rpartition(".")
        stored = checkpoint.quantized(f"{name}.weight")
        if stored is None or stored.type not in BLOCK_TYPES:
            stored = quantize(checkpoint, f"{name}.weight")
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        bias = None if layer.bias is None else tensor(f"{name}.bias")
        setattr(module.get_submodule(parent), kind, QuantizedLinear(stored, layer.in_features, bias))
    done = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    state = {name: tensor(name) for name in checkpoint.tensor_names() if name not in done}
    if checkpoint.config.tied_head is not None:
        state["lm_head.weight"] = state[checkpoint.config.tied_head]
    module.load_state_dict(state, strict=False, assign=True)
    module.tie()
    module.rebuild_buffers()
    return module.eval()
