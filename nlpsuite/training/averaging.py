"""An exponential moving average of the weights, which generalizes better than the weights of any one step.

Source: Polyak & Juditsky 1992, Acceleration of stochastic approximation by averaging. Merity et al. 2017
(arXiv:1708.02182) average the last steps of their LSTM; the moving average needs no point at which to begin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """The moving average of some parameters.

    Args:
        parameters: by name; the average begins with their present values.
        decay: share of the average that a step leaves as it is, below 1.

    Attributes:
        means: the averages, of the parameters' names and shapes.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters, self._decay = parameters, decay
        self.means: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after ``step`` steps."""
        # The random weights of the beginning would otherwise stay in for 1 / (1 - decay) steps.
        decay = min(self._decay, (1 + step) / (10 + step))
        # A few kernels for all parameters, not one for each.
        torch._foreach_lerp_(list(self.means.values()), list(self._parameters.values()), 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the parameters hold the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            value = parameter.detach().clone()
            parameter.copy_(self.means[name])
            self.means[name].copy_(value)
