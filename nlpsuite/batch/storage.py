"""Files of a job: written whole or not at all, sealed with a sum, and worked on by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpsuite.errors import JobRefusedError, JobStorageError
from nlpsuite.files import fsync_directory, remove_stale, try_lock

__all__ = [
    "INPUT",
    "LOCK",
    "MANIFEST",
    "QUARANTINE",
    "REPORT",
    "SHARDS",
    "canonical",
    "canonical_sha256",
    "clear",
    "discard",
    "job_errors",
    "locked",
    "seal",
    "unseal",
    "write_whole",
]

MANIFEST, REPORT = "manifest.json", "report.json"
INPUT, SHARDS, QUARANTINE = "input", "shards", "quarantine"
LOCK = "lock"
_DIRECTORIES = (INPUT, SHARDS, QUARANTINE)
_BEGINNINGS = ("stdin.", ".incomplete-")


def canonical(values: Any) -> bytes:
    """JSON values as bytes: equal values give equal bytes."""
    return _encoder.encode(values).encode()


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def canonical_sha256(values: Any) -> str:
    """Hexadecimal sha256 of JSON values."""
    return hashlib.sha256(canonical(values)).hexdigest()


@contextmanager
def job_errors(path: Path) -> Iterator[None]:
    """Turn an OSError on a job's file into a JobStorageError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "no space is left" if full else error.strerror or str(error)
        raise JobStorageError(
            f"{path}: {reason}.",
            hint="What was scored is kept. Free some space or mend the permissions, then give the same command again.",
        ) from error


def seal(chunk: int, lines: Iterable[bytes]) -> bytes:
    """Lines of JSON, and a last one that says of which chunk, how many, and their sum."""
    body = b"".join(line + b"\n" for line in lines)
    return body + canonical(_end(chunk, body)) + b"\n"


def unseal(chunk: int, data: bytes) -> list[Any] | None:
    """The values that ``seal`` was given as lines; None if the data is not whole, or of another chunk."""
    body, newline, end = data.removesuffix(b"\n").rpartition(b"\n")
    body += newline
    if end + b"\n" != data[len(body) :] or end != canonical(_end(chunk, body)):
        return None
    # One call for all lines takes half the time of one for each.
    rows: list[Any] = json.loads(b"[" + body.rstrip(b"\n").replace(b"\n", b",") + b"]")
    return rows


def _end(chunk: int, body: bytes) -> dict[str, Any]:
    return {"chunk": chunk, "rows": body.count(b"\n"), "sha256": hashlib.sha256(body).hexdigest()}


def write_whole(target: Path, data: bytes, *, sync_directory: bool = True) -> None:
    """Write, sync and rename; a short write, which is how a full disk shows first, is gone on with.

    Args:
        sync_directory: make the rename durable; else the caller does, for many files at once.

    Raises:
        OSError: nothing is left behind then.
    """
    # Workers on machines that share the directory may have the same process number.
    temporary = target.with_name(f".incomplete-{os.getpid()}-{secrets.token_hex(4)}-{target.name}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if sync_directory:
        fsync_directory(target.parent)


# Who works on it.


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process that works on a job; what a killed one left half-written is removed.

    The directory is made if there is none.

    Raises:
        JobRefusedError: another process works on it, or the directory holds what is no job's.
        JobStorageError: the directory can't be written.
    """
    with job_errors(directory):
        fd = _lock(directory)
    try:
        with contextlib.suppress(OSError):  # on a full disk nobody is told who holds it
            os.lseek(fd, 0, os.SEEK_SET)
            os.ftruncate(fd, 0)
            os.write(fd, f"process {os.getpid()} on {platform.node()}\n".encode())
        for place in (directory, directory / SHARDS, directory / INPUT):
            remove_stale(place)
        yield
    finally:
        os.close(fd)


def _lock(directory: Path) -> int:
    while True:
        directory.mkdir(exist_ok=True)
        _check_ours(directory)
        try:
            fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # it was removed just now
            continue
        try:
            try_lock(fd)
            # The file may have been removed, with the job, between the two calls: then it locks nothing.
            if os.fstat(fd).st_ino == os.stat(directory / LOCK).st_ino:
                return fd
            os.close(fd)
        except FileNotFoundError:
            os.close(fd)
        except BlockingIOError:
            os.lseek(fd, 0, os.SEEK_SET)
            holder = os.read(fd, 200).decode(errors="replace").strip() or "an unknown one"
            os.close(fd)
            raise JobRefusedError(
                f"Another process works on {directory}: {holder}.", hint="Wait for it, or end it first."
            ) from None
        except BaseException:
            os.close(fd)
            raise


def _check_ours(directory: Path) -> None:
    """A directory of that name may be the user's, and what is in it must not be cleared away."""
    if (directory / MANIFEST).exists():
        return
    known = (LOCK, REPORT, *_DIRECTORIES)
    for name in sorted(os.listdir(directory)):
        if name not in known and not name.startswith(_BEGINNINGS):
            raise JobRefusedError(
                f"{directory} is no job: there is {name!r} in it.",
                hint="The job is kept in a directory of that name: choose another output, or move this one away.",
            )


def clear(directory: Path) -> None:
    """Take a job out of its directory, the manifest first: without it there is no job. Hold the lock."""
    with job_errors(directory):
        (directory / MANIFEST).unlink(missing_ok=True)
        for path in directory.iterdir():
            if path.name in _DIRECTORIES:
                shutil.rmtree(path)
            elif path.name == REPORT or path.name.startswith(_BEGINNINGS):
                path.unlink()


def discard(directory: Path) -> None:
    """Remove a job's directory, but for files that are not the job's. Hold the lock."""
    clear(directory)
    with job_errors(directory):
        (directory / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()
