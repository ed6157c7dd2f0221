"""Commands with a subcommand for each task, whose options become flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.help import GroupedCommand, grouped
from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.plugins import find_task, installed_tasks, load_task

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = [
    "TaskGroup",
    "device_flag",
    "grouped",
    "input_flags",
    "max_parts_flag",
    "model_flags",
    "option_flags",
    "prompt_flags",
    "runtime_flags",
    "task_command",
]


class TaskGroup(LazyGroup):
    """The installed tasks as subcommands; a task is imported only when it is used.

    Args:
        make: builds the command of a task, given its name.
    """

    heading = "Tasks"

    def __init__(self, *args: Any, make: Callable[[str], click.Command], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._make = make

    def table(self) -> Mapping[str, str]:
        return {name: plugin.summary for name, plugin in installed_tasks().items()}

    def has(self, name: str) -> bool:
        return True  # of one that doesn't exist, is disabled or broken, `find_task` says more

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        find_task(cmd_name)
        return self._make(cmd_name)


def task_command(
    name: str,
    action: Callable[..., int],
    flags: Sequence[click.Parameter],
    argument: click.Argument | None = None,
    more_help: str = "",
) -> click.Command:
    """A click command whose flags are the task's options and ``flags``.

    Args:
        action: called with the task, the files, the options set by flags or configuration, and the
            values of ``flags``; those that ``[run]`` can set are filled in.
        argument: the positional argument ``files``; by default any number of files.
        more_help: shown after the task's summary.
    """
    task = load_task(name)
    files = argument or click.Argument(["files"], nargs=-1, metavar="[FILE|-]...")
    params = [files, *option_flags(task), *flags]

    def callback(files: Any, **values: Any) -> int:
        from nlpsuite.cli.flags import given_options
        from nlpsuite.config import RunOptions, read_configuration
        from nlpsuite.options import option_specs

        given = given_options(option_specs(task.options), values)
        configuration = read_configuration()
        for name, value in (dataclasses.asdict(RunOptions()) | dict(configuration.run)).items():
            if name in values and values[name] is None:
                values[name] = value
        options = configuration.task_options(task.name, task.options) | given
        return action(task, files, options, **values)

    summary = find_task(name).summary
    text = f"{summary}\n\n{more_help}".strip()
    return GroupedCommand(name, params=params, callback=callback, help=text, short_help=summary)


def option_flags(task: Task[Any]) -> list[click.Parameter]:
    """Flags for a task's own options, and for those of every generating task."""
    from nlpsuite.cli.flags import flag
    from nlpsuite.options import GenerationOptions, option_specs

    specs = option_specs(task.options)
    generates = issubclass(task.options, GenerationOptions)
    general = {spec.name for spec in option_specs(GenerationOptions)} if generates else set()
    return [
        *grouped("Task options", [flag(spec) for spec in specs if spec.name not in general]),
        *grouped("Generation", [flag(spec) for spec in specs if spec.name in general]),
    ]


def input_flags() -> list[click.Parameter]:
    """Flags for the input."""
    return grouped("Input", [
        click.Option(["--text", "texts"], multiple=True, metavar="TEXT",
                     help="Use this text instead of a file. Repeat for several."),
        click.Option(["--encoding"], metavar="NAME", default="utf-8", show_default=True,
                     help="Set the encoding of the input files."),
        max_parts_flag(),
    ])  # fmt: skip


def max_parts_flag() -> click.Option:
    """``--max-parts``."""
    return click.Option(["--max-parts"], type=click.IntRange(1), metavar="N", default=64, show_default=True,
                        help="Split a long text into at most N parts.")  # fmt: skip


def model_flags() -> list[click.Parameter]:
    """Flags that choose the model."""
    return grouped("Model", [
        click.Option(["--model"], metavar="MODEL",
                     help="Use this bundle, .gguf file, checkpoint directory or hf:owner/name."),
        click.Option(["--adapter"], metavar="FILE",
                     help="Merge this adapter into the model; `none` leaves out the task's own. Some tasks ship others, "
                          "by name."),
        click.Option(["--precision"], type=click.Choice(["int8", "int4", "fp16", "fp32"]),
                     help="Set the precision of the weights.  [default: int8; fp16 with CUDA]"),
    ])  # fmt: skip


def runtime_flags(*, configured: bool = True) -> list[click.Parameter]:
    """Flags that say where the model runs.

    Args:
        configured: the configuration may set their defaults.
    """
    return grouped("Model", [
        device_flag(configured=configured),
        click.Option(["--threads"], type=click.IntRange(0, 256), metavar="N", default=None if configured else 0,
                     help="Use N CPU threads; 0 uses every core.  [default: 0]"),
    ])  # fmt: skip


def device_flag(*, configured: bool = True) -> click.Option:
    """``--device``; see ``runtime_flags``."""
    return click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]),
                        default=None if configured else "auto",
                        help="Choose where the model runs.  [default: auto]")  # fmt: skip


def prompt_flags() -> list[click.Parameter]:
    """Flags that change a task's prompt."""
    return grouped("Prompt", [
        click.Option(["--prompt-file"], metavar="FILE", help="Use your own prompt, a file with {text} in it."),
        click.Option(["--shots"], metavar="FILE",
                     help="Show the model examples with answers first, from a .jsonl, .csv or .tsv file."),
        click.Option(["--max-shots"], type=click.IntRange(1), metavar="N", help="Show only the first N examples."),
    ])  # fmt: skip
