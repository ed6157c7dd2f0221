"""What a run reports while it trains, and what it returns. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from nlpsuite.models.spec import Silent

if TYPE_CHECKING:
    from nlpsuite.training.preflight import Preflight

__all__ = ["Outcome", "Reason", "RunProgress", "TrainReport", "TrainReporter", "Validation"]

Reason: TypeAlias = Literal["budget", "patience", "interrupted", "terminated"]


@dataclass
class RunProgress:
    """Where a run stands, apart from its weights and optimizer.

    Attributes:
        step: optimizer steps taken.
        seconds: spent training, summed over interruptions.
        tokens: read so far.
        best: lowest validation loss, in nats per target token.
        best_step: the step at which it was reached.
        waited: validations since then.
    """

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: float = float("inf")
    best_step: int = 0
    waited: int = 0


@dataclass(frozen=True)
class Validation:
    """The loss on held-out data, which decides which weights are best.

    Attributes:
        loss: nats per target token.
        metrics: the same in other units, such as perplexities, by name.
    """

    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Why training stopped, and where."""

    reason: Reason
    progress: RunProgress

    @property
    def finished(self) -> bool:
        """Whether the run is over, as opposed to stopped by a signal."""
        return self.reason in ("budget", "patience")


@dataclass(frozen=True)
class TrainReport:
    """What came out of a run.

    Attributes:
        run: the run's directory.
        outcome: how training ended; None after a dry run.
        result: the checkpoint directory or adapter file; None unless training finished.
    """

    run: Path
    outcome: Outcome | None
    result: Path | None


class TrainReporter(Silent):
    """Follows a run, on the main process only. Every method does nothing: override what you need.

    ``stage``, ``advance`` and ``close`` report fetching the base and building the bundle that is measured.
    """

    def preflight(self, preflight: Preflight) -> None:
        """An estimate of what the run takes, before the first step."""

    def step(self, progress: RunProgress, share: float, loss: float, tokens_per_second: float) -> None:
        """About once a second. ``share`` of the budget is used; ``loss`` is the last step's."""

    def validation(self, progress: RunProgress, validation: Validation) -> None:
        """After each look at the held-out data."""

    def notice(self, text: str) -> None:
        """Something the user should know."""
