"""Runs a job in child processes that are killed and resumed: see test_crashes.py.

A child is forked off this process once all is imported, so that a hundred of them take seconds. Each loads the
model itself: this process never does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request
from nlpsuite.errors import NlpsuiteError
from nlpsuite.runtime.language_model import LanguageModel

assert LanguageModel  # imported before any fork


def forked(action: Any) -> int:
    """The exit status of a child that does ``action``; negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        code = action()
    except NlpsuiteError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = error.exit_code
    finally:
        os._exit(code)


class Killer:
    """Ends this process by SIGKILL before or after a certain file operation of it."""

    def __init__(self, place: int | None, log: Path | None) -> None:
        self.place, self.log, self.count = place, log, 0

    def install(self) -> None:
        for name in ("replace", "fsync", "write"):
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, real: Any) -> Any:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if self.reached(f"before {name}"):
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])  # torn in the middle
                self.die()
            result = real(*args, **kwargs)
            if self.reached(f"after {name}"):
                self.die()
            return result

        return operation

    def reached(self, what: str) -> bool:
        if self.log:
            with self.log.open("a") as file:
                file.write(what + "\n")
        self.count += 1
        return self.count - 1 == self.place

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.stdin.read())
    place = Path(order["place"])

    def request(output: Path) -> ScoreRequest:
        return ScoreRequest(output=output, **order["request"])

    def whole(output: Path) -> int:
        return score_request(request(output)).exit_code

    plain = place / "plain.jsonl"
    log = place / "operations"

    def logged() -> int:
        Killer(None, log).install()
        return whole(plain)

    expected_code = forked(logged)
    expected = plain.read_bytes()
    operations = log.read_text().splitlines()
    failures = []

    def check(what: str, output: Path) -> None:
        code = forked(lambda: whole(output))
        if code != expected_code or output.read_bytes() != expected:
            failures.append(
                f"{what}: exit code {code}, {'same' if output.read_bytes() == expected else 'other'} bytes"
            )

    killed = 0
    for i, what in enumerate(operations) if order["points"] else []:
        output = place / f"point{i}.jsonl"

        def dying(i: int = i, output: Path = output) -> int:
            Killer(i, None).install()
            return whole(output)

        status = forked(dying)
        killed += status == -signal.SIGKILL
        if status not in (-signal.SIGKILL, expected_code):
            failures.append(f"{i} {what}: ended with {status}")
        check(f"{i} {what}", output)
    draw = random.Random(order["seed"])
    started = time.monotonic()
    forked(lambda: whole(place / "timed.jsonl"))
    typical = time.monotonic() - started
    for i in range(order["random"]):
        output = place / f"random{i}.jsonl"
        for _ in range(3):  # killed again while it goes on
            child = os.fork()
            if not child:
                try:
                    whole(output)
                finally:
                    os._exit(99)
            time.sleep(draw.uniform(0, typical))
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check(f"random {i}", output)
    print(
        json.dumps({"operations": operations, "failures": failures, "killed": killed, "code": expected_code})
    )


main()
