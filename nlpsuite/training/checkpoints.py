"""Checkpoints of a run: written whole or not at all, read by any number of processes.

    weights.safetensors      the trainable parameters
    optimizer.safetensors    per parameter the two running means of Adam
    state.json               where the run stands

No pickles: opening a checkpoint runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpsuite.errors import BundleCorruptError, OptionError
from nlpsuite.files import atomic_directory
from nlpsuite.training.distributed import World, full_tensor, place_like

__all__ = ["Progress", "gathered", "load_checkpoint", "load_weights", "save_checkpoint", "save_weights"]

_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_MEANS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """RunTarget a run stands, apart from weights and optimizer.

    Attributes:
        step: optimizer steps done.
        seconds: spent training, over all its parts.
        tokens: read so far.
        best: lowest validation loss, nats per token.
        best_step: where it was.
        waited: evaluations since then.
    """

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: float = float("inf")
    best_step: int = 0
    waited: int = 0


def save_checkpoint(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: Optimizer,
    progress: Progress,
    world: World,
) -> None:
    """Write a checkpoint at ``path``. Every process must call it, since shards are gathered; one writes.

    Raises:
        StorageError: the disk is full or the place can't be written.
    """
    weights = gathered(parameters, world)
    means = {}
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter, {})
        for mean in _MEANS:
            if mean in state:
                whole = full_tensor(state[mean])
                if world.main:
                    means[f"{name}.{mean}"] = whole.cpu().contiguous()
    if world.main:
        with atomic_directory(path, replace=True) as building:
            safetensors.torch.save_file(weights, building / _WEIGHTS)
            safetensors.torch.save_file(means, building / _OPTIMIZER)
            state_text = json.dumps(dataclasses.asdict(progress), indent=2) + "\n"
            (building / _STATE).write_text(state_text, encoding="utf-8")
    world.barrier()


def load_checkpoint(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer, world: World
) -> Progress:
    """Put weights and optimizer back to where they were.

    Raises:
        BundleCorruptError: a file is damaged or missing.
        OptionError: the checkpoint is of another model.
    """
    load_weights(path, parameters)
    means = _read(path / _OPTIMIZER)
    try:
        progress = Progress(**json.loads((path / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None
    for name, parameter in parameters.items():
        found = {mean: means[f"{name}.{mean}"] for mean in _MEANS if f"{name}.{mean}" in means}
        if found:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(progress.step), device=parameter.device),
                **{mean: place_like(parameter, value) for mean, value in found.items()},
            }
    return progress


def save_weights(path: Path, parameters: Mapping[str, nn.Parameter], world: World) -> None:
    """Write the parameters alone into the directory ``path``, in place of what was there."""
    weights = gathered(parameters, world)
    if world.main:
        with atomic_directory(path, replace=True) as building:
            safetensors.torch.save_file(weights, building / _WEIGHTS)
    world.barrier()


def load_weights(path: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Put the parameters back. Raises as ``load_checkpoint``."""
    weights = _read(path / _WEIGHTS)
    if {n: w.shape for n, w in weights.items()} != {n: p.shape for n, p in parameters.items()}:
        raise OptionError(
            f"The checkpoint {path} is of another model than this run's.",
            hint="Start a new run in another directory.",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(place_like(parameter, weights[name]))


def gathered(parameters: Mapping[str, nn.Parameter], world: World) -> dict[str, Tensor]:
    """The whole of each parameter, on the main process; nothing elsewhere."""
    weights = {}
    for name, parameter in parameters.items():
        whole = full_tensor(parameter)
        if world.main:
            weights[name] = whole.cpu().contiguous()
    return weights


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> BundleCorruptError:
    return BundleCorruptError(
        f"The checkpoint {path} is damaged: {error}.",
        hint="Remove its directory: --resume then goes on from the one before it.",
    )
