"""``nlpsuite plugins info NAME``."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import click

from nlpsuite.cli.output import print_json
from nlpsuite.cli.plugins_report import called, complete_name, report, trouble
from nlpsuite.plugins import Plugin
from nlpsuite.plugins.registry import module_file, normalized
from nlpsuite.plugins.state import read_state

__all__ = ["command"]


@click.command()
@click.argument("name", shell_complete=complete_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, as_json: bool) -> None:
    """Show what is known of the plugin NAME, without loading it.

    NAME is a task, a distribution, or what `nlpsuite plugins list` shows; kind:name, as in metric:bleu,
    where several are called so.
    """
    plugins = called(name)
    reports = [report(plugin) | _origin(plugin) for plugin in plugins]
    if as_json:
        print_json(reports)
        return
    for i, (plugin, found) in enumerate(zip(plugins, reports)):
        if i:
            click.echo()
        for key, value in found.items():
            text = ", ".join(value) if isinstance(value, list) else value
            if text not in ("", None) and key not in ("fault", "remedy"):
                click.echo(
                    f"{key + ':':<14}{text if not isinstance(text, bool) else 'yes' if text else 'no'}"
                )
        if plugin.state != "enabled":
            click.echo(trouble(plugin), err=True)


def _origin(plugin: Plugin) -> dict[str, Any]:
    """Where a plugin comes from: its file, and what its distribution says of itself."""
    recorded = read_state().installed.get(normalized(plugin.distribution))
    found: dict[str, Any] = {
        "file": module_file(plugin),
        "installed_as": recorded.requirement if recorded else "",
    }
    try:
        about = metadata.metadata(plugin.distribution)
    except metadata.PackageNotFoundError:
        return found
    # Which task names which, only an import would tell.
    files = metadata.files(plugin.distribution) or [] if not plugin.bundled else []
    adapters = [str(file) for file in files if file.suffix == ".safetensors"]
    requires = [text for text in about.get_all("Requires-Dist") or [] if "extra ==" not in text]
    return found | {
        "license": _first(about, "License-Expression", "License"),
        "author": _first(about, "Author", "Author-email"),
        "links": list(about.get_all("Project-URL") or about.get_all("Home-page") or []),
        "requires": requires,
        "adapters": adapters,
    }


def _first(about: metadata.PackageMetadata, *keys: str) -> str:
    """The first line of the first field that is there."""
    values = [value for key in keys for value in about.get_all(key) or [] if value.strip()]
    return values[0].strip().splitlines()[0] if values else ""
