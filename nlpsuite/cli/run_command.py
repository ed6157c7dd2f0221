"""``nlpsuite run TASK [FILE…]``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.task_commands import TaskGroup, input_flags, model_flags, prompt_flags, task_command

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
    return [
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]),
                     help="Where the model runs.  [default: auto]"),
        click.Option(["--threads"], type=click.IntRange(0, 256), help="CPU threads; 0 uses every core.  [default: 0]"),
        click.Option(["--guard"], type=click.Choice(["warn", "block"]),
                     help="Screen the output; tell of what is flagged, or block it."),
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line for each input."),
        click.Option(["--output", "-o"], type=click.Path(), help="Write the results to this file."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the output file if there is one."),
    ]  # fmt: skip
