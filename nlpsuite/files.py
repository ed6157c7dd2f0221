"""Writing files so that a crash, a full disk or a second process leaves nothing half-made."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nlpsuite.errors import StorageError

__all__ = [
    "TEMPORARY",
    "atomic_directory",
    "atomic_write",
    "atomic_write_bytes",
    "atomic_write_text",
    "fsync_directory",
    "remove_stale",
    "sha256_file",
    "storage_errors",
]

TEMPORARY = ".incomplete-"  # followed by the process id: what ``remove_stale`` looks for


def sha256_file(path: Path, chunk_bytes: int = 1 << 20) -> str:
    """Hexadecimal sha256 of a file, read in chunks. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(chunk_bytes):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_directory(path: Path) -> None:
    """Make a rename inside ``path`` durable. A no-op where directories can't be opened."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turn an OSError raised while writing ``target`` into a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = _free_bytes(target)
            raise StorageError(
                f"No space left while writing {target} ({free / 1e6:,.0f} MB free).",
                hint="Free some space, or set NLPSUITE_CACHE to a directory on a larger disk. "
                "Nothing half-written was kept.",
            ) from error
        raise StorageError(
            f"Can't write {target}: {error.strerror or error}.",
            hint="Check the permissions, or choose another place "
            "(--output for results, NLPSUITE_CACHE for the model cache).",
        ) from error


def _free_bytes(path: Path) -> int:
    for candidate in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(candidate).free
    return 0


@contextlib.contextmanager
def atomic_directory(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Build a directory under a temporary name and rename it to ``target`` at the end.

    Yields the temporary directory. If the body raises, it is removed and ``target`` is
    untouched. If another process finished ``target`` first, theirs stays and ours goes.

    Args:
        replace: what is at ``target`` goes, once the new directory is whole. A crash between the
            two renames leaves none: the old one is then in a directory ``.incomplete-…``.

    Raises:
        StorageError: the place can't be written or the disk is full.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=target.parent))
    try:
        with storage_errors(target):
            yield building
            for path in building.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as file:
                        os.fsync(file.fileno())
            building.chmod(0o755)
            if replace and target.exists():
                old = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=target.parent))
                os.rename(target, old / target.name)
                os.rename(building, target)
                fsync_directory(target.parent)
                shutil.rmtree(old, ignore_errors=True)
            if target.is_dir():
                return
            try:
                os.rename(building, target)
            except OSError:
                if not target.is_dir():
                    raise
            fsync_directory(target.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """Write ``target`` through a temporary file in the same directory, renamed at the end.

    Yields the temporary file, open for writing. If the body raises, it is removed and
    ``target`` is untouched.

    Raises:
        StorageError: the place can't be written or the disk is full.
    """
    with storage_errors(target):
        fd, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes the file private; a result should have the usual permissions.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        fsync_directory(target.parent)


def atomic_write_bytes(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` as ``atomic_write`` does.

    Raises:
        StorageError: the place can't be written or the disk is full.
    """
    with atomic_write(target) as file:
        file.write(data)


def atomic_write_text(target: Path, text: str) -> None:
    """Write UTF-8 text to ``target`` as ``atomic_write`` does.

    Raises:
        StorageError: the place can't be written or the disk is full.
    """
    atomic_write_bytes(target, text.encode())


def remove_stale(directory: Path) -> None:
    """Remove what a killed process left half-built in ``directory``."""
    with contextlib.suppress(OSError):
        for path in directory.glob(f"{TEMPORARY}*"):
            owner = path.name.removeprefix(TEMPORARY).split("-")[0]
            if not owner.isdigit() or _alive(int(owner)):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
