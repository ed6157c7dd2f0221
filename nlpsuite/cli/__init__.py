"""The command line: one module a verb. Parses, calls one function, prints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from nlpsuite import __version__
from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.errors import NlpsuiteError
from nlpsuite.plugins.kinds import VERBS as _VERBS

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin

__all__ = ["cli", "main"]

_EXIT_CODES = """\b
Exit status:
  0  success                        4  the input can't be used
  1  a bug in nlpsuite              5  the model or the device can't be used
  2  wrong usage                    6  a plugin failed, or an extra is missing
  3  some rows failed, or an        7  a file can't be written, or a job or
     output was blocked                a training run broke off
  130 interrupted, 143 terminated"""


class _Verbs(LazyGroup):
    """The verbs, behind the global options: the suite's own, then those of plugins."""

    def table(self) -> dict[str, str]:
        return {**_VERBS, **{plugin.name: plugin.summary for plugin in _plugin_verbs()}}

    def has(self, name: str) -> bool:
        # Also one that is disabled or broken: the error says so.
        from nlpsuite.plugins.registry import registered

        return name in _VERBS or any((p.kind, p.name) == ("command", name) for p in registered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _VERBS or not self.has(cmd_name):
            return super().get_command(ctx, cmd_name)
        from nlpsuite.plugins.loading import load

        command: click.Command = load("command", cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Without a value the option means all; click would take the verb for its value.
        end = next((i for i, arg in enumerate(args) if not arg.startswith("-")), len(args))
        head = ["--no-plugins=*" if arg == "--no-plugins" else arg for arg in args[:end]]
        return super().parse_args(ctx, head + args[end:])


def _plugin_verbs() -> list[Plugin]:
    """The commands of plugins, from metadata alone."""
    from nlpsuite.plugins.discovery import installed
    from nlpsuite.plugins.registry import registered

    try:
        return list(installed("command").values())
    except NlpsuiteError:  # a damaged record of the user's decisions: --help goes on without it
        return [plugin for plugin in registered() if plugin.kind == "command" and plugin.bundled]


def _block_plugins(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    """Before any verb is looked up: completion parses options but calls no verb's function."""
    if names:
        from nlpsuite.plugins.discovery import block

        block(*names)


@click.command(
    cls=_Verbs,
    commands_table=_VERBS,
    module="nlpsuite.cli.{}_command",
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="nlpsuite")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--no-plugins",
    metavar="[=NAME]",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_block_plugins,
    help="Use bundled plugins only; with =NAME, all but this plugin or distribution.",
)
def cli(debug: bool) -> None:
    """NLP tasks on a small language model, on this machine.

    \b
    nlpsuite run summarize article.txt
    nlpsuite run sentiment --text "What a film!" --json
    cat notes.txt | nlpsuite run summarize --length short -
    """


def main(args: list[str] | None = None) -> None:
    """Entry point of the ``nlpsuite`` script. Ends the process with one of the documented codes."""
    sys.exit(_run(sys.argv[1:] if args is None else args))


def _run(args: list[str]) -> int:
    stdout = sys.stdout
    # Looked up by hand: the error may come before the options are parsed.
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        code = cli.main(args, prog_name="nlpsuite", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except SystemExit as error:
        # click ends so when the reader (head, less) has gone, after replacing stdout by one that
        # no longer complains.
        if sys.stdout is not stdout:
            return 0
        return error.code if isinstance(error.code, int) else 1
    except BrokenPipeError:  # the same, in the flush above
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NlpsuiteError as error:
        if debug:
            raise
        show_error(error)
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        from nlpsuite.plugins.loading import blame, failure

        plugin = blame(error)
        if plugin is not None:
            blamed = failure(plugin, error)
            show_error(blamed)
            return blamed.exit_code
        click.echo(f"Unexpected error: {type(error).__name__}: {error}", err=True)
        click.echo(
            "  This is a fault of nlpsuite. Run again with --debug and report what it prints.", err=True
        )
        return 1


def show_error(error: NlpsuiteError) -> None:
    """Print an error and what to do next on stderr."""
    click.echo(f"{_red('Error:')} {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def _red(text: str) -> str:
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return click.style(text, fg="red", bold=True) if coloured else text
