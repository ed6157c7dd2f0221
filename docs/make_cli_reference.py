"""Write docs/cli.md: what ``--help`` says of every verb and bundled task.

python docs/make_cli_reference.py           writes the page
python docs/make_cli_reference.py --print   prints it instead; a test compares that with the page
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """# Command line

<!-- Made by docs/make_cli_reference.py from --help; don't edit. -->

Every command with `--help`, as it is without plugins of others. What the tasks do is in
[README.md](../README.md), what the options of a task may be set to for good in
[configuration.md](configuration.md).
"""


def sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    """The command line and the help of a command and of all below it."""
    context = click.Context(
        command, parent, name, terminal_width=WIDTH, color=False, **command.context_settings
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from sections(found, context, below)


def page() -> str:
    """The page's text."""
    # Neither the user's configuration nor what others have installed is part of it.
    os.environ |= {"NLPSUITE_NO_PLUGINS": "*", "NLPSUITE_CONFIG": os.devnull}
    from nlpsuite.cli import cli

    parts = [HEAD]
    for path, text in sections(cli, None, "nlpsuite"):
        lines = "\n".join(line.rstrip() for line in click.unstyle(text).splitlines())
        parts.append(f"## {path}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(page().encode())
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(PAGE)
