"""Files of a job: written atomically, sealed with a checksum, and locked by the process that works on them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpsuite.errors import JobRefusedError, JobStorageError, StorageError
from nlpsuite.files import remove_stale, try_lock

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
    """Turn an OSError, or a StorageError that one caused, on a job's file into a JobStorageError."""
    try:
        yield
    except JobStorageError:
        raise
    except (OSError, StorageError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "no space left on the device" if full else getattr(cause, "strerror", "") or str(cause)
        raise JobStorageError(
            f"{path}: {reason}.",
            hint="All scored rows are saved. Free some space or fix the permissions, then run the same command again.",
        ) from error


def seal(chunk: int, lines: Iterable[bytes]) -> bytes:
    """Lines of JSON, and a last one with the chunk's number, the number of lines, and their sha256."""
    body = b"".join(line + b"\n" for line in lines)
    return body + canonical(_end(chunk, body)) + b"\n"


def unseal(chunk: int, data: bytes) -> list[Any] | None:
    """The values of a sealed chunk's lines; None if the data is corrupt, or another chunk's."""
    body, newline, end = data.removesuffix(b"\n").rpartition(b"\n")
    body += newline
    if end + b"\n" != data[len(body) :] or end != canonical(_end(chunk, body)):
        return None
    # One call for all lines takes half as long as a call for each.
    rows: list[Any] = json.loads(b"[" + body.rstrip(b"\n").replace(b"\n", b",") + b"]")
    return rows


def _end(chunk: int, body: bytes) -> dict[str, Any]:
    return {"chunk": chunk, "rows": body.count(b"\n"), "sha256": hashlib.sha256(body).hexdigest()}


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a job for this process, and remove what a killed process left half-written.

    The directory is created if it doesn't exist.

    Raises:
        JobRefusedError: another process works on the job, or the directory holds other files.
        JobStorageError: the directory can't be written.
    """
    with job_errors(directory):
        fd = _lock(directory)
    try:
        with contextlib.suppress(OSError):  # on a full disk, other processes can't see who holds the lock
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
        except FileNotFoundError:  # removed just now
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
            holder = os.read(fd, 200).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise JobRefusedError(
                f"Another process works on {directory}: {holder}.", hint="Wait for it, or stop it first."
            ) from None
        except BaseException:
            os.close(fd)
            raise


def _check_ours(directory: Path) -> None:
    """A directory of that name may be the user's own, whose contents must not be removed."""
    if (directory / MANIFEST).exists():
        return
    known = (LOCK, REPORT, *_DIRECTORIES)
    for name in sorted(os.listdir(directory)):
        if name not in known and not name.startswith(_BEGINNINGS):
            raise JobRefusedError(
                f"{directory} isn't a job directory: it contains {name!r}.",
                hint="The job needs a directory of that name: choose another output, or move this one away.",
            )


def clear(directory: Path) -> None:
    """Remove a job's files, the manifest first: without it there is no job. The caller holds the lock."""
    with job_errors(directory):
        (directory / MANIFEST).unlink(missing_ok=True)
        for path in directory.iterdir():
            if path.name in _DIRECTORIES:
                shutil.rmtree(path)
            elif path.name == REPORT or path.name.startswith(_BEGINNINGS):
                path.unlink()


def discard(directory: Path) -> None:
    """Remove a job's directory, except files that aren't the job's. The caller holds the lock."""
    clear(directory)
    with job_errors(directory):
        (directory / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()
