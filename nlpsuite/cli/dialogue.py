"""The dialogue of a conversational task on a terminal."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from nlpsuite.cli import show_error
from nlpsuite.errors import NlpsuiteError

if TYPE_CHECKING:
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["hold_dialogue"]


def hold_dialogue(pipeline: Pipeline) -> int:
    """Read messages and answer them until the end of input or /quit."""
    from nlpsuite.runtime.prompt import Message
    from nlpsuite.tasks.base import Record

    with contextlib.suppress(ImportError):  # Windows
        import readline  # noqa: F401  (line editing and history for input())
    click.echo(
        f"{pipeline.model.bundle.name}. /clear forgets the conversation, /quit or Ctrl-D ends it.", err=True
    )
    history: tuple[Message, ...] = ()
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo(err=True)
            return 0
        if text == "/quit":
            return 0
        if text == "/clear":
            history = ()
            click.echo("Forgotten.", err=True)
        elif text.startswith("/"):
            click.echo("Commands: /clear, /quit.", err=True)
        elif text:
            try:
                result = pipeline.run(Record(text, history), on_text=_show)
            except NlpsuiteError as error:
                show_error(error)
                click.echo("  Or start afresh with /clear.", err=True)
                continue
            except KeyboardInterrupt:
                click.echo("\nStopped; the answer is not part of the conversation.", err=True)
                continue
            click.echo()
            history += (Message("user", text), Message("assistant", result.output.text))


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
