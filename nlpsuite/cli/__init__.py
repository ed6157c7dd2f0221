"""The command line, one module per command: parse, call a function, print."""

from __future__ import annotations

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from nlpsuite import __version__
from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.cli.output import error_object, open_streams, print_json, show_error
from nlpsuite.errors import NlpsuiteError, StdoutError, UsageError
from nlpsuite.plugins.kinds import VERBS as _VERBS

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin

__all__ = ["cli", "main", "show_error"]

_EXIT_CODES = """\b
Exit status:
  0  success                        4  the input can't be used
  1  a bug in nlpsuite              5  the model or the device can't be used
  2  wrong usage                    6  a plugin failed, or an extra is missing
  3  some rows failed, or an        7  an output can't be written, or a job
     output was blocked                or a training run broke off
  130 interrupted, 143 terminated

\b
With --json, an error is also printed on stdout as an object:
{"error": {"code": ..., "message": ..., "hint": ...}}"""


class _Verbs(LazyGroup):
    """The suite's own commands, then those of plugins."""

    def table(self) -> dict[str, str]:
        return {**_VERBS, **{plugin.name: plugin.summary for plugin in _plugin_verbs()}}

    def has(self, name: str) -> bool:
        # Also a disabled or broken one, so that the error says so.
        from nlpsuite.plugins.scan import registered

        return name in _VERBS or any((p.kind, p.name) == ("command", name) for p in registered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _VERBS or not self.has(cmd_name):
            return super().get_command(ctx, cmd_name)
        from nlpsuite.plugins.loading import load

        command: click.Command = load("command", cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from nlpsuite.plugins import installed_tasks

        if args and not self.has(args[0]) and args[0] in installed_tasks():
            command = shlex.join(["nlpsuite", "run", *args])
            raise click.UsageError(f"{args[0]!r} is a task, not a command. Did you mean `{command}`?", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Without a value the option means all plugins; click would take the command for its value.
        end = next((i for i, arg in enumerate(args) if not arg.startswith("-")), len(args))
        head = ["--no-plugins=*" if arg == "--no-plugins" else arg for arg in args[:end]]
        return super().parse_args(ctx, head + args[end:])


def _plugin_verbs() -> list[Plugin]:
    """The commands of plugins; only metadata is read."""
    from nlpsuite.plugins.registry import installed
    from nlpsuite.plugins.scan import registered

    try:
        return list(installed("command").values())
    except NlpsuiteError:  # plugins.json is damaged: --help works without it
        return [plugin for plugin in registered() if plugin.kind == "command" and plugin.bundled]


def _block_plugins(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    """Runs while options are parsed, because completion does nothing more than that."""
    if names:
        from nlpsuite.plugins.registry import block

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
    open_streams()
    sys.exit(_run(sys.argv[1:] if args is None else args))


def _run(args: list[str]) -> int:
    stdout = sys.stdout
    # Looked up by hand: an error may come before the options are parsed.
    debug = "--debug" in args
    as_json = "--json" in args[: args.index("--")] if "--" in args else "--json" in args
    try:
        code = cli.main(
            [arg for arg in args if arg != "--debug"], prog_name="nlpsuite", standalone_mode=False
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except SystemExit as error:
        # click exits like this when the reader (head, less) has gone, after replacing stdout by a
        # stream that no longer complains.
        if sys.stdout is not stdout:
            return 0
        return error.code if isinstance(error.code, int) else 1
    except BrokenPipeError:  # the same, in the flush above
        return 0
    except Exception as error:
        if debug and not isinstance(error, click.ClickException):
            raise
        return _fail(error, as_json)


def _fail(error: Exception, as_json: bool) -> int:
    """Show an error; returns its exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        known: NlpsuiteError = UsageError(error.format_message())
    else:
        known = _known(error)
        show_error(known)
    if as_json:
        with contextlib.suppress(StdoutError, BrokenPipeError):
            print_json(error_object(known), indent=None)
    return known.exit_code


def _known(error: Exception) -> NlpsuiteError:
    """The error itself, or the one to show for an exception that nlpsuite did not expect."""
    if isinstance(error, NlpsuiteError):
        return error
    from nlpsuite.plugins.loading import blame, failure

    plugin = blame(error)
    if plugin is not None:
        return failure(plugin, error)
    return NlpsuiteError(
        f"{type(error).__name__}: {error}",
        hint="This is a bug in nlpsuite. Run the command again with --debug and report its output.",
    )
