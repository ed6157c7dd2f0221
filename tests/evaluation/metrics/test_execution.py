import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlpsuite.errors import OptionError
from nlpsuite.evaluation.metrics.execution import (
    Execution,
    humaneval_program,
    infilled_program,
    run_program,
    run_programs,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs are run on POSIX systems")

# Not NLPSUITE_DATA, which the tests set to an empty directory.
HUMANEVAL = Path(__file__).parents[2].parent / "shared" / "data" / "code" / "humaneval" / "HumanEval.jsonl.gz"


def reason(program: str, seconds: float = 20.0, memory: int = 1 << 30) -> str:
    result = run_program(program, seconds, memory)
    assert result.passed == (result.reason == "passed")
    return result.reason


def test_a_program_passes_once_its_last_line_has_run() -> None:
    result = run_program("assert 1 + 1 == 2")
    assert (result.passed, result.reason, result.detail) == (True, "passed", "")


def test_a_failure_comes_with_the_last_lines_of_its_traceback() -> None:
    result = run_program("def f():\n    return 1\n\nassert f() == 2, 'so it is'")
    assert (result.passed, result.reason) == (False, "failed")
    assert result.detail.splitlines()[-1] == "AssertionError: so it is"
    assert 'File "program.py", line 4' in result.detail
    assert "execution_child" not in result.detail


@pytest.mark.parametrize(
    "early",
    [
        "import os; os._exit(0)",
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "quit = None; raise KeyboardInterrupt",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "print('passed'); import os; os._exit(0)",
        "import os; [os.write(n, b'passed\\nexit 0\\n') for n in range(3, 20) if n in map(int, os.listdir('/dev/fd'))]"
        "; os._exit(0)",
        "import atexit, os; atexit.register(os._exit, 0); raise ValueError",
        "import os; os.closerange(0, 256); os._exit(0)",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL); os._exit(0)",
        "this is no program",
        "\0",
        "x = '\udc80'\nassert x == 0",
    ],
)  # fmt: skip
def test_no_other_end_counts_as_passed(early: str) -> None:
    assert reason(early + "\nassert False") in ("failed", "crashed")


def test_a_child_of_the_program_does_not_pass_for_it() -> None:
    assert reason("import os, time\nif os.fork():\n    os.wait()\n    os._exit(0)") == "failed"


def test_a_loop_without_end_is_ended() -> None:
    begin = time.monotonic()
    assert reason("while True: pass", seconds=0.3) == "timed out"
    assert reason("import time; time.sleep(100)", seconds=0.3) == "timed out"
    assert reason("import signal\nfor n in range(1, 32):\n    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n"
                  "while True: pass", seconds=0.5) == "timed out"  # fmt: skip
    assert time.monotonic() - begin < 30


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit on memory")
@pytest.mark.parametrize(
    "greedy", ["x = 'a' * 10**12", "x = []\nwhile True: x.append('a' * 10**6 + str(len(x)))"]
)
def test_memory_is_bounded(greedy: str) -> None:
    assert reason(greedy, memory=256 << 20) == "memory"


def test_a_crash_is_told_from_a_failure() -> None:
    result = run_program("import ctypes\nctypes.string_at(0)", 20)
    assert (result.reason, result.detail) == ("crashed", "Killed by signal 11.")


def test_files_and_output_are_bounded_and_the_directory_is_gone(tmp_path: Path) -> None:
    writes = "with open('{}', 'wb') as f:\n    for _ in range(10_000): f.write(bytes(1_000_000))"
    result = run_program(writes.format("large"), 20)
    assert (result.reason, result.detail.splitlines()[-1]) == ("failed", "OSError: [Errno 27] File too large")
    where = run_program("import os, sys\nopen('mine', 'w').write('x')\nsys.exit(os.getcwd())")
    directory = where.detail.split(": ")[1]
    assert "nlpsuite-run-" in directory
    assert not os.path.exists(directory)
    loud = run_program(
        "import sys\nfor i in range(100): print(i, 'x' * 1000, file=sys.stderr)\nprint('y' * 10**6)"
    )
    assert loud.passed
    assert 3_000 < len(loud.detail) <= 4_096


def test_a_program_sees_neither_environment_nor_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert (
        reason("import os, sys\nassert not os.environ, os.environ\nassert sys.stdin.read() == ''") == "passed"
    )
    assert reason("import subprocess\nassert b'SECRET' not in subprocess.run('/usr/bin/env', capture_output=True"
                  ").stdout") == "passed"  # fmt: skip
    assert reason("import pytest") == "failed"


def test_there_is_no_network() -> None:
    server = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(server.getsockname())"
    assert reason(server) == "failed"
    assert reason("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)") == "failed"


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are tracked on Linux only")
@pytest.mark.parametrize("end", ["", "while True: pass", "assert False"])
def test_nothing_of_a_program_is_left_running(end: str) -> None:
    mark = f"9{time.time_ns() % 10**8}"
    daemon = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep({mark})"])
    os._exit(0)
os.wait()
time.sleep(0.2)
"""
    assert run_program(daemon + end, 1.5).reason == {"": "passed", "assert False": "failed"}.get(
        end, "timed out"
    )
    assert not [line for line in _command_lines() if mark in line]


def _command_lines() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_text(errors="replace"))
        except OSError:
            continue
    return found


def test_many_children_are_ended_with_their_parent() -> None:
    forks = "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        time.sleep(1000)\n"
    begin = time.monotonic()
    assert reason(forks) == "passed"
    assert time.monotonic() - begin < 15


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs the command unshare")
def test_without_namespaces_the_watching_process_cleans_up() -> None:
    """Where the kernel allows no new namespace: no network from Python, orphans found by their adoption."""
    mark = f"8{time.time_ns() % 10**8}"
    ask = f"""
from nlpsuite.evaluation.metrics.execution import run_program
orphan = '''import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep({mark})"])
    os._exit(0)
os.wait()
time.sleep(0.2)
'''
for program in (orphan, "import socket; socket.socket()", "while True: pass"):
    result = run_program(program, 1.5)
    print(result.reason, result.isolation)
"""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces || exit 9; exec "$0" -c "$1"'
    outcome = subprocess.run(["unshare", "-U", "-r", "sh", "-c", forbid, sys.executable, ask],
                             capture_output=True, text=True)  # fmt: skip
    if outcome.returncode in (1, 9) and not outcome.stdout:
        pytest.skip("the kernel lets us have no namespace to forbid them in")
    assert outcome.stdout.splitlines() == ["passed process", "failed process", "timed out process"]
    assert not [line for line in _command_lines() if mark in line]


def test_results_come_in_the_order_of_the_programs() -> None:
    programs = [f"import time; time.sleep({0.2 - i / 40}); assert {i} % 3" for i in range(6)]
    assert [result.passed for result in run_programs(programs, workers=3)] == [False, True, True] * 2
    assert run_programs([], workers=3) == []


def test_limits_must_be_above_zero() -> None:
    with pytest.raises(OptionError):
        run_program("pass", 0)
    with pytest.raises(OptionError):
        run_program("pass", 1, 0)


# HumanEval.

PROMPT = 'import math\n\ndef helper(x):\n    return x\n\ndef area(r):\n    """Of a circle."""\n'
TEST = "def check(candidate):\n    assert candidate(2) == 12\n"


def area_of(completion: str, prompt: str = PROMPT) -> Execution:
    return run_program(humaneval_program(prompt, completion, TEST, "area"), 20)


@pytest.mark.parametrize(
    "completion",
    [
        "    return int(helper(math.pi * r * r))\n",
        "\n    return int(\n        helper(math.pi * r * r)\n)\n",
        "return 12",
        "x = 12\n    return x",
        "    return 12\n\n# next\nraise ValueError",
        "    return 12\nprint(1 / 0)",
        "    return 12\nif __name__ == '__main__':\n    1 / 0",
        "    return 12\n\ndef other():\n  broken(",
        "    return 12\n\nclass Other:\n  broken(",
        "    return 12\n@broken(",
        "    return 12\nassert area(2) == 13",
        '    text = """\nleft edge\n"""\n    return 12\nbroken(',
        "    return 12\n```\nThis is why.",
        "def area(r):\n    return 12\n\nprint(area(1) / 0)",
        "import cmath\n\ndef area(r):\n    return int(helper(cmath.pi * r * r))\n\narea(",
        "Sure, here it is:\n\n```python\ndef area(r):\n    return inner(r)\n\ndef inner(r):\n    return 12\n```\nDone!",
        "```\n    return 12\n```",
        "```py\nreturn 12",
        "    return 12\r\n\r\ndef other(",
    ],
)
def test_what_is_taken_of_a_completion(completion: str) -> None:
    result = area_of(completion)
    assert result.passed, result.detail


@pytest.mark.parametrize(
    "completion", ["", "    pass", "    return 13", "    return (", "def area(r): pass", "```"]
)
def test_a_completion_that_does_not_do_it_fails(completion: str) -> None:
    assert area_of(completion).reason == "failed"


def test_a_prompt_may_end_within_a_line() -> None:
    assert area_of("12\n\nprint(1 / 0)", PROMPT + "    return ").passed


def test_a_gap_is_tested_with_what_follows_it() -> None:
    def filled(completion: str) -> Execution:
        suffix = "\n    return int(helper(found))\n"
        return run_program(infilled_program(PROMPT, completion, suffix, TEST, "area"), 20)

    assert filled("    found = math.pi * r * r").passed
    assert filled("    found = r").reason == "failed"


@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="the data set is not here")
def test_the_solutions_of_humaneval_pass_and_empty_bodies_fail() -> None:
    with gzip.open(HUMANEVAL, "rt", encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    assert len(problems) == 164

    def programs(body: str | None) -> list[str]:
        return [
            humaneval_program(p["prompt"], body or p["canonical_solution"], p["test"], p["entry_point"])
            for p in problems
        ]

    solved = run_programs(programs(None), timeout_seconds=60)
    assert [p["task_id"] for p, result in zip(problems, solved) if not result.passed] == []
    empty = run_programs(programs("    pass\n"), timeout_seconds=60)
    assert [p["task_id"] for p, result in zip(problems, empty) if result.reason != "failed"] == []
