"""The engine ``local``: every chunk done, whatever becomes of the workers; and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_help import alive, pids, ran, wait_for

from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Work
from nlpsuite.batch.engines.local import run_here
from nlpsuite.errors import JobStorageError, WorkerLostError
from nlpsuite.plugins.loading import load

HERE = Path(__file__).parent


def work(name: str, directory: Path, workers: int = 2, **arguments: Any) -> Work:
    return Work(f"toy_workers:{name}", {"directory": str(directory), **arguments}, workers, threads=3)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Neither a thread of the engine nor a zombie outlives its generator."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "nlpsuite worker"]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_engine_is_a_plugin() -> None:
    assert load("engine", "local") is run_here


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_chunk_is_done_once(tmp_path: Path, workers: int) -> None:
    done = list(run_here(work("counting", tmp_path, workers), range(20)))
    assert sorted(done, key=lambda one: one.chunk) == [Done(i, rows=2, prompt_tokens=3) for i in range(20)]
    assert ran(tmp_path) == Counter(range(20))
    assert (pids(tmp_path) == [os.getpid()]) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_chunks_no_worker_is_opened(tmp_path: Path, workers: int) -> None:
    assert list(run_here(work("counting", tmp_path, workers), [])) == []
    assert not pids(tmp_path)


def test_there_are_no_more_workers_than_chunks(tmp_path: Path) -> None:
    list(run_here(work("counting", tmp_path, workers=50), range(2)))
    assert 1 <= len(pids(tmp_path)) <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_are_taken_as_workers_get_free(tmp_path: Path, workers: int) -> None:
    taken = []

    def chunks() -> Iterator[int]:
        for chunk in range(1_000_000):
            taken.append(chunk)
            yield chunk

    running = run_here(work("counting", tmp_path, workers), chunks())
    for count in range(1, 6):
        next(running)
        assert len(taken) <= count + workers
    running.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_beats_come_while_a_chunk_runs(tmp_path: Path, workers: int) -> None:
    said = list(run_here(work("slow", tmp_path, workers, seconds=0.7), range(2)))
    beats = [beat for beat in said if isinstance(beat, Beat)]
    assert isinstance(said[0], Beat) and len(said) - len(beats) == 2
    assert 2 <= len(beats) <= 8  # not one for each of about 140
    assert all(beat.tokens == 10 * beat.rows > 0 for beat in beats)


@pytest.mark.parametrize("deaths", [1, ATTEMPTS - 1])
def test_a_killed_worker_is_replaced_and_its_chunk_run_again(tmp_path: Path, deaths: int) -> None:
    done = list(run_here(work("mortal", tmp_path, deadly=3, deaths=deaths), range(10)))
    assert sorted(one.chunk for one in done) == list(range(10))
    assert ran(tmp_path) == Counter(range(10))
    assert len(list(tmp_path.glob("death-*"))) == deaths


def test_a_chunk_that_kills_every_worker_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match=f"{ATTEMPTS} times on chunk 3.*SIGKILL") as caught:
        list(run_here(work("mortal", tmp_path, deadly=3, deaths=99), range(10)))
    assert "fewer workers" in caught.value.hint


def test_a_worker_without_memory_counts_as_lost(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match="out of memory"):
        list(run_here(work("out_of_memory", tmp_path), [0]))
    with pytest.raises(WorkerLostError, match="Memory ran out"):
        list(run_here(work("out_of_memory", tmp_path, workers=1), [0]))


def test_a_worker_that_cannot_be_started_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
    with pytest.raises(WorkerLostError, match="can't be started: No such file"):
        list(run_here(work("counting", tmp_path), [0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_users_errors_come_back_as_they_are(tmp_path: Path, workers: int) -> None:
    with pytest.raises(JobStorageError) as caught:
        list(run_here(work("failing", tmp_path, workers, bad=2), range(1_000_000)))
    assert (caught.value.message, caught.value.hint) == ("Chunk 2 can't be written.", "Make room.")
    with pytest.raises(JobStorageError, match="no such job"):
        list(run_here(work("unopened", tmp_path, workers), range(3)))


def test_a_fault_comes_back_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="off by one"):
        list(run_here(work("faulty", tmp_path, workers=1), range(3)))
    with pytest.raises(RuntimeError, match="Unknown: off by one") as caught:
        list(run_here(work("faulty", tmp_path), range(3)))
    assert "toy_workers.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_closing_ends_all_workers_at_once(tmp_path: Path, workers: int) -> None:
    running = run_here(work("slow", tmp_path, workers), range(9))
    assert isinstance(next(running), Beat)
    if workers > 1:
        wait_for(lambda: len(pids(tmp_path)) == workers)
    begin = time.monotonic()
    running.close()
    assert time.monotonic() - begin < 2
    assert not (tmp_path / "ran").exists()
    assert not any(alive(pid) for pid in pids(tmp_path) if pid != os.getpid())


def test_an_exception_of_the_consumer_ends_all_workers(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in run_here(work("slow", tmp_path), range(9)):
            raise ZeroDivisionError
    # Here it is the collector that closes the generator.
    wait_for(lambda: not any(alive(pid) for pid in pids(tmp_path)))


# A coordinator that can be killed.

PROGRAM = """
import sys
from nlpsuite.batch.engine import Work
from nlpsuite.plugins.loading import load
name, directory, workers, engine = sys.argv[1:]
for said in load("engine", engine)(Work("toy_workers:" + name, {"directory": directory}, int(workers)), range(3)):
    pass
print("the end")
"""


def start(
    name: str, directory: Path, workers: int, engine: str = "local", **options: Any
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, str(directory), str(workers), engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
        **options,
    )


def test_workers_print_on_stderr_and_read_nothing(tmp_path: Path) -> None:
    out, err = start("noisy", tmp_path, 2).communicate(timeout=20)
    assert out == "the end\n"
    assert err.count("printed by Python") == err.count("printed by the system") == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_coordinator(tmp_path: Path, number: signal.Signals) -> None:
    process = start("slow", tmp_path, 2)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(number)
    process.communicate(timeout=5)  # the workers hold its stderr: this waits for them as well
    assert process.returncode == -number
    wait_for(lambda: not any(alive(pid) for pid in pids(tmp_path)), 5)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_and_no_worker_complains(tmp_path: Path, workers: int) -> None:
    process = start("slow", tmp_path, workers, start_new_session=True)
    wait_for(lambda: len(pids(tmp_path)) == workers)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGINT
    assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_ctrl_c_during_start_up_reaches_no_worker(tmp_path: Path) -> None:
    process = start("slow", tmp_path, 2, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: children.read_text().split())
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert err.count("Traceback") <= 1
