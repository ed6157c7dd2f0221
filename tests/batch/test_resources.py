"""How many workers: the arithmetic, and the limits of the machine and of its control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.batch import resources as module
from nlpsuite.batch.resources import Machine, Plan, choose_workers, this_machine

GB = 1_000_000_000


def test_a_small_model_gets_a_worker_a_core() -> None:
    assert choose_workers(Machine(8, 16 * GB), 140_000_000, chunks=1_000) == Plan(8, 1)


def test_memory_limits_the_workers_and_the_cores_become_threads() -> None:
    assert choose_workers(Machine(8, 4 * GB), GB, chunks=1_000) == Plan(2, 4)
    assert choose_workers(Machine(8, GB // 10), GB, chunks=1_000) == Plan(1, 8)


def test_there_are_never_more_workers_than_chunks() -> None:
    assert choose_workers(Machine(8, 64 * GB), GB, chunks=3) == Plan(3, 2)
    assert choose_workers(Machine(8, 64 * GB), GB, chunks=0) == Plan(1, 8)
    assert choose_workers(Machine(8, 64 * GB), GB, chunks=3, workers=5) == Plan(3, 2)


def test_what_the_user_asks_for_stands() -> None:
    assert choose_workers(Machine(2, GB // 10), GB, chunks=9, workers=4) == Plan(4, 1)


@given(st.integers(1, 256), st.integers(0, 2**40), st.integers(0, 2**36), st.integers(0, 10**6))
def test_cores_are_never_oversubscribed(cores: int, memory: int, model: int, chunks: int) -> None:
    plan = choose_workers(Machine(cores, memory), model, chunks)
    assert plan.workers >= 1 and plan.threads >= 1
    assert plan.workers * plan.threads <= cores
    assert plan.workers <= max(1, chunks)
    assert plan.workers == 1 or plan.workers * model <= memory


def test_this_machine_is_within_its_bounds() -> None:
    machine = this_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert 0 < machine.memory_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def groups(root: Path, listing: str) -> list[Path]:
    file = root.parent / "cgroup"
    file.write_text(listing)
    return list(module._groups(root, file))


def test_the_limits_of_groups_of_the_second_version(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    write(root)
    stat = "anon 5\ninactive_file 200\n"
    write(
        root / "pod", memory__max="3000", memory__current="1000", memory__stat=stat, cpu__max="250000 100000"
    )
    write(root / "pod/box", memory__max="max", memory__current="900", cpu__max="max 100000")
    found = groups(root, "0::/pod/box\n")
    assert found == [root / "pod/box", root / "pod", root]
    assert [module._free_in_group(group) for group in found] == [None, 2200, None]
    assert [module._cpu_limit(group) for group in found] == [None, 3, None]


def test_the_limits_of_groups_of_the_first_version(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    write(
        root / "memory/box",
        memory__limit_in_bytes="5000",
        memory__usage_in_bytes="4000",
        memory__stat="cache 7\ntotal_inactive_file 500\n",
    )
    write(root / "cpu,cpuacct/box", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    write(root / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    found = groups(root, "4:memory:/box\n1:cpu,cpuacct:/box\n0::/\n")
    assert module._free_in_group(root / "memory/box") == 1500
    assert {root / "memory/box", root / "cpu,cpuacct/box", root / "cpu,cpuacct"} <= set(found)
    assert module._cpu_limit(root / "cpu,cpuacct/box") == 1  # half a core
    assert module._cpu_limit(root / "cpu,cpuacct") is None


def test_in_a_container_its_own_group_is_the_root(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    write(root, memory__max="3000", memory__current="1000")
    assert groups(root, "0::/kubepods/pod1/box\n") == [root]
    assert module._free_in_group(root) == 2000


def test_nothing_is_known_where_there_are_no_groups(tmp_path: Path) -> None:
    assert list(module._groups(tmp_path / "none", tmp_path / "none")) == []
    assert module._free_in_group(tmp_path) is None and module._cpu_limit(tmp_path) is None


def test_a_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, memory__max="1000000", memory__current="400000", cpu__max="100000 100000")
    monkeypatch.setattr(module, "_groups", lambda: [tmp_path])
    assert this_machine() == Machine(1, 600_000)
