"""Running programs that a model wrote, to see whether they pass their tests.

**This is not a sandbox.** A program runs as a process of its own, with limits on time, memory, processes and the
size of files, an empty environment and a directory of its own that is deleted afterwards; on Linux, where the
kernel allows it, without a network and, if started by root, as an unprivileged user. It can still read what that
user can read. If the programs may be malicious, run all of this in a container or a virtual machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from nlpsuite.errors import OptionError

__all__ = ["Execution", "Reason", "humaneval_program", "infilled_program", "run_program", "run_programs"]

Reason: TypeAlias = Literal["passed", "failed", "timed out", "memory", "crashed"]

_CHILD = Path(__file__).with_name("execution_child.py")
# For the start of Python on a busy machine, and to end what the program left.
_GRACE_SECONDS = 20.0
_DETAIL_LINES = 6
_DETAIL_BYTES = 4096


@dataclass(frozen=True)
class Execution:
    """The outcome of a program.

    Attributes:
        passed: it ran through to its last line.
        reason: ``failed`` is an exception, or an end before its last line; ``timed out``, over its time;
            ``memory``, over its memory; ``crashed``, ended by a signal.
        detail: the last lines that it wrote on standard error.
        isolation: ``namespaces`` if it ran without network and apart from other processes; ``process`` where
            the kernel allows no such thing, and its sockets were only made unusable from Python.
    """

    passed: bool
    reason: Reason
    detail: str = ""
    isolation: Literal["namespaces", "process"] = "process"


def run_program(source: str, timeout_seconds: float = 5.0, memory_bytes: int = 1 << 30) -> Execution:
    """Run a Python program, by this interpreter, with the standard library alone.

    It has passed if its last line was reached and it ended with 0 before its time was up. It proves so with a
    secret that its process can read only then: ``sys.exit(0)`` half-way, ``os._exit(0)`` and a printed "passed"
    count as failed.

    Args:
        source: the program, with its tests at the end.
        timeout_seconds: of wall clock, from the start of its process. The time of the processor is bounded by
            the same, rounded up.
        memory_bytes: of address space, for each of its processes, of which it can have a few dozen.

    Raises:
        OptionError: not on Linux or macOS; a limit that is not above 0.
    """
    if os.name != "posix":
        raise OptionError(
            "Programs can be run on Linux and macOS only: other systems can't limit them.",
            hint="Use a virtual machine or WSL.",
        )
    if not timeout_seconds > 0 or memory_bytes <= 0:
        raise OptionError("Time and memory of a program must be above 0.")
    token = secrets.token_hex(16)
    token_out, token_in = os.pipe()
    report_out, report_in = os.pipe()
    with (
        tempfile.TemporaryDirectory(prefix="nlpsuite-run-", ignore_cleanup_errors=True) as directory,
        tempfile.TemporaryFile() as text,
        tempfile.TemporaryFile() as errors,
    ):
        try:
            os.write(token_in, token.encode())
            text.write(source.encode("utf-8", "replace"))
            text.seek(0)
            handles = (text.fileno(), token_out, report_in)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_CHILD), *map(str, handles),
                 str(timeout_seconds), str(memory_bytes)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                pass_fds=handles, cwd=directory, env={}, start_new_session=True,
            )  # fmt: skip
            ended = _wait(process, timeout_seconds + _GRACE_SECONDS)
            os.set_blocking(report_out, False)
            report = b""
            with contextlib.suppress(BlockingIOError):
                report = os.read(report_out, 1 << 16)
            return _result(report.decode("ascii", "replace"), ended, token, errors)
        finally:
            for handle in (token_out, token_in, report_out, report_in):
                os.close(handle)


def run_programs(
    sources: Iterable[str], workers: int = 0, timeout_seconds: float = 5.0, memory_bytes: int = 1 << 30
) -> list[Execution]:
    """Run programs, several at a time; results in their order.

    Args:
        workers: programs at a time; 0 is one for each core. More make a program wait for the processor while
            its clock runs.

    Raises:
        OptionError: as ``run_program``.
    """
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        running = [pool.submit(run_program, source, timeout_seconds, memory_bytes) for source in sources]
        try:
            return [each.result() for each in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ended by itself in time. If not, or if we are interrupted, it is ended here."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if (
            process.returncode != -signal.SIGKILL or process.poll() is None
        ):  # it ends with that, and its group
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _result(report: str, ended: bool, token: str, errors: BinaryIO) -> Execution:
    lines = report.split("\n")
    isolation: Literal["namespaces", "process"] = "namespaces" if lines[0] == "separate" else "process"
    detail = _last_lines(errors)
    ends = [line for line in lines if line.startswith(("exit ", "signal ", "timeout"))]
    # Without one, even the watching process was killed, by the program or by the time limit.
    kind, _, number = (ends[-1] if ends else f"signal {signal.SIGKILL:d}" if ended else "timeout").partition(
        " "
    )
    code = int(number) if number.isdecimal() else 0
    if kind == "exit" and code > 128:  # as the namespace's first process reports it
        kind, code = "signal", code - 128
    if kind == "timeout" or (kind == "signal" and code == signal.SIGXCPU):
        return Execution(False, "timed out", detail, isolation)
    if "memory" in lines:
        return Execution(False, "memory", detail, isolation)
    if kind == "signal":
        return Execution(False, "crashed", detail or f"Killed by signal {code}.", isolation)
    if code == 0 and f"passed {token}" in lines:
        return Execution(True, "passed", detail, isolation)
    return Execution(False, "failed", detail or f"Exited with {code} before its tests finished.", isolation)


def _last_lines(errors: BinaryIO) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _DETAIL_BYTES))
    lines = errors.read(_DETAIL_BYTES).decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_DETAIL_LINES:])


def humaneval_program(prompt: str, completion: str, test: str, entry_point: str) -> str:
    """The program that tests a completion of a HumanEval problem (Chen et al. 2021, arXiv:2107.03374).

    The parts of the completion that are used:

    - Of a text with a fenced block of Markdown, the block. Code before a fence, without one that opens it,
      ends there.
    - Where the function's ``def`` line is repeated, the code is used on its own, after what the prompt has before
      its own ``def`` (imports, helpers). Otherwise it continues the prompt.
    - All up to the first line at the left edge after the function's body began. The paper stops at ``class``,
      ``def``, ``#``, ``if`` and ``print`` there; this rule has those and all others that can't be the body's,
      but closing brackets and lines of a string in triple quotes. A fenced block is used whole, since it
      often has helpers after the function.
    - A first line that has lost its indentation, as outputs that were stripped have, gets that of the prompt's
      last line.

    Args:
        prompt: up to the end of the function's docstring.
        completion: what the model wrote.
        test: defines ``check(candidate)``.
        entry_point: the function's name.
    """
    code, fenced = _unfenced(completion)
    defined = re.compile(rf"^(async\s+)?def\s+{re.escape(entry_point)}\b", re.MULTILINE)
    again = defined.search(code)
    if again:
        before = defined.search(prompt)
        helpers = prompt[: before.start()] if before else prompt
        body = code[again.start() :]
        function = helpers + code[: again.start()] + (body if fenced else _function(body))
    else:
        if prompt.endswith("\n"):
            code = _indented(code, prompt.rstrip().rpartition("\n")[2])
        function = prompt + _function(code)
    return f"{function.rstrip()}\n\n{test}\n\ncheck({entry_point})\n"


def infilled_program(prompt: str, completion: str, suffix: str, test: str, entry_point: str) -> str:
    """The program that tests the text of a gap in a solution (Bavarian et al. 2022, arXiv:2207.14255).

    Args:
        prompt, suffix: the program before and behind the gap.
        completion, test, entry_point: as in ``humaneval_program``.
    """
    return f"{(prompt + completion + suffix).rstrip()}\n\n{test}\n\ncheck({entry_point})\n"


_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)


def _unfenced(completion: str) -> tuple[str, bool]:
    """The code, and whether it was a block in fences."""
    first = _FENCE.search(completion)
    if first is None:
        return completion, False
    before = completion[: first.start()]
    if re.search(r"^([ \t]+\S|(async\s+)?def\s|return\b|import\s|from\s)", before, re.MULTILINE):
        return before, False
    rest = completion[first.end() :].removeprefix("\n")
    last = _FENCE.search(rest)
    return (rest[: last.start()] if last else rest), True


def _indented(code: str, model: str) -> str:
    """The code with the indentation of the line ``model`` in front of its first line, if it has none."""
    first = code.lstrip("\n")
    if not first or first[0].isspace() or re.match(r"(class|def|async\s+def|@|#|if __name__)", first):
        return code
    return model[: len(model) - len(model.lstrip())] + first


def _function(code: str) -> str:
    """All up to the first line, after the first one that has text, that begins a statement at the left edge."""
    function: list[str] = []
    started = quoted = False
    for line in code.splitlines(keepends=True):
        edge = not line[0].isspace() and line[0] not in ")]}"
        if started and edge and not quoted:
            break
        started = started or bool(line.strip())
        quoted ^= bool((line.count('"""') + line.count("'''")) % 2)
        function.append(line)
    return "".join(function)
