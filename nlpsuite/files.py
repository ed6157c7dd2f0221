"""Writing files so that neither a crash, nor a full disk, nor a second process leaves half a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from nlpsuite.errors import OptionError, StorageError

__all__ = [
    "TEMPORARY",
    "atomic_directory",
    "atomic_write",
    "atomic_write_bytes",
    "atomic_write_text",
    "check_output",
    "fsync_directory",
    "remove_stale",
    "sha256_file",
    "storage_errors",
    "try_lock",
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
                "No partial file was left behind.",
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
    untouched. If another process has finished ``target`` meanwhile, that one stays.

    Args:
        replace: replace an existing ``target`` once the new directory is complete. A crash between
            the two renames leaves no ``target``; the old one is then in a directory ``.incomplete-…``.

    Raises:
        StorageError: the directory can't be written, or the disk is full.
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
def atomic_write(target: Path, *, sync_directory: bool = True) -> Iterator[BinaryIO]:
    """Write ``target`` all at once, when the body ends; if the body raises, ``target`` is untouched.

    Yields a temporary file, open for reading and writing in binary. A regular file is replaced by
    rename and keeps its permissions; a symbolic link is followed. A device or a FIFO can't be
    replaced, so the finished bytes are written to it.

    Args:
        sync_directory: make the rename durable; else the caller does so for many files at once.

    Raises:
        StorageError: the file can't be written, or the disk is full.
    """
    with storage_errors(target):
        existing, real = _resolve(target)
        if real is None:
            with tempfile.TemporaryFile() as spool:
                yield spool
                spool.seek(0)
                with target.open("wb") as device:
                    shutil.copyfileobj(spool, device)
            return
        fd, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=real.parent)
        try:
            with os.fdopen(fd, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _set_permissions(name, existing)
            os.replace(name, real)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        if sync_directory:
            fsync_directory(real.parent)


def _resolve(target: Path) -> tuple[os.stat_result | None, Path | None]:
    """The status of the file at ``target``, and the path to rename to; None if it must be written in place."""
    real = Path(os.path.realpath(target))
    try:
        status = target.stat()
    except FileNotFoundError:
        return None, real
    # /dev/stdout may lead to a file that has no path any more.
    renamable = stat.S_ISREG(status.st_mode) and real.exists() and os.path.samestat(status, real.stat())
    return status, real if renamable or stat.S_ISDIR(status.st_mode) else None


def _set_permissions(name: str, existing: os.stat_result | None) -> None:
    """Give a temporary file, which is private, the permissions of the file it replaces, or the usual ones."""
    if existing is None:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        return
    if os.name != "nt":
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.chown(name, existing.st_uid, existing.st_gid)
    os.chmod(name, stat.S_IMODE(existing.st_mode))


def check_output(path: Path, *, overwrite: bool = True, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output before hours are spent on computing it.

    Args:
        overwrite: an existing regular file may be replaced. Devices and FIFOs always may be written to.
        inputs: files that are read and so must not be the output.

    Raises:
        OptionError: the output is one of the inputs.
        StorageError: it is a directory, its directory doesn't exist, or it exists already.
    """
    if any(path.exists() and source.exists() and path.samefile(source) for source in inputs):
        raise OptionError(f"The output {path} is also an input.", hint="Choose another name.")
    if path.is_dir():
        raise StorageError(f"The output {path} is a directory.", hint="Name a file.")
    if not path.parent.is_dir():
        raise StorageError(f"There is no directory {path.parent}.", hint="Create it first.")
    if path.is_file() and not overwrite:
        raise StorageError(f"The output {path} exists.", hint="Use --overwrite to replace it.")


def try_lock(fd: int) -> None:
    """Lock an open file against other processes; closing it, or the end of the process, unlocks it.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(fd, 1 << 30, os.SEEK_SET)  # Windows locks bytes for readers too: take one nobody reads
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def atomic_write_bytes(target: Path, data: bytes, *, sync_directory: bool = True) -> None:
    """Write ``data`` to ``target`` as ``atomic_write`` does.

    Raises:
        StorageError: the file can't be written, or the disk is full.
    """
    with atomic_write(target, sync_directory=sync_directory) as file:
        file.write(data)


def atomic_write_text(target: Path, text: str) -> None:
    """Write UTF-8 text to ``target`` as ``atomic_write`` does.

    Raises:
        StorageError: the file can't be written, or the disk is full.
    """
    atomic_write_bytes(target, text.encode())


def remove_stale(directory: Path) -> None:
    """Remove temporary files and directories that killed processes left in ``directory``."""
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
