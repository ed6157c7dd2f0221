"""Commands with a subcommand for each task, whose options become flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import click

from nlpsuite.cli.help import GroupedCommand, grouped
from nlpsuite.plugins import find_task, installed_tasks, load_task

__all__ = ["TaskGroup", "grouped", "input_flags", "model_flags", "prompt_flags", "task_command"]


class TaskGroup(click.Group):
    """The installed tasks as subcommands; a task is imported only when it is used.

    Args:
        make: builds the command of a task, given its name.
    """

    def __init__(self, *args: Any, make: Callable[[str], click.Command], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._make = make

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(installed_tasks())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        find_task(cmd_name)
        return self._make(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        return args[0], self.get_command(ctx, args[0]), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Tasks"):
            formatter.write_dl([(p.name, p.summary) for p in installed_tasks().values()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [p for p in installed_tasks().values() if p.name.startswith(incomplete)]
        return [CompletionItem(p.name, help=p.summary) for p in names]


def task_command(
    name: str,
    action: Callable[..., int],
    flags: Sequence[click.Parameter],
    argument: click.Argument | None = None,
) -> click.Command:
    """A click command whose flags are the task's options and ``flags``.

    Args:
        action: called with the task, the files, the options set by flags or configuration, and the
            values of ``flags``; those that ``[run]`` can set are filled in.
        argument: the positional argument ``files``; by default any number of files.
    """
    from nlpsuite.cli.flags import flag, given_options
    from nlpsuite.options import GenerationOptions, option_specs

    task = load_task(name)
    specs = option_specs(task.options)
    general = {spec.name for spec in option_specs(GenerationOptions)}
    files = argument or click.Argument(["files"], nargs=-1, metavar="[FILE|-]...")
    params = [
        files,
        *grouped("Task options", [flag(spec) for spec in specs if spec.name not in general]),
        *grouped("Generation", [flag(spec) for spec in specs if spec.name in general]),
        *flags,
    ]

    def callback(files: Any, **values: Any) -> int:
        from nlpsuite.config import RunOptions, read_configuration

        given = given_options(specs, values)
        configuration = read_configuration()
        for name, value in (dataclasses.asdict(RunOptions()) | dict(configuration.run)).items():
            if name in values and values[name] is None:
                values[name] = value
        options = configuration.task_options(task.name, task.options) | given
        return action(task, files, options, **values)

    summary = find_task(name).summary
    return GroupedCommand(name, params=params, callback=callback, help=summary, short_help=summary)


def input_flags() -> list[click.Parameter]:
    """Flags for the input."""
    return grouped("Input", [
        click.Option(["--text", "texts"], multiple=True, metavar="TEXT",
                     help="Use this text instead of a file. Repeat for several."),
        click.Option(["--encoding"], metavar="NAME", default="utf-8", show_default=True,
                     help="Set the encoding of the input files."),
        click.Option(["--max-parts"], type=click.IntRange(1), metavar="N", default=64, show_default=True,
                     help="Split a long text into at most N parts."),
    ])  # fmt: skip


def model_flags() -> list[click.Parameter]:
    """Flags that choose the model."""
    return grouped("Model", [
        click.Option(["--model"], metavar="MODEL",
                     help="Use this bundle, .gguf file, checkpoint directory or hf:owner/name."),
        click.Option(["--adapter"], metavar="FILE",
                     help="Merge this adapter into the model; `none` leaves out the task's own."),
        click.Option(["--precision"], type=click.Choice(["int8", "int4", "fp16", "fp32"]),
                     help="Set the precision of the weights.  [default: int8]"),
    ])  # fmt: skip


def prompt_flags() -> list[click.Parameter]:
    """Flags that change a task's prompt."""
    return grouped("Prompt", [
        click.Option(["--prompt-file"], metavar="FILE", help="Use your own prompt, a file with {text} in it."),
        click.Option(["--shots"], metavar="FILE",
                     help="Show the model examples with answers first, from a .jsonl, .csv or .tsv file."),
        click.Option(["--max-shots"], type=click.IntRange(1), metavar="N", help="Show only the first N examples."),
    ])  # fmt: skip
