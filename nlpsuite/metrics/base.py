"""What a metric is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Metric"]


class Metric(Protocol):
    """A figure of how good outputs are: what the hook ``nlpsuite_metric`` returns.

    Its docstring names the range and the source of the definition. More is better.
    """

    def __call__(self, outputs: Sequence[str], references: Sequence[str], /) -> float:
        """The figure of outputs against a reference answer each.

        Raises:
            InputInvalidError: none at all, or not as many references as outputs.
        """
