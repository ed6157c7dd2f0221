"""Dialogues: on a pseudo-terminal as a user types, and with messages piped in as a script does."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import nlpsuite
from nlpsuite.cli.dialogue import hold_dialogue, read_message

# Messages of several lines.


def messages(text: str) -> list[tuple[str, bool]]:
    lines = iter(text.split("\n"))

    def read_line(going_on: bool) -> str:
        try:
            return next(lines) + "\n"
        except StopIteration:
            raise EOFError from None

    found = []
    while True:
        try:
            found.append(read_message(read_line))
        except EOFError:
            return found


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("a\nb", [("a", False), ("b", False)]),
        ("a \\\nb\\\nc\nd", [("a \nb\nc", True), ("d", False)]),
        ("a\\\\\nb", [("a\\\\", False), ("b", False)]),
        ("a\\", [("a", True)]),
        ('"""a\n\n  b\n"""\nc', [("a\n\n  b", True), ("c", False)]),
        ('"""a"""', [("a", True)]),
        ('"""\n/quit\\\n"""', [("/quit\\", True)]),
        ('"""a\nb', [("a\nb", True)]),
        ('""""""', [("", True)]),
        ("  /help  ", [("/help", False)]),
    ],
)
def test_messages_of_several_lines(typed: str, expected: list[tuple[str, bool]]) -> None:
    assert messages(typed) == expected


# Piped in.


@pytest.fixture
def chat(cli, tiny_bundle: Path) -> Callable:
    def run(stdin: bytes, *args: str):
        return cli("run", "chat", "--model", tiny_bundle, "--max-tokens", "4", *args, stdin=stdin)

    return run


def test_a_script_gets_answers_on_stdout_and_nothing_else(chat) -> None:
    alone = chat(b"", "--text", "the sea").out
    outcome = chat(b"the sea\n\n/clear\nthe sea\n/quit\nthe man\n")
    assert (outcome.code, outcome.out) == (0, alone + alone)
    assert outcome.err == "Forgotten.\n"


def test_a_script_without_a_last_newline_or_with_a_byte_order_mark(chat) -> None:
    assert chat(b"\xef\xbb\xbfthe sea").out == chat(b"the sea\n").out


def test_standard_input_by_name_is_one_message(chat) -> None:
    assert chat(b"the sea\nthe man", "-").out == chat(b'"""the sea\nthe man"""\n').out


def test_json_of_piped_input_is_one_message(chat) -> None:
    [line] = chat(b"the sea\nthe man\n", "--json").out.splitlines()
    assert json.loads(line)["source"] == "-"


@pytest.mark.parametrize(
    "stdin, args, code, words",
    [
        (b"", [], 4, "standard input is empty"),
        (b"\n \n", [], 4, "standard input is empty"),
        (b"\xff\n", [], 4, "not valid utf-8"),
        (b"a\n", ["--encoding", "nonesuch"], 2, "no encoding 'nonesuch'"),
        (b"/what\nthe sea\n", [], 4, "no command /what"),
        (b"/load none.json\n", [], 4, "no file none.json"),
        (b"/save\n", [], 4, "/save takes the name of a file"),
        (b"/retry\n", [], 4, "Nothing has been said"),
        (b"the sea " * 200, [], 4, "chat takes 252"),
    ],
)
def test_errors_of_a_script(chat, stdin: bytes, args: list[str], code: int, words: str) -> None:
    outcome = chat(stdin, *args)
    assert outcome.code == code
    assert words in outcome.err and "Traceback" not in outcome.err
    # One bad line does not stop the others.
    assert bool(outcome.out) == (b"the sea\n" in stdin)


def test_another_encoding(chat) -> None:
    assert chat("Käse".encode("latin-1"), "--encoding", "latin-1").out == chat("Käse".encode()).out


def test_commands_of_a_script(chat, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    script = f"""/system
/system Be rude.
the sea
/save {path}
/save {path}
the man
/undo
/clear
/load {path}
/retry
/save! {path}
/help
"""
    outcome = chat(script.encode(), "--system", "Be brief.")
    assert outcome.code == 7  # the second /save
    notes = outcome.err
    for words in (
        "Be brief.\nSet: Be rude.\nSaved 1 turn in ",
        "exists.\n  Use /save! to replace it",
        "Taken back: the man\nForgotten.\nLoaded 1 turn from ",
        "/retry         answer the last message again",
    ):
        assert words in notes
    said = [message["content"] for message in json.loads(path.read_text())["messages"]]
    assert said[:2] == ["Be rude.", "the sea"] and len(said) == 3


def test_a_long_script_slides(chat) -> None:
    outcome = chat(b"the sea and the man\n" * 12)
    assert outcome.code == 0
    assert 1 <= outcome.err.count("it no longer sees the oldest turn") <= 11


# On a terminal.


class Terminal:
    """A dialogue on a pseudo-terminal."""

    def __init__(self, bundle: Path, *args: str, max_tokens: int = 4) -> None:
        command = [sys.executable, "-m", "nlpsuite", "run", "chat", "--model", str(bundle)]
        command += ["--max-tokens", str(max_tokens), *args]
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, {**os.environ, "NO_COLOR": "1", "TERM": "dumb"})
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """What came up to the first match of ``pattern``; it is then taken out of ``seen``."""
        until = time.monotonic() + 60
        while not (match := re.search(pattern, self.seen)):
            assert time.monotonic() < until and self._read(), f"{pattern!r} did not come: {self.seen!r}"
        before, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return before

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._end], [], [], 60)[0]:
            return False
        try:
            chunk = os.read(self._end, 4096)
        except OSError:  # Linux says so when the child has closed its end
            return False
        self.seen += chunk.decode(errors="replace").replace("\r\n", "\n")
        return bool(chunk)


@pytest.fixture
def terminal(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path / "data"))
    started: list[Terminal] = []

    def start(*args: str, **options: int) -> Terminal:
        started.append(Terminal(tiny_bundle, *args, **options))
        return started[-1]

    yield start
    for each in started:
        try:
            os.kill(each.pid, signal.SIGKILL)
            os.waitpid(each.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_a_whole_dialogue(terminal, tmp_path: Path) -> None:
    talk = terminal()
    talk.wait_for(r"/help lists the commands, Ctrl-D ends\.\n> ")
    talk.type("hello\n")
    talk.wait_for("\n> ")
    talk.type('"""two\n')
    talk.wait_for(r"\n\. ")
    talk.type('lines"""\n')
    talk.wait_for("\n> ")
    talk.type(f"/save {tmp_path}/talk.json\n")
    talk.wait_for("Saved 2 turns")
    talk.type("/nonsense\n")
    talk.wait_for(r"no command /nonsense\.\n  /help lists them")
    talk.type("/quit\n")
    assert talk.end() == 0
    said = [message["content"] for message in json.loads((tmp_path / "talk.json").read_text())["messages"]]
    assert (said[1], said[3]) == ("hello", "two\nlines")


def test_ctrl_c_stops_an_answer_and_ctrl_d_ends(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With what the keys raise in place of the keys: when a signal arrives is a matter of luck."""
    pipeline = nlpsuite.load("chat", model=str(tiny_bundle), max_tokens=4)
    typed = iter(["the sea", KeyboardInterrupt, "the man", f"/save {tmp_path}/talk.json", EOFError])
    interrupted: list[str] = []
    run = pipeline.run

    def answer(record: nlpsuite.Record, *args: object, **options: object) -> object:
        if record.text == "the sea":
            interrupted.append(record.text)
            raise KeyboardInterrupt
        return run(record, *args, **options)

    def read(prompt: str = "") -> str:
        line = next(typed)
        if not isinstance(line, str):
            raise line
        return line

    monkeypatch.setattr(pipeline, "run", answer)
    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path / "data"))
    assert hold_dialogue(pipeline) == 0
    notes = capsys.readouterr().err
    assert interrupted and "Stopped; the answer is not part of the conversation." in notes
    assert "Dropped; Ctrl-D ends." in notes
    said = [message["content"] for message in json.loads((tmp_path / "talk.json").read_text())["messages"]]
    assert said[1] == "the man" and len(said) == 3


def test_what_was_typed_is_remembered_privately(terminal, tmp_path: Path) -> None:
    first = terminal()
    first.wait_for("> ")
    first.type("/system Mind the gap\n")
    first.wait_for("Set: Mind the gap\n> ")
    os.kill(first.pid, signal.SIGKILL)  # as if the window was closed
    first.end()
    history = tmp_path / "data" / "history"
    assert history.read_text().splitlines()[-1] == "/system Mind the gap"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700

    second = terminal()
    second.wait_for("> ")
    second.type("\x10\n")  # Ctrl-P, as the arrow up
    second.wait_for("Set: Mind the gap\n> ")
    second.type("/quit\n")
    assert second.end() == 0


def test_a_history_that_can_not_be_kept_does_no_harm(terminal, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the directory should be")
    talk = terminal()
    talk.wait_for("> ")
    talk.type("hello\n")
    talk.wait_for("\n> ")
    talk.type("\x04")
    assert talk.end() == 0
    assert "Traceback" not in talk.seen


def test_a_long_history_is_cut(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from nlpsuite.cli.line_history import open_history
import readline
keep = open_history(Path({str(tmp_path / "history")!r}))
for number in range(1100):
    readline.add_history(str(number))
keep()
keep()
open_history(Path({str(tmp_path / "history")!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    lines = (tmp_path / "history").read_text().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (1000, "100", "1099")
