"""Run one program under limits: the script that ``execution`` starts for each. Never imported.

    python -I -S execution_child.py SOURCE TOKEN REPORT TIMEOUT MEMORY

The first three are numbers of open files: the program's text, a secret, and where lines about the outcome
go. There are three processes: this one watches the clock and outlives the program, so that it can end all that
the program leaves behind; its child, where the kernel gives a process namespace, is that namespace's first
process, with which all others in it die; the last one runs the program.

The secret stays in its pipe until the program's last line has run. So nothing that a program prints or returns,
and no early exit, can look like success.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # Windows, where `execution` refuses to run programs
    resource = None  # type: ignore[assignment]

# Of <linux/sched.h>, <linux/prctl.h> and <linux/mount.h>; a system call's number is the same on every machine.
_NEW_USER, _NEW_PROCESSES, _NEW_NETWORK, _NEW_MOUNTS = 0x10000000, 0x20000000, 0x40000000, 0x00020000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_MOUNT_SETATTR, _AT_HERE, _AT_RECURSIVE = 442, -100, 0x8000
_PARENT_DEATH_SIGNAL, _DUMPABLE, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 36, 38
_LINUX = sys.platform == "linux"
_NOBODY = 65534

_FILE_BYTES = 16 << 20
_DIRECTORY_BYTES = 64 << 20
_OPEN_FILES = 64
_PROCESSES = 32
_POLL_SECONDS = 0.005


def main() -> None:
    source, token, report = (int(number) for number in sys.argv[1:4])
    timeout, memory = float(sys.argv[4]), int(sys.argv[5])
    deadline = time.monotonic() + timeout
    separate = _leave()
    os.write(report, b"separate\n" if separate else b"together\n")
    _prctl(_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _die_with_parent()
        if separate:
            _be_first_process()
        _limit(timeout, memory, separate)
        if not separate:
            _take_sockets_away()
        _run(source, token, report)
    os.close(token)
    os.write(report, _waited(child, deadline) + b"\n")
    os.killpg(
        0, signal.SIGKILL
    )  # what is left where there is neither namespace nor subreaper; and this process


def _leave() -> bool:
    """Give up root's rights; leave the system's network, processes and files where the kernel allows it."""
    if os.geteuid() == 0:
        _become_nobody()
    user, group = os.geteuid(), os.getegid()
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_DUMPABLE, 1)  # else the files of /proc below would be root's
    _die_with_parent()
    if not (_LINUX and _libc().unshare(_NEW_USER | _NEW_PROCESSES | _NEW_NETWORK | _NEW_MOUNTS) == 0):
        return False
    with contextlib.suppress(OSError):
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        _freeze_files()
    return True


def _become_nobody() -> None:
    """A program should not have root's rights. But it must be able to read Python's modules; if they lie in
    root's home, it stays root.
    """
    with contextlib.suppress(OSError):
        os.setegid(_NOBODY)
        os.seteuid(_NOBODY)
        readable = os.access(os.__file__, os.R_OK, effective_ids=True)
        os.seteuid(0)
        os.setegid(0)
        if readable:
            os.chown(".", _NOBODY, _NOBODY)
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)


def _freeze_files() -> None:
    """Make everything read-only except a small directory in memory, which replaces this one."""
    here = os.getcwd()
    libc = _libc()
    libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None)
    places = [place for place in (here, "/dev/shm") if os.path.isdir(place)]
    for place in places:
        if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=%d,mode=700" % _DIRECTORY_BYTES):
            return
    read_only, writable = (ctypes.c_uint64 * 4)(1, 0, 0, 0), (ctypes.c_uint64 * 4)(0, 1, 0, 0)
    libc.syscall(_MOUNT_SETATTR, _AT_HERE, b"/", _AT_RECURSIVE, read_only, ctypes.c_size_t(32))
    for place in places:
        libc.syscall(_MOUNT_SETATTR, _AT_HERE, os.fsencode(place), 0, writable, ctypes.c_size_t(32))
    os.chdir(here)


def _be_first_process() -> None:
    """Return in a child; the first process of a namespace itself ignores signals, and takes in orphans."""
    program = os.fork()
    if program == 0:
        _die_with_parent()
        return
    while True:
        ended, status = os.wait()
        if ended == program:
            # A signal can't end this process as it ended the program, so it is reported as a status.
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _limit(timeout: float, memory: int, separate: bool) -> None:
    seconds = int(timeout) + 1
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_AS, memory),
    ]
    # The count is of all of a user's processes, those outside too, unless the namespace has its own.
    limits.append((resource.RLIMIT_NPROC, _PROCESSES if separate else _own_processes() + _PROCESSES))
    for kind, value in limits:
        with contextlib.suppress(OSError, ValueError):  # macOS has none on memory; a lower one may be set
            resource.setrlimit(kind, (value, value))


def _own_processes() -> int:
    """Threads of this user that run now; a guess where there is no /proc."""
    count = 0
    user = os.getuid()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count or 1024


def _take_sockets_away() -> None:
    """Deny the network to a program that makes no special effort to get it."""
    import _socket
    import socket

    class NoSocket:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise PermissionError("there is no network here")

    for module in (_socket, socket):
        for name in ("socket", "SocketType", "create_connection", "create_server", "fromfd", "getaddrinfo"):
            if hasattr(module, name):
                setattr(module, name, NoSocket)


def _run(source: int, token: int, report: int) -> NoReturn:
    import linecache
    import traceback
    import types

    with os.fdopen(source, encoding="utf-8") as file:
        text = file.read()
    os.environ.clear()
    sys.argv = ["program.py"]
    linecache.cache["program.py"] = (len(text), None, text.splitlines(keepends=True), "program.py")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    me = os.getpid()
    try:
        exec(compile(text, "program.py", "exec", dont_inherit=True), module.__dict__)
    except MemoryError:
        os.write(report, b"memory\n")
        _end(1)
    except SystemExit as end:
        _say(f"SystemExit: {end.code}: the program ended before its tests finished.")
        _end(1)
    except BaseException as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # this file's own frame
        with contextlib.suppress(BaseException):
            _say("".join(traceback.format_exception(error, limit=-8)).rstrip())
        _end(1)
    if os.getpid() == me:
        os.write(report, b"passed " + os.read(token, 64) + b"\n")
    _end(0)


def _say(line: str) -> None:
    os.write(2, line.encode("utf-8", "replace") + b"\n")


def _end(code: int) -> NoReturn:
    """Exit at once, without waiting for threads or exit handlers."""
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    os._exit(code)


def _waited(child: int, deadline: float) -> bytes:
    """How the child ended: ``exit CODE``, ``signal NUMBER`` or ``timeout``. Nothing of it is left running."""
    result = b"timeout"
    while time.monotonic() < deadline:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            result = b"exit %d" % code if code >= 0 else b"signal %d" % -code
            break
        if ended == 0:
            time.sleep(_POLL_SECONDS)
    if result == b"timeout":
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    _kill_orphans()
    return result


def _kill_orphans() -> None:
    """Kill what the program left behind; the kernel makes this process its parent."""
    while True:
        for process in _children():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            # Only once one has died are its children ours, so one at a time.
            if os.waitpid(-1, 0 if _children() else os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(number) for number in file.read().split()]
    except OSError:
        return []


def _libc() -> Any:
    return ctypes.CDLL(None)


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        _libc().prctl(option, value, 0, 0, 0)


def _die_with_parent() -> None:
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    main()
