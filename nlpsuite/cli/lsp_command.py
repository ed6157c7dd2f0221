"""``nlpsuite lsp``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.flags import flag, given_options
from nlpsuite.cli.help import GroupedCommand, grouped
from nlpsuite.lsp.settings import LspSettings
from nlpsuite.options import option_specs

__all__ = ["command"]

_MODEL = ("model", "adapter", "precision", "device", "threads")


def _run(stdio: bool, **values: Any) -> None:
    from nlpsuite.config import read_configuration
    from nlpsuite.errors import MissingExtraError
    from nlpsuite.options import make_options

    given = {**read_configuration().run, **given_options(option_specs(LspSettings), values)}
    settings = make_options(LspSettings, given)
    try:
        from nlpsuite.lsp.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The language server needs {error.name}.", hint="Install the extra: pip install 'nlpsuite[lsp]'."
        ) from None
    serve(settings)


command = GroupedCommand(
    "lsp",
    params=[
        *grouped("Model", [flag(spec) for spec in option_specs(LspSettings) if spec.name in _MODEL]),
        *grouped(
            "Completions", [flag(spec) for spec in option_specs(LspSettings) if spec.name not in _MODEL]
        ),
        *grouped(
            "Connection",
            [
                click.Option(
                    ["--stdio"], is_flag=True, help="Use standard input and output, as it always does."
                )
            ],
        ),
    ],
    callback=_run,
    help="""Serve completions to an editor: a language server on standard input and output.

    Editors start it themselves. It answers textDocument/completion and textDocument/inlineCompletion with what the
    task `complete` writes between the text before the cursor and the text behind it. The settings below may also
    be sent as initializationOptions, which take precedence. docs/editor.md shows how to set up several editors.

    \b
    nlpsuite lsp
    nlpsuite lsp --model ./exported/code --unit line
    """,
)
