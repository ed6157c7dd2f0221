"""What tests of engines share: the marks that toy workers leave, and waiting for what workers do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

__all__ = ["alive", "pids", "ran", "wait_for"]


def ran(directory: Path) -> Counter[int]:
    """How often each chunk was run to its end."""
    return Counter(int(line) for line in (directory / "ran").read_text().split())


def pids(directory: Path) -> list[int]:
    return [int(path.name[4:]) for path in directory.glob("pid-*")]


def alive(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
