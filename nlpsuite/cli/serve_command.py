"""``nlpsuite serve``."""

from __future__ import annotations

import os
import webbrowser
from typing import Any

import click

from nlpsuite.cli.flags import flag, given_options
from nlpsuite.cli.help import GroupedCommand, grouped
from nlpsuite.options import option_specs
from nlpsuite.serve.settings import ServeSettings

__all__ = ["command"]

_GROUPS = {
    "Connection": ("host", "port", "token", "auth", "allow_host", "cors"),
    "Model": ("model", "task", "precision", "device", "threads", "memory"),
    "Limits": ("concurrency", "queue", "timeout", "max_body", "max_tokens", "max_batch"),
    "Output": ("log_format",),
}


def _run(open_page: bool, **values: Any) -> None:
    from nlpsuite.cli.progress import Progress
    from nlpsuite.config import read_configuration
    from nlpsuite.errors import MissingExtraError

    settings = {**read_configuration().run, **given_options(option_specs(ServeSettings), values)}
    if token := os.environ.get("NLPSUITE_SERVE_TOKEN"):
        settings.setdefault("token", token)
    try:
        from nlpsuite.serve.app import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The server needs {error.name}.", hint="Install the extra: pip install 'nlpsuite[serve]'."
        ) from None

    def started(url: str) -> None:
        click.echo(f"Serving on {url} (Ctrl-C stops)", err=True)
        if open_page:
            webbrowser.open(url)

    serve(on_started=started, reporter=Progress(), **settings)


_FLAGS = {spec.name: flag(spec) for spec in option_specs(ServeSettings)}

command = GroupedCommand(
    "serve",
    params=[
        option
        for title, names in _GROUPS.items()
        for option in grouped(title, [_FLAGS[name] for name in names])
    ]
    + grouped(
        "Output", [click.Option(["--open", "open_page"], is_flag=True, help="Open the page in the browser.")]
    ),
    callback=_run,
    help="""Serve the tasks over HTTP: a web page, an API of tasks, and OpenAI's API.

    The page is at the server's address, the API's description at /openapi.json. Clients of OpenAI work with the base
    URL http://127.0.0.1:8000/v1. docs/serve.md has examples.

    \b
    nlpsuite serve --open
    nlpsuite serve --port 9000 --model ./exported/my-model
    nlpsuite serve --host 0.0.0.0 --token @token.txt
    NLPSUITE_SERVE_TOKEN=… nlpsuite serve --host 0.0.0.0 --task sentiment,translate
    """,
)
