"""What can be tested on Linux of running on Windows: no module needs what only Unix has to be imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in (ROOT / "nlpsuite", *ROOT.glob("plugins/nlpsuite_*"))
    for path in folder.rglob("*.py")
    if "template" not in path.parts
)

# Only our own imports are refused: on Linux, the standard library needs these modules itself.
IMPORT_ALL = """
import builtins, importlib, pkgutil, sys, warnings
BLOCKED = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
real = builtins.__import__
def guarded(name, globals=None, *rest, **options):
    importer = (globals or {}).get("__name__", "")
    if name.partition(".")[0] in BLOCKED and importer.startswith("nlpsuite"):
        raise ImportError(f"{name} doesn't exist on Windows")
    return real(name, globals, *rest, **options)
builtins.__import__ = guarded
warnings.simplefilter("ignore")
count = 0
for package in sys.argv[1:]:
    top = importlib.import_module(package)
    for module in pkgutil.walk_packages(top.__path__, package + "."):
        if not module.name.endswith("__main__") and ".template" not in module.name:
            importlib.import_module(module.name)
            count += 1
print(count)
"""


def test_every_module_is_imported_without_the_modules_of_unix() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("ray")
    packages = ["nlpsuite", *(path.name for path in ROOT.glob("plugins/nlpsuite_*"))]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, *packages], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


UNIX_ONLY = {
    "os": set(
        "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK WNOHANG chown fork forkpty getegid geteuid getgid getpgid "
        "getuid killpg mkfifo posix_spawn pread pwrite register_at_fork sched_getaffinity setsid statvfs sysconf "
        "uname waitid".split()
    ),
    "signal": set(
        "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGXCPU alarm "
        "pthread_sigmask setitimer".split()
    ),
    "socket": {"AF_UNIX"},
}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions that run when a module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [*child.args.defaults, *filter(None, child.args.kw_defaults)]
            decorators = [] if isinstance(child, ast.Lambda) else child.decorator_list
            for part in (*defaults, *decorators):
                yield from ast.walk(part)
            continue
        yield child
        yield from at_import(child)


def unix_names(source: str) -> list[str]:
    """Names of Unix alone that importing ``source`` uses, with their lines."""
    found = []
    for node in at_import(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in UNIX_ONLY.get(node.value.id, ()):
                found.append(f"{node.value.id}.{node.attr}:{node.lineno}")
        elif isinstance(node, ast.ImportFrom) and node.module in UNIX_ONLY:
            unix = UNIX_ONLY[node.module]
            found += [f"{node.module}.{a.name}:{node.lineno}" for a in node.names if a.name in unix]
    return found


def test_no_module_uses_names_of_unix_when_it_is_imported() -> None:
    assert len(SOURCES) > 200
    found = {str(path.relative_to(ROOT)): unix_names(path.read_text("utf-8")) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source, names",
    [
        ("import os\nFLAGS = os.O_RDONLY | os.O_DIRECTORY\n", ["os.O_DIRECTORY:2"]),
        ("import signal\ndef f(number=signal.SIGKILL): ...\n", ["signal.SIGKILL:2"]),
        ("from signal import SIGINT, SIGHUP\n", ["signal.SIGHUP:1"]),
        ("import os\nclass A:\n    x = [os.getuid()]\n", ["os.getuid:3"]),
        ("import os\ndef f():\n    return os.fork()\nx = lambda: os.fork()\n", []),
    ],
)
def test_such_names_are_found(source: str, names: list[str]) -> None:
    assert unix_names(source) == names
