"""``nlpsuite config path``, ``show`` and ``schema``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.help import HelpGroup
from nlpsuite.cli.output import print_json

if TYPE_CHECKING:
    from nlpsuite.config import Configuration
    from nlpsuite.options import Options

__all__ = ["command"]


@click.group(cls=HelpGroup)
def command() -> None:
    """Show the configuration file and what it sets.

    \b
    nlpsuite config path              where the file is, or would be
    nlpsuite config show              the settings of [run] and of the tasks in the file
    nlpsuite config show summarize    all options of a task
    nlpsuite config schema            the file's JSON schema, for editors
    """


@command.command()
def path() -> None:
    """Print the path of the configuration file."""
    from nlpsuite.paths import config_path

    click.echo(config_path())


@command.command()
@click.argument("tasks", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the values as JSON.")
def show(tasks: tuple[str, ...], as_json: bool) -> None:
    """Print the values in effect, as TOML, and where each comes from.

    Flags of a command override the file, and the file overrides the defaults.
    """
    from nlpsuite.config import read_configuration

    configuration = read_configuration()
    sections = _sections(configuration, tasks)
    if as_json:
        values = {
            name: {option: {"value": value, "from": source} for option, (value, source) in section.items()}
            for name, section in sections.items()
        }
        print_json({"path": str(configuration.path), "exists": configuration.exists, **values})
        return
    click.echo(f"# {configuration.path}{'' if configuration.exists else ' (there is no such file)'}")
    for name, section in sections.items():
        click.echo(f"\n[{name}]")
        for option, (value, source) in section.items():
            click.echo(_line(option, value, source))


@command.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors that check and complete it.

    It includes the options of all installed tasks.
    """
    from nlpsuite.cli import show_error
    from nlpsuite.config import configuration_schema
    from nlpsuite.errors import NlpsuiteError
    from nlpsuite.plugins import installed_tasks, load_task

    tasks = {}
    for name in installed_tasks():
        try:
            tasks[name] = load_task(name).options
        except NlpsuiteError as error:  # one broken plugin must not hide the others
            show_error(error)
    print_json(configuration_schema(tasks))


def _sections(configuration: Configuration, tasks: tuple[str, ...]) -> dict[str, dict[str, tuple[Any, str]]]:
    """The value of each option and its origin, by section."""
    from nlpsuite.config import RunOptions
    from nlpsuite.plugins import installed_tasks, load_task

    sections = {"run": _effective(RunOptions, configuration.run)}
    for name in tasks or [name for name in configuration.tasks if name in installed_tasks()]:
        options = load_task(name).options
        sections[f"tasks.{name}"] = _effective(options, configuration.task_options(name, options))
    return sections


def _effective(options: type[Options], given: Any) -> dict[str, tuple[Any, str]]:
    from nlpsuite.options import option_specs

    return {
        spec.public_name: (given[spec.name], "configuration")
        if spec.name in given
        else (spec.default, "default")
        for spec in option_specs(options)
    }


def _line(option: str, value: Any, source: str) -> str:
    from nlpsuite.config import to_toml

    if value is None:  # TOML has no null
        return f"# {option} is not set"
    return f"{option} = {to_toml(value)}  # {source}"
