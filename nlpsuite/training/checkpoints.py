"""Checkpoints of a run: written atomically, read by any number of processes.

    weights.safetensors      the trainable parameters
    optimizer.safetensors    the two moments of Adam for each parameter
    average.safetensors      the moving average of the parameters, if the run has one
    state.json               where the run stands

No pickles: opening a checkpoint runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpsuite.errors import BundleCorruptError, OptionError
from nlpsuite.files import atomic_directory
from nlpsuite.training.averaging import WeightAverage
from nlpsuite.training.distributed import World, full_tensor, place_like
from nlpsuite.training.report import RunProgress

__all__ = ["load_checkpoint", "read_weights", "save_checkpoint", "save_weights"]

_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_AVERAGE = "average.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: Optimizer,
    average: WeightAverage | None,
    progress: RunProgress,
    world: World,
) -> None:
    """Write a checkpoint to ``path``. Every process must call it, to gather shards; the main one writes.

    Raises:
        StorageError: the disk is full or ``path`` can't be written.
    """
    weights = _gathered(parameters, world)
    moments = _gathered(
        {
            f"{name}.{moment}": optimizer.state[parameter][moment]
            for name, parameter in parameters.items()
            for moment in _MOMENTS
            if moment in optimizer.state.get(parameter, {})
        },
        world,
    )
    means = _gathered(average.means, world) if average else {}
    if world.main:
        with atomic_directory(path, replace=True) as building:
            safetensors.torch.save_file(weights, building / _WEIGHTS)
            safetensors.torch.save_file(moments, building / _OPTIMIZER)
            if average:
                safetensors.torch.save_file(means, building / _AVERAGE)
            state_text = json.dumps(dataclasses.asdict(progress), indent=2) + "\n"
            (building / _STATE).write_text(state_text, encoding="utf-8")
    world.barrier()


def load_checkpoint(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: Optimizer,
    average: WeightAverage | None,
    world: World,
) -> RunProgress:
    """Restore weights, optimizer and average.

    Raises:
        BundleCorruptError: a file is damaged or missing.
        OptionError: the checkpoint belongs to another model.
    """
    weights = read_weights(path)
    if {n: w.shape for n, w in weights.items()} != {n: p.shape for n, p in parameters.items()}:
        raise OptionError(
            f"The checkpoint {path} belongs to another model than this run's.",
            hint="Start a new run in another directory.",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(place_like(parameter, weights[name]))
    if average:
        for name, mean in _read(path / _AVERAGE).items():
            average.means[name].copy_(place_like(average.means[name], mean))
    moments = _read(path / _OPTIMIZER)
    try:
        progress = RunProgress(**json.loads((path / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None
    for name, parameter in parameters.items():
        found = {m: moments[f"{name}.{m}"] for m in _MOMENTS if f"{name}.{m}" in moments}
        if found:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(progress.step), device=parameter.device),
                **{moment: place_like(parameter, value) for moment, value in found.items()},
            }
    return progress


def save_weights(path: Path, parameters: Mapping[str, nn.Parameter], world: World) -> None:
    """Write only the parameters into the directory ``path``, replacing what was there."""
    weights = _gathered(parameters, world)
    if world.main:
        with atomic_directory(path, replace=True) as building:
            safetensors.torch.save_file(weights, building / _WEIGHTS)
    world.barrier()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The parameters that a checkpoint or ``save_weights`` wrote into the directory ``path``.

    Raises:
        BundleCorruptError: the file is damaged or missing.
    """
    return _read(path / _WEIGHTS)


def _gathered(tensors: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """The whole of each tensor, on the main process; nothing elsewhere."""
    wholes = {}
    for name, tensor in tensors.items():
        whole = full_tensor(tensor)
        if world.main:
            wholes[name] = whole.cpu().contiguous()
    return wholes


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> BundleCorruptError:
    return BundleCorruptError(
        f"The checkpoint {path} is damaged: {error}.",
        hint="Remove its directory; --resume then continues from the one before.",
    )
