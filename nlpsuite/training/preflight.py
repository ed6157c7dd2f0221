"""An estimate of what a run takes, before hours are spent on it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import torch

from nlpsuite.errors import TrainingError
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.runtime.peak_memory import peak_memory
from nlpsuite.training.distributed import World
from nlpsuite.training.settings import LoopSettings

__all__ = ["Preflight", "available_memory", "check_memory", "forecast"]


@dataclass(frozen=True)
class Preflight:
    """An estimate from a few batches.

    Attributes:
        parameters, trainable: number of weights.
        memory_bytes: peak of one process, optimizer included.
        available_bytes: free on the device now; None if unknown.
        tokens_per_second: of all processes together, validations excluded.
        steps: of the whole run; estimated for a budget of minutes.
        seconds: of the whole run, validations included; estimated for a budget of steps.
    """

    parameters: int
    trainable: int
    memory_bytes: int
    available_bytes: int | None
    tokens_per_second: float
    steps: int
    seconds: float

    @classmethod
    def measured(
        cls,
        module: LanguageModule,
        trainable: int,
        tokens_per_second: float,
        batch_tokens: float,
        validation_seconds: float,
        settings: LoopSettings,
        world: World,
    ) -> Preflight:
        """From the speed of all processes together on batches of ``batch_tokens``, right after they ran."""
        step_seconds = batch_tokens * settings.accumulate / tokens_per_second
        steps, seconds = forecast(settings, step_seconds, validation_seconds)
        moments = 8 * trainable // (world.size if settings.fsdp else 1)
        return cls(
            parameters=sum(p.numel() for p in module.parameters()),
            trainable=trainable,
            memory_bytes=_peak_memory(world.device) + moments,
            available_bytes=available_memory(world.device),
            tokens_per_second=tokens_per_second,
            steps=steps,
            seconds=seconds,
        )

    def warnings(self) -> list[str]:
        """What the user should consider before hours are spent."""
        if self.available_bytes is not None and self.memory_bytes > 0.9 * self.available_bytes:
            return [
                f"That is most of the {self.available_bytes / 1e9:.1f} GB of free memory. Reduce --batch-tokens if "
                "other programs need some."
            ]
        return []

    def until(self, now: datetime.datetime) -> str:
        """When it will be done, as a clock shows it; with the date if that is another day."""
        end = now + datetime.timedelta(seconds=self.seconds)
        return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"

    def __str__(self) -> str:
        trained = "" if self.trainable == self.parameters else f" ({self.trainable / 1e6:.2f} M trained)"
        return (
            f"{self.parameters / 1e6:.1f} M parameters{trained}, about {self.memory_bytes / 1e9:.1f} GB of memory, "
            f"{self.tokens_per_second:,.0f} tokens/s, about {self.steps:,} steps in {_minutes(self.seconds)}"
        )


def forecast(settings: LoopSettings, step_seconds: float, validation_seconds: float) -> tuple[int, float]:
    """Steps and seconds of a run within its budget, the seconds of its validations included.

    Stopping early for lack of improvement isn't foreseen.
    """
    validations = settings.evaluations * validation_seconds
    if settings.steps is not None:
        return settings.steps, settings.steps * step_seconds + validations
    assert settings.minutes is not None
    seconds = 60 * settings.minutes
    return max(1, round((seconds - validations) / step_seconds)), seconds


def check_memory(needed: int, world: World) -> None:
    """Raise TrainingError if weights and optimizer alone, ``needed`` bytes, don't fit into memory."""
    free = available_memory(world.device)
    if free is not None and needed > free:
        raise TrainingError(
            f"Weights, gradients and optimizer take {needed / 1e9:,.1f} GB; {free / 1e9:,.1f} GB are free on "
            f"{world.device.type}.",
            hint="Use a smaller model, an adapter instead of --full, or several GPUs: torchrun ... --fsdp.",
        )


def available_memory(device: torch.device) -> int | None:
    """Free bytes on a device, or None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _peak_memory(device: torch.device) -> int:
    """Peak memory of this process in bytes; 0 if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return peak_memory() or 0


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
