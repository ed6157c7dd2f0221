"""Progress within the budget, and the learning rate at each point."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nlpsuite.training.settings import LoopSettings

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then half a cosine, over a budget of steps or of seconds."""

    settings: LoopSettings

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the budget that is used; 1 or more at the end.

        A budget of minutes follows the clock, so that a run ends on time even if the machine's speed varies;
        in return only runs by steps are reproducible bit for bit.
        """
        if self.settings.steps is not None:
            return step / self.settings.steps
        assert self.settings.minutes is not None
        return seconds / (60 * self.settings.minutes)

    def rate(self, progress: float) -> float:
        """The learning rate."""
        settings = self.settings
        if progress < settings.warmup:
            # Not 0, which would waste the first step.
            return settings.lr * max(progress / settings.warmup, 0.01)
        through = min(1.0, (progress - settings.warmup) / (1 - settings.warmup))
        share = settings.final_lr + (1 - settings.final_lr) * 0.5 * (1 + math.cos(math.pi * through))
        return settings.lr * share

    def evaluation_due(self, before: float, after: float) -> bool:
        """Whether one of the evenly spaced validations lies between two points of progress."""
        count = self.settings.evaluations
        # The last one is at the end, which rounding may miss.
        return math.floor(before * count + 1e-9) < math.floor(after * count + 1e-9) or after >= 1
