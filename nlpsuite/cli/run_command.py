"""``nlpsuite run TASK [FILE…]``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.plugins import find_task, installed_tasks, load_task

__all__ = ["command"]


class _Tasks(click.Group):
    """The installed tasks as subcommands; only the one that is run is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(installed_tasks())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        find_task(cmd_name)
        return _task_command(cmd_name)

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


@click.command(cls=_Tasks, subcommand_metavar="TASK [OPTIONS] [FILE|-]...")
def command() -> None:
    """Run a task on files, text or standard input.

    \b
    nlpsuite run summarize article.txt
    nlpsuite run summarize --length short a.txt b.txt --json
    nlpsuite run TASK --help    shows a task's options
    """


def _task_command(name: str) -> click.Command:
    """A click command whose flags are the task's options."""
    from nlpsuite.cli.flags import flag, given_options
    from nlpsuite.tasks.options import option_specs

    task = load_task(name)
    specs = option_specs(task.options)
    params: list[click.Parameter] = [click.Argument(["files"], nargs=-1, type=click.Path(allow_dash=True))]
    params += [flag(spec) for spec in specs]
    params += _common_flags()

    def callback(files: tuple[str, ...], **values: Any) -> int:
        from nlpsuite.cli.run import run_task

        options = given_options(specs, values)
        return run_task(task, files, options, **values)

    summary = find_task(name).summary
    return click.Command(name, params=params, callback=callback, help=summary, short_help=summary)


def _common_flags() -> list[click.Parameter]:
    return [
        click.Option(["--text", "texts"], multiple=True, metavar="TEXT", help="A text instead of a file."),
        click.Option(["--model"], metavar="MODEL", help="Bundle, .gguf, checkpoint directory or hf:owner/name."),
        click.Option(["--adapter"], metavar="FILE", help="Adapter of this task, merged into the model."),
        click.Option(["--precision"], type=click.Choice(["int8", "int4", "fp16", "fp32"]),
                     help="Of the weights.  [default: int8]"),
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True),
        click.Option(["--threads"], type=click.IntRange(0, 256), default=0, help="CPU threads; 0 uses every core."),
        click.Option(["--max-parts"], type=click.IntRange(1), default=64, show_default=True,
                     help="Most parts a long text is split into."),
        click.Option(["--encoding"], default="utf-8", show_default=True, help="Of the input files."),
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line for each input."),
        click.Option(["--output", "-o"], type=click.Path(), help="Write the results to this file."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the output file if there is one."),
    ]  # fmt: skip
