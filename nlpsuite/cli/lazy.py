"""A group of commands that are listed without importing them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

__all__ = ["LazyGroup"]

_WHOLE = 1_000  # characters: no line of help is cut off


class LazyGroup(click.Group):
    """A group whose ``--help`` and completion read a table; a command's module is imported only to run it.

    click's own groups import every command for both. Commands that are added as usual come last.

    Args:
        commands_table: name to its line in ``--help``, in the order shown there.
        module: of a command, with ``{}`` for its name; its attribute ``command`` is the command.
    """

    heading = "Commands"

    def __init__(
        self, *args: Any, commands_table: Mapping[str, str] | None = None, module: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._table = dict(commands_table or {})
        self._module = module

    def table(self) -> Mapping[str, str]:
        """Name to line in ``--help``."""
        own = {name: command.get_short_help_str(_WHOLE) for name, command in self.commands.items()}
        return self._table | own

    def has(self, name: str) -> bool:
        """There is a command of that name, whether or not it can be used."""
        return name in self.table()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(self._module.format(cmd_name)).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not self.has(args[0]) and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], self.table(), n=1)
            suggestion = f" Did you mean {close[0]!r}?" if close else f" Commands: {', '.join(self.table())}."
            raise click.UsageError(f"No such command {args[0]!r}.{suggestion}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self.heading):
            formatter.write_dl(list(self.table().items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        table = self.table()
        names = [name for name in table if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=table[name]) for name in names] + options
