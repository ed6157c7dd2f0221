"""``nlpsuite eval``: a task on a data set, and other commands, each in ``eval_NAME.py``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.plugins import installed_tasks

__all__ = ["command"]

_COMMANDS = {
    "bias": "Measure how much a model's answers change with the group of a person.",
    "lm": "Measure how well a model predicts texts: perplexity, bits per byte.",
}


class _EvalGroup(LazyGroup):
    """The commands of the table, and each installed task."""

    def table(self) -> Mapping[str, str]:
        return {**super().table(), **{name: plugin.summary for name, plugin in installed_tasks().items()}}

    def has(self, name: str) -> bool:
        # Also a task that is disabled or broken: the error says so.
        from nlpsuite.plugins.scan import registered

        return super().has(name) or any((p.kind, p.name) == ("task", name) for p in registered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._table or not self.has(cmd_name):
            return super().get_command(ctx, cmd_name)
        made: click.Command = importlib.import_module("nlpsuite.cli.eval_task").task_evaluation(cmd_name)
        return made

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = super().table()
        with formatter.section("Tasks"):
            formatter.write_dl([item for item in self.table().items() if item[0] not in others])
        with formatter.section("Commands"):
            formatter.write_dl(list(others.items()))


@click.command(
    cls=_EvalGroup,
    commands_table=_COMMANDS,
    module="nlpsuite.cli.eval_{}",
    subcommand_metavar="TASK [DATA] [OPTIONS] | COMMAND [OPTIONS]",
)
def command() -> None:
    """Measure how good a model is at a task, with intervals.

    \b
    nlpsuite eval sentiment reviews.csv --html report.html
    nlpsuite eval summarize --dataset scitldr:dev --baseline lead-1
    nlpsuite eval translate --predictions translated.jsonl --json
    nlpsuite eval TASK --help    shows a task's options
    """
