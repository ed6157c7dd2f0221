"""Low-rank adapters on a model's linear layers (Hu et al. 2021, arXiv:2106.09685).

A layer y = W x becomes y = W x + (alpha / r) · B (A x) with W frozen, A (r, inputs) random and
B (outputs, r) zero, so that training starts from the base.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlpsuite.errors import OptionError
from nlpsuite.models.module_base import LanguageModule
from nlpsuite.models.quantized_linear import QuantizedLinear

__all__ = ["LoRALinear", "add_lora", "linear_layers", "lora_parameters"]


class LoRALinear(nn.Module):
    """A frozen linear layer with a trainable low-rank part in float32."""

    def __init__(self, base: nn.Linear | QuantizedLinear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(0.0)
        device = (base.blocks if isinstance(base, QuantizedLinear) else base.weight).device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:  # (..., inputs) -> (..., outputs)
        inner = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
        out: Tensor = self.base(x) + F.linear(inner, (self.lora_B * self.scale).to(x.dtype))
        return out


def linear_layers(module: LanguageModule) -> dict[str, nn.Linear | QuantizedLinear]:
    """Name to layer of every linear layer but the head."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | QuantizedLinear) and name != "lm_head"
    }


def add_lora(module: LanguageModule, *, rank: int, alpha: float, targets: Iterable[str] = ()) -> list[str]:
    """Freeze the model and put a trainable low-rank part beside its linear layers.

    Args:
        targets: last parts of the layers' names, such as ``q_proj``; empty takes every linear layer
            but the head.

    Returns:
        The names of the changed layers, in the model's order.

    Raises:
        OptionError: an unknown target, a rank that is too high, or a model without linear layers. The
            model is unchanged then.
    """
    layers = linear_layers(module)
    if not layers:
        raise OptionError(
            "This model has no linear layers that an adapter could change.",
            hint="Train all of its weights: --full.",
        )
    kinds = {name.rpartition(".")[2] for name in layers}
    wanted = set(targets) or kinds
    if unknown := sorted(wanted - kinds):
        raise OptionError(
            f"This model has no linear layer called {unknown[0]!r}.",
            hint=f"Targets: {', '.join(sorted(kinds))}.",
        )
    chosen = {name: layer for name, layer in layers.items() if name.rpartition(".")[2] in wanted}
    for name, layer in chosen.items():
        highest = min(layer.in_features, layer.out_features)
        if not 0 < rank <= highest:
            raise OptionError(
                f"Rank {rank} is out of range for {name} ({layer.out_features} × {layer.in_features}).",
                hint=f"Use 1 to {highest}, or leave {name.rpartition('.')[2]} out of the targets.",
            )
    module.requires_grad_(False)
    for name, layer in chosen.items():
        parent, _, kind = name.rpartition(".")
        setattr(module.get_submodule(parent), kind, LoRALinear(layer, rank, alpha))
    return list(chosen)


def lora_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable part: ``<layer>.lora_A.weight`` and ``<layer>.lora_B.weight``, as adapters name them."""
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, LoRALinear):
            found[f"{name}.lora_A.weight"] = layer.lora_A
            found[f"{name}.lora_B.weight"] = layer.lora_B
    return found
