"""The dialogue of a conversational task: on a terminal, or with messages that are piped in."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nlpsuite.cli import show_error
from nlpsuite.cli.pieces import Pieces
from nlpsuite.data.text import known_encoding
from nlpsuite.errors import InputInvalidError, NlpsuiteError

if TYPE_CHECKING:
    from nlpsuite.tasks.conversation import Conversation
    from nlpsuite.tasks.pipeline import Pipeline
    from nlpsuite.tasks.result import Result

__all__ = ["hold_dialogue", "read_message"]

_HELP = """\
/system TEXT   set the instructions; without TEXT, show them
/save FILE     write the conversation to a file; /save! replaces one that exists
/load FILE     resume a saved conversation
/retry         answer the last message again, differently
/undo          take back the last message and its answer
/clear         forget the conversation
/help          show this
/quit          end it, as Ctrl-D does
End a line with \\ to continue it on the next, or put several lines between \"\"\" and \"\"\"."""


def hold_dialogue(pipeline: Pipeline, encoding: str = "utf-8") -> int:
    """Read messages and answer them until the end of input or /quit.

    Args:
        encoding: of piped input.

    Returns:
        The exit code: 0, or for piped input that of the first error.
    """
    from nlpsuite.tasks.conversation import Conversation

    dialogue = _Dialogue(Conversation(pipeline))
    if not sys.stdin.isatty():
        return _hold_script(dialogue, encoding)
    from nlpsuite.cli.line_history import open_history
    from nlpsuite.paths import history_path

    click.echo(f"{pipeline.model.bundle.name}. /help lists the commands, Ctrl-D ends.", err=True)
    save_history = open_history(history_path())
    while not dialogue.ended:
        try:
            text, plain = read_message(_typed)
        except EOFError:
            click.echo(err=True)
            break
        except KeyboardInterrupt:
            click.echo("\nDropped; Ctrl-D ends.", err=True)
            continue
        try:
            save_history()
            dialogue.take(text, plain)
        except KeyboardInterrupt:
            click.echo("\nStopped; the answer is not part of the conversation.", err=True)
    return 0


def read_message(read_line: Callable[[bool], str]) -> tuple[str, bool]:
    r"""Read one message of one or several lines.

    Args:
        read_line: gives the next line; its argument says whether it continues a message. Raises
            EOFError where there is none.

    Returns:
        The message, and whether it is one in any case: text between three quotes is never a command.

    Raises:
        EOFError: the input ended before a message began.
    """
    line = read_line(False).strip()
    if line.startswith('"""'):
        return _quoted(line[3:], read_line), True
    lines = []
    # Two backslashes at the end are two backslashes.
    while (len(line) - len(line.rstrip("\\"))) % 2:
        lines.append(line[:-1])
        try:
            line = read_line(True).rstrip()
        except EOFError:
            line = ""
    return "\n".join([*lines, line]).strip(), bool(lines)


def _quoted(line: str, read_line: Callable[[bool], str]) -> str:
    lines = []
    while not line.endswith('"""'):
        lines.append(line)
        try:
            line = read_line(True).rstrip()
        except EOFError:
            line = '"""'
    return "\n".join([*lines, line[:-3]]).strip()


def _typed(going_on: bool) -> str:
    prompt = ". " if going_on else "> "
    if sys.stdout.isatty():
        return input(prompt)
    click.echo(prompt, err=True, nl=False)  # the answers go into a file or a pipe
    return input()


def _hold_script(dialogue: _Dialogue, encoding: str) -> int:
    name = known_encoding(encoding)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # utf-8-sig drops the byte order mark of some editors.
        sys.stdin.reconfigure(encoding="utf-8-sig" if name == "utf-8" else name, errors="strict")

    def read_line(going_on: bool) -> str:
        try:
            line = sys.stdin.readline()
        except UnicodeError:
            raise InputInvalidError(
                f"standard input is not valid {encoding}.",
                hint="Name its encoding, for example --encoding latin-1 or --encoding cp1252.",
            ) from None
        if not line:
            raise EOFError
        return line

    while not dialogue.ended:
        try:
            dialogue.take(*read_message(read_line))
        except EOFError:
            break
    if not dialogue.used:
        raise InputInvalidError(
            "standard input is empty.", hint="There must be a message, or a terminal to type one."
        )
    return dialogue.code


class _Dialogue:
    """Answers messages and obeys commands.

    Attributes:
        ended: /quit was said.
        used: there was anything but empty lines.
        code: the exit code of the first error.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.ended = self.used = False
        self.code = 0

    def take(self, text: str, plain: bool) -> None:
        """Answer a message or obey a command.

        Args:
            plain: it is a message even if it looks like a command.
        """
        self.used = self.used or bool(text)
        try:
            if text.startswith("/") and not plain:
                self._obey(text)
            elif text:
                self._answer(partial(self._conversation.ask, text))
        except NlpsuiteError as error:
            show_error(error)
            self.code = self.code or error.exit_code

    def _answer(self, ask: Callable[[Callable[[str], None], Callable[[str], None]], Result]) -> None:
        pieces = Pieces(_show, _note)
        ask(pieces.text, pieces.notice)
        pieces.end()

    def _obey(self, text: str) -> None:
        talk = self._conversation
        command, _, argument = text.partition(" ")
        argument = argument.strip()
        if command == "/system":
            if argument:
                talk.system = argument
            _note(("Set: " if argument else "") + (talk.system or "There are no instructions."))
        elif command in ("/save", "/save!"):
            path = _path(argument, command)
            talk.save(path, overwrite=command == "/save!")
            _note(f"Saved {_turns(len(talk.turns))} in {path}.")
        elif command == "/load":
            path = _path(argument, command)
            notices = talk.load(path)
            _note("\n".join([f"Loaded {_turns(len(talk.turns))} from {path}.", *notices]))
        elif command == "/retry":
            self._answer(talk.retry)
        elif command == "/undo":
            _note(f"Taken back: {talk.undo().question}")
        elif command == "/clear":
            talk.clear()
            _note("Forgotten.")
        elif command == "/quit":
            self.ended = True
        elif command == "/help":
            _note(_HELP)
        else:
            raise InputInvalidError(
                f"There is no command {command}.",
                hint='/help lists them. A message that begins with / goes between """ and """.',
            )


def _path(argument: str, command: str) -> Path:
    if not argument or "\0" in argument:
        raise InputInvalidError(
            f"{command} takes the name of a file.", hint=f"For example {command} talk.json."
        )
    try:
        return Path(argument).expanduser()
    except RuntimeError as error:  # ~nobody
        raise InputInvalidError(f"{argument}: {error}") from None


def _turns(count: int) -> str:
    return "1 turn" if count == 1 else f"{count} turns"


def _note(text: str) -> None:
    click.echo(text, err=True)


def _show(text: str) -> None:
    # A terminal's encoding may be too narrow for what a model says.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
