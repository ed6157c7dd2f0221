"""What a device makes faster: bfloat16, fused updates, compiled layers. Decided in one place, by device and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nlpsuite.training.settings import LoopSettings

__all__ = [
    "allow_tf32",
    "compile_layers",
    "compiles",
    "module_lists",
    "optimizer_arguments",
    "undo_compile",
    "uses_bf16",
]

# Compiling takes up to a minute, so it has to have time to pay.
_LEAST_MINUTES = 3.0


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether matrix products are in bfloat16; ``auto`` asks the hardware."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def allow_tf32(precision: str, device: torch.device) -> bool:
    """Whether products of float32 may be rounded to TF32: on CUDA, unless fp32 was asked for."""
    return device.type == "cuda" and precision != "fp32"


def optimizer_arguments(device: torch.device) -> dict[str, Any]:
    """Arguments of torch's Adam and AdamW: one kernel for all parameters where there is one."""
    return {"fused": True} if device.type in ("cpu", "cuda") else {"foreach": True}


def compiles(settings: LoopSettings, device: torch.device) -> bool:
    """Whether layers are compiled; ``auto`` does so on CUDA, for runs that are long enough. Never with shards."""
    if settings.compile != "auto":
        return settings.compile == "on"
    long = settings.minutes is None or settings.minutes >= _LEAST_MINUTES
    return device.type == "cuda" and long and not settings.fsdp


def module_lists(module: nn.Module) -> list[nn.Module]:
    """The layers of a model."""
    return [layer for part in module.modules() if isinstance(part, nn.ModuleList) for layer in part]


def compile_layers(module: nn.Module, backend: str | Callable[..., Any] = "inductor") -> int:
    """Have each layer compiled when it is first called; returns their number.

    Layers instead of the whole model: they share their code, so that one is compiled and not thirty, and what has
    data-dependent shapes, such as the positions with a target, stays outside.
    """
    layers = module_lists(module)
    for layer in layers:
        layer.compile(backend=backend, dynamic=True)  # no two batches have the same shape
    return len(layers)


def undo_compile(module: nn.Module) -> None:
    """Call the layers as they are again."""
    for layer in module_lists(module):
        layer._compiled_call_impl = None
