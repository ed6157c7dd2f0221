"""The engine ``ray``: what the engine ``local`` promises, with actors."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_help import alive, pids, ran, wait_for
from installed import environment_with

from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Work
from nlpsuite.batch.engines.ray_engine import run_on_ray
from nlpsuite.errors import JobStorageError, MissingExtraError, WorkerLostError
from nlpsuite.plugins.loading import load

HERE = Path(__file__).parent
# Of Ray's own code: sockets and files that it leaves to the collector, and its advice on coming versions.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of two cores, which this program has started itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("ray", reason="needs nlpsuite[ray]")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            module.init(
                address="local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=100 * 2**20,
            )
            yield module
            module.shutdown()


def work(name: str, directory: Path, workers: int = 2, **arguments: Any) -> Work:
    return Work(f"toy_workers:{name}", {"directory": str(directory), **arguments}, workers)


def test_the_engine_is_a_plugin() -> None:
    assert load("engine", "ray") is run_on_ray


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        next(run_on_ray(work("counting", tmp_path), range(3)))
    assert "pip install 'nlpsuite[ray]'" in caught.value.hint


def test_every_chunk_is_done_once_and_the_users_ray_stays(ray: Any, tmp_path: Path) -> None:
    taken = []

    def chunks() -> Iterator[int]:
        for chunk in range(20):
            taken.append(chunk)
            yield chunk

    done = []
    for one in run_on_ray(work("counting", tmp_path), chunks()):
        done.append(one)
        assert len(taken) <= len(done) + 2
    expected = [Done(i, rows=2, prompt_tokens=1) for i in range(20)]
    assert sorted(done, key=lambda one: one.chunk) == expected
    assert ran(tmp_path) == Counter(range(20))
    assert len(pids(tmp_path)) <= 2 and os.getpid() not in pids(tmp_path)
    assert ray.is_initialized()


def test_without_chunks_no_worker_is_opened(ray: Any, tmp_path: Path) -> None:
    assert list(run_on_ray(work("counting", tmp_path), [])) == []
    assert not pids(tmp_path)


def test_workers_without_room_hold_nothing_up(ray: Any, tmp_path: Path) -> None:
    done = list(run_on_ray(work("counting", tmp_path, workers=5), range(7)))
    assert len(done) == 7 and ran(tmp_path) == Counter(range(7))


def test_a_killed_actor_is_replaced_and_its_chunk_run_again(ray: Any, tmp_path: Path) -> None:
    done = list(run_on_ray(work("mortal", tmp_path, deadly=3, deaths=ATTEMPTS - 1), range(10)))
    assert sorted(one.chunk for one in done if isinstance(one, Done)) == list(range(10))
    assert ran(tmp_path) == Counter(range(10))
    assert len(list(tmp_path.glob("death-*"))) == ATTEMPTS - 1


def test_a_chunk_that_kills_every_actor_ends_the_job(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match=f"{ATTEMPTS} times on chunk 3.*Ray says: .*died") as caught:
        list(run_on_ray(work("mortal", tmp_path, deadly=3, deaths=99), range(10)))
    assert "fewer workers" in caught.value.hint
    assert "class_name" not in caught.value.message and len(caught.value.message) < 400


def test_the_users_errors_come_back_as_they_are(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(JobStorageError) as caught:
        list(run_on_ray(work("failing", tmp_path, bad=2), range(1_000_000)))
    assert (caught.value.message, caught.value.hint) == ("Chunk 2 can't be written.", "Make room.")
    with pytest.raises(JobStorageError, match="no such job"):
        list(run_on_ray(work("unopened", tmp_path), range(3)))


def test_a_fault_comes_back_with_its_traceback(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Unknown: off by one") as caught:
        list(run_on_ray(work("faulty", tmp_path), range(3)))
    assert "toy_workers.py" in caught.value.__notes__[0]


def test_beats_come_while_a_chunk_runs(ray: Any, tmp_path: Path) -> None:
    said = list(run_on_ray(work("slow", tmp_path, seconds=2.5), range(2)))
    beats = [beat for beat in said if isinstance(beat, Beat)]
    assert isinstance(said[0], Beat) and len(said) - len(beats) == 2
    assert all(beat.rows > 0 for beat in beats)


def test_closing_ends_all_actors(ray: Any, tmp_path: Path) -> None:
    running = run_on_ray(work("slow", tmp_path), range(9))
    assert isinstance(next(running), Beat)
    wait_for(lambda: len(pids(tmp_path)) == 2, 20)
    running.close()
    wait_for(lambda: not any(alive(pid) for pid in pids(tmp_path)), 5)
    assert not (tmp_path / "ran").exists()


# A Ray of the engine's own.

PROGRAM = """
import os, signal, sys
from nlpsuite.batch.engine import Done, Work
from nlpsuite.batch.engines.ray_engine import run_on_ray
name, directory = sys.argv[1:]
before = signal.getsignal(signal.SIGTERM)
for said in run_on_ray(Work("toy_workers:" + name, {"directory": directory}, 2), range(3)):
    assert signal.getsignal(signal.SIGTERM) is before
    if isinstance(said, Done):
        print("done")
"""


def start(name: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=environment_with(HERE, RAY_ADDRESS="192.0.2.1:6379"),
    )


def session(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the program and of all that it has started.

    Two of Ray's helpers, which compute nothing, are left out: when the driver is killed they look for its
    server for a minute before they end.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
            command = (entry.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(session) == process.pid and state != "Z" and b"Agent" not in command:
            found.append(int(entry.parent.name))
    return found


def test_its_own_ray_ends_with_the_job_and_stdout_stays_clean(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs nlpsuite[ray]")
    process = start("noisy", tmp_path)
    out, _ = process.communicate(timeout=60)
    assert out == "done\n" * 3
    wait_for(lambda: not session(process), 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_its_own_ray_ends_with_the_driver(tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("ray", reason="needs nlpsuite[ray]")
    process = start("slow", tmp_path)
    wait_for(lambda: len(pids(tmp_path)) == 2, 60)
    assert len(session(process)) > 3  # Ray's own processes are among them
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == -number
    wait_for(lambda: not session(process), 5)
    assert not any(alive(pid) for pid in pids(tmp_path))
    assert not (tmp_path / "ran").exists()
