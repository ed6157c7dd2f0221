"""``nlpsuite prompts show TASK`` and ``nlpsuite prompts list``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.help import HelpGroup
from nlpsuite.cli.output import print_json
from nlpsuite.cli.task_commands import TaskGroup, input_flags, model_flags, prompt_flags, task_command
from nlpsuite.plugins import installed_tasks

__all__ = ["command"]


@click.group(cls=HelpGroup)
def command() -> None:
    """Show the text that a task sends to the model.

    \b
    nlpsuite prompts list
    nlpsuite prompts show summarize
    nlpsuite prompts show sentiment --text "What a film!" --json
    """


def _show_command(name: str) -> click.Command:
    as_json = click.Option(
        ["--json", "as_json"], is_flag=True, help="One JSON object a line for each prompt."
    )
    return task_command(name, _show, [*input_flags(), *prompt_flags(), *model_flags(), as_json])


def _show(*args: Any, **values: Any) -> int:
    from nlpsuite.cli.prompts import show_prompts

    return show_prompts(*args, **values)


@command.command(cls=TaskGroup, make=_show_command, subcommand_metavar="TASK [OPTIONS] [FILE|-]...")
def show() -> None:
    """Print the exact text that a task would send for an input; without one, {text} stands for it.

    Control tokens are shown as the model's tokenizer writes them. The choices, stop strings, limits
    and sampling that go with the text are listed on standard error, or with --json in its object. The
    model's weights are not loaded.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List the tasks with the form of their prompt and the placeholders of a --prompt-file."""
    from nlpsuite.cli import show_error
    from nlpsuite.cli.prompts import described
    from nlpsuite.errors import NlpsuiteError

    rows = []
    for name in installed_tasks():
        try:
            rows.append(described(name))
        except NlpsuiteError as error:  # one broken plugin must not hide the others
            show_error(error)
    if as_json:
        print_json(rows)
        return
    width = max((len(row["task"]) for row in rows), default=0)
    for row in rows:
        placeholders = " ".join(f"{{{name}}}" for name in row["placeholders"])
        click.echo(f"{row['task']:<{width}}  {row['form']:<12}  {placeholders}")
