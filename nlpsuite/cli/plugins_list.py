"""``nlpsuite plugins list``."""

from __future__ import annotations

import click

from nlpsuite.cli.output import print_json
from nlpsuite.cli.plugins_report import checked_plugins, report, trouble

__all__ = ["command"]

_HEADINGS = ("NAME", "KIND", "DISTRIBUTION", "VERSION", "API", "STATE", "SUMMARY")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the plugins that are installed, their kind and their state.

    \b
    enabled       can be used; whether it works shows when it is loaded
    disabled      by `nlpsuite plugins disable`
    blocked       by --no-plugins or NLPSUITE_PLUGINS
    shadowed      another distribution's of the same name goes first
    clash         two offer the name, and you have not chosen
    incompatible  written for another version of the plugin contract
    broken        so much shows without loading it
    """
    plugins = checked_plugins()
    if as_json:
        print_json([report(plugin) for plugin in plugins])
        return
    rows = [
        (
            p.name,
            p.kind,
            p.distribution,
            p.version,
            "?" if p.api_version is None else str(p.api_version),
            p.state,
            p.summary,
        )
        for p in plugins
    ]
    widths = [max(len(row[i]) for row in [_HEADINGS, *rows]) for i in range(6)]
    for row in [_HEADINGS, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + f"  {row[6]}")
    for plugin in plugins:
        if plugin.state != "enabled":
            click.echo(trouble(plugin), err=True)
