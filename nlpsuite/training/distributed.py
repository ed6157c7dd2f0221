"""The processes that train together. One process alone is a world of size 1.

With ``torchrun``, each process reads its rank from the environment. A step has one global batch whatever the
number of processes; each takes its share of the rows, and the gradients add up to those of the whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nlpsuite.errors import DeviceUnavailableError

__all__ = ["World", "defer_gradients", "full_tensor", "join_world", "place_like", "share", "unsharded"]


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: from 0.
        size: number of processes.
        device: of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def alone(self) -> World:
        """A world of this process only, for work that every process does completely."""
        return World(0, 1, self.device)

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all processes, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def join_world(device: str) -> Iterator[World]:
    """This process's world, joined for the length of the block.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DeviceUnavailableError: ``cuda``, and torch finds none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailableError(
            "torch finds no CUDA device.", hint="Use --device cpu, or install a CUDA build of torch."
        )
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, torch.device("cuda" if cuda else "cpu"))
        return
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), size, local)
    finally:
        dist.destroy_process_group()


def share(module: nn.Module, world: World, *, shard: bool, layers: list[nn.Module]) -> nn.Module:
    """The module as all processes train it: copies whose gradients are averaged, or shards.

    Args:
        shard: FSDP2 (Zhao et al. 2023, arXiv:2304.11277) instead of DDP (Li et al. 2020,
            arXiv:2006.15704): each process holds a part of every weight, and a layer is
            gathered only while it computes.
        layers: of the module; the units that are gathered at a time.
    """
    if world.size == 1:
        return module
    if shard:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(world.device.type, (world.size,))
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(module, mesh=mesh)
        return module
    return nn.parallel.DistributedDataParallel(module)


@contextlib.contextmanager
def defer_gradients(module: nn.Module, defer: bool) -> Iterator[None]:
    """If ``defer``, gradients only accumulate on each process within the block, without being exchanged."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        with module.no_sync() if defer else contextlib.nullcontext():
            yield
        return
    from torch.distributed.fsdp import FSDPModule

    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(not defer)
    yield


@contextlib.contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """Within the block, parts of a sharded module may be called by themselves, by all processes alike."""
    from torch.distributed.fsdp import FSDPModule

    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def full_tensor(value: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded. All processes must call it together."""
    whole = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole.detach()


def place_like(like: Tensor, value: Tensor) -> Tensor:
    """A whole tensor, sharded like ``like``."""
    value = value.to(device=like.device, dtype=like.dtype)
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, like.device_mesh, like.placements)  # type: ignore[attr-defined]
