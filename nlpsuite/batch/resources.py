"""The number of workers, and of threads per worker, from the cores, the memory and the model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["THREADS", "Machine", "Plan", "choose_workers", "this_machine"]

# Threads per worker where there are enough cores. Several workers of one thread finish more rows than one worker
# of several threads: a step of a small model is too short to be worth dividing.
THREADS = 1
# Memory of a worker: its copy of the weights with what onnxruntime packs beside them; and Python, the libraries,
# the cache and the batch.
_MODEL_FACTOR = 1.6
_WORKER_BYTES = 300_000_000


@dataclass(frozen=True)
class Machine:
    """The resources of this process.

    Attributes:
        cores: that this process may run on.
        memory_bytes: that are free now, within the limits of the process's groups.
    """

    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class Plan:
    """Workers, and threads per worker: in all as many as there are cores, unless the user asked for more workers."""

    workers: int
    threads: int


def choose_workers(machine: Machine, model_bytes: int, chunks: int, workers: int = 0) -> Plan:
    """Divide a machine among workers.

    There are as many workers of ``THREADS`` threads as cores, memory and chunks allow; cores that are left over
    become further threads of those workers.

    Args:
        model_bytes: of the model's files.
        chunks: to be run; there are never more workers.
        workers: requested by the user, whatever the memory; 0 to choose.

    Returns:
        At least one worker, of at least one thread.
    """
    if workers <= 0:
        fit = machine.memory_bytes / (_MODEL_FACTOR * model_bytes + _WORKER_BYTES)
        workers = min(machine.cores // THREADS, int(fit))
    workers = max(1, min(workers, chunks))
    return Plan(workers, max(1, machine.cores // workers))


def this_machine() -> Machine:
    """The cores and the memory of this process: of the machine, or of the container it is in."""
    groups = list(_groups())
    limits = [limit for limit in map(_cpu_limit, groups) if limit]
    cores = max(1, min([_usable_cores(), *limits]))
    memory = min([_free_memory(), *(free for free in map(_free_in_group, groups) if free is not None)])
    return Machine(cores, max(0, memory))


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _free_memory() -> int:
    """Bytes that can be had without swapping: ``MemAvailable`` of Linux; elsewhere half of the memory."""
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 4_000_000_000  # Windows doesn't say


# Control groups: version 1 has a tree for each resource, version 2 one for all. The limits of all groups on the
# way to the root apply. In a container its own group is often mounted as the root, so a group that isn't found is
# looked up there.


def _groups(root: Path = Path("/sys/fs/cgroup"), listing: Path = Path("/proc/self/cgroup")) -> Iterable[Path]:
    """The directories of the groups of this process, innermost first."""
    found: dict[Path, None] = {}
    for line in _lines(listing):
        _, controllers, name = line.split(":", 2)
        for top in {root / controllers, root / controllers.split(",")[0], root / "unified", root}:
            group = top / name.strip("/")
            if not top.is_dir():
                continue
            for directory in (group, *group.parents):
                if directory.is_dir():
                    found[directory] = None
                if directory == top:
                    break
    return found


def _cpu_limit(group: Path) -> int | None:
    """Cores that a group may use, rounded up."""
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    if quota is None:
        words = " ".join(_lines(group / "cpu.max")).split()
        quota, period = (int(word) if word.isdigit() else None for word in (words + ["", ""])[:2])
    return max(1, -(-quota // period)) if quota and period and quota > 0 else None


def _free_in_group(group: Path) -> int | None:
    """Bytes up to a group's limit; file caches count as free."""
    for limit_file, used_file, cached_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(group / limit_file), _number(group / used_file)
        if limit is not None and used is not None:
            cached = [
                line.split()[1] for line in _lines(group / "memory.stat") if line.split()[0] == cached_key
            ]
            return limit - used + int(cached[0] if cached else 0)
    return None


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
