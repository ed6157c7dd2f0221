"""``nlpsuite run TASK [FILE…]``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.task_commands import (
    TaskGroup,
    grouped,
    input_flags,
    model_flags,
    prompt_flags,
    runtime_flags,
    task_command,
)

__all__ = ["command"]


def _command(name: str) -> click.Command:
    flags = [*input_flags(), *prompt_flags(), *model_flags(), *_run_flags()]
    return task_command(name, _run, flags)


def _run(*args: Any, **values: Any) -> int:
    from nlpsuite.cli.run import run_task

    return run_task(*args, **values)


@click.command(cls=TaskGroup, make=_command, subcommand_metavar="TASK [OPTIONS] [FILE|-]...")
def command() -> None:
    """Run a task on files, text or standard input.

    \b
    nlpsuite run summarize article.txt
    nlpsuite run summarize --length short a.txt b.txt --json
    nlpsuite run TASK --help    shows a task's options
    """


def _run_flags() -> list[click.Parameter]:
    output: list[click.Parameter] = [
        click.Option(["--guard"], type=click.Choice(["warn", "block"]),
                     help="Screen the output: warn about what is flagged, or block it."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object per input, one per line."),
        click.Option(["--output", "-o"], metavar="FILE", help="Write the results to a file."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the output file if it exists."),
    ]  # fmt: skip
    return [*runtime_flags(), *grouped("Output", output)]
