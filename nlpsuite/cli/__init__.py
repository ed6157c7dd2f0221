"""The command line: one module a verb. Parses, calls one function, prints."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from nlpsuite import __version__
from nlpsuite.errors import NlpsuiteError

__all__ = ["cli", "main"]

# Verb to its line in --help. Its module is imported only when the verb is used.
_VERBS = {
    "run": "Run a task on files, text or standard input.",
    "list": "List the tasks that are installed.",
    "train": "Train a language model, or adapt one to a task.",
    "export": "Export a model as an ONNX bundle, with an adapter merged in.",
    "pull": "Fetch a model and build its bundle.",
    "models": "List or remove the models on this machine.",
    "doctor": "Check the installation and say what to do.",
    "completion": "Print the shell completion script.",
}
_EXIT_CODES = """\b
Exit codes:
  0   done                      69  the model can't be had now
  1   unexpected error          70  a plugin failed
  2   wrong usage               71  the device can't be used
  64  unknown task              72  a model file is damaged
  65  unusable input            73  output or cache can't be written
  66  input not found           75  an optional package is missing
  67  input too long            76  the model is not supported
  68  unknown model             77  training can't go on
  130 interrupted               78  the adapter does not fit
  143 terminated                79  an export failed its check"""


class _Verbs(click.Group):
    """A group whose verbs are known without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"nlpsuite.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], _VERBS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else f" Commands: {', '.join(_VERBS)}."
            raise click.UsageError(f"No such command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


@click.command(
    cls=_Verbs,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="nlpsuite")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
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
