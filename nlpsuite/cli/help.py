"""Help pages: options under headings, and summaries of commands that are never cut off."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["GroupedCommand", "HelpGroup", "grouped"]

_OTHER = "Other options"


def grouped(heading: str, options: Sequence[click.Parameter]) -> list[click.Parameter]:
    """The options, marked to be shown under a heading of the help page of a ``GroupedCommand``.

    Options of several calls with the same heading are shown together, headings in the order in which
    they first occur.
    """
    for option in options:
        vars(option)["heading"] = heading
    return list(options)


class GroupedCommand(click.Command):
    """A command whose help page shows options under the headings that ``grouped`` gave them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(vars(parameter).get("heading", _OTHER), []).append(record)
        others = sections.pop(_OTHER, [])
        for heading, records in [*sections.items(), (_OTHER if sections else "Options", others)]:
            with formatter.section(heading):
                formatter.write_dl(records)


class HelpGroup(click.Group):
    """A group that shows the whole summary of each command, over several lines if need be."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, _summary(command)) for name, command in commands if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _summary(command: click.Command) -> str:
    """The first paragraph of a command's help, on one line."""
    return command.short_help or " ".join((command.help or "").split("\n\n")[0].split())
