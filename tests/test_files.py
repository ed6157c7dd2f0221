"""Nothing half-made: a failure, a full disk, a killed process and a rival leave whole files only."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from nlpsuite.errors import StorageError
from nlpsuite.files import atomic_directory, atomic_write_text, remove_stale, sha256_file

posix = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own; stdout says when it has got somewhere."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def kill_when_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def test_sha256_of_a_file_larger_than_a_chunk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f", chunk_bytes=100) == hashlib.sha256(data).hexdigest()
    with pytest.raises(OSError):
        sha256_file(tmp_path / "none")


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model"
    with atomic_directory(target) as building:
        (building / "a").write_text("1")
        (building / "sub").mkdir()
        (building / "sub" / "b").write_text("2")
        assert not target.exists()
        assert building.parent == target.parent  # the same file system, so that the rename is one
    assert (target / "a").read_text() == "1" and (target / "sub" / "b").read_text() == "2"
    assert [p.name for p in target.parent.iterdir()] == ["model"]
    if os.name != "nt":
        assert stat.S_IMODE(target.stat().st_mode) == 0o755


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_failing_body_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        with atomic_directory(tmp_path / "model") as building:
            (building / "a").write_text("1")
            raise error
    assert list(tmp_path.iterdir()) == []


def test_who_finishes_first_wins(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_directory(target) as mine:
        (mine / "who").write_text("mine")
        with atomic_directory(target) as theirs:
            (theirs / "who").write_text("theirs")
    assert (target / "who").read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@posix
def test_a_killed_process_leaves_no_target_and_its_rest_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "model"
    process = child(
        """
        import sys, time
        from pathlib import Path
        from nlpsuite.files import atomic_directory
        with atomic_directory(Path(sys.argv[1])) as building:
            (building / "half").write_text("x" * 1000)
            print("ready", flush=True)
            time.sleep(60)
        """,
        target,
    )
    kill_when_ready(process)
    assert not target.exists()
    (rest,) = tmp_path.iterdir()
    assert (rest / "half").is_file()  # the kill came in the middle
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_text_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    texts = [c * 200_000 for c in "ab"]
    for delay in (0.0, 0.003, 0.01, 0.03):
        process = child(
            """
            import sys, itertools
            from pathlib import Path
            from nlpsuite.files import atomic_write_text
            for i in itertools.count():
                atomic_write_text(Path(sys.argv[1]), "ab"[i % 2] * 200_000)
                if i == 0:
                    print("ready", flush=True)
            """,
            target,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
        process.wait(30)
        process.stdout.close()
        assert target.read_text() in texts
    remove_stale(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]


def test_what_living_processes_build_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with atomic_directory(tmp_path / "model") as building:
        (building / "a").write_text("1")
        remove_stale(tmp_path)
        assert (building / "a").exists()
    assert (tmp_path / "model" / "a").exists() and (tmp_path / "other").is_dir()
    remove_stale(tmp_path / "absent")


@posix
@pytest.mark.parametrize("kind", ["directory", "text"])
def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    process = child(
        """
        import resource, sys
        from pathlib import Path
        from nlpsuite.errors import StorageError
        from nlpsuite.files import atomic_directory, atomic_write_text
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        target = Path(sys.argv[1])
        try:
            if sys.argv[2] == "text":
                atomic_write_text(target, "x" * 100_000)
            else:
                with atomic_directory(target) as building:
                    (building / "small").write_text("fits")
                    (building / "large").write_bytes(bytes(100_000))
        except StorageError as error:
            print(error.exit_code, error)
        """,
        tmp_path / "target",
        kind,
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("7 No space left while writing") and "NLPSUITE_CACHE" in out
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.txt"
    atomic_write_text(target, "old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        atomic_write_text(target, "new")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.txt"]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    text = "a\r\nb\n\u2028é\U0001f600"
    atomic_write_text(tmp_path / "t", text)
    assert (tmp_path / "t").read_bytes() == text.encode()


@posix
def test_results_get_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write_text(tmp_path / "t", "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o640


@posix
def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Can't write") as raised:
        with atomic_directory(tmp_path / "file" / "model"):
            raise AssertionError("the body must not run")
    assert raised.value.exit_code == 7 and "NLPSUITE_CACHE" in raised.value.hint
    with pytest.raises(StorageError, match="Can't write"):
        atomic_write_text(tmp_path / "absent" / "t", "x")


def test_a_file_in_the_targets_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(StorageError):
        with atomic_directory(tmp_path / "model") as building:
            (building / "a").write_text("1")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_text() == "a file"


def test_a_directory_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(target, replace=True) as building:
        (building / "new").write_text("half")
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["old"]
    with atomic_directory(target, replace=True) as building:
        (building / "new").write_text("new")
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["target"]
