"""``nlpsuite list``."""

from __future__ import annotations

import click

from nlpsuite.cli.output import print_json
from nlpsuite.plugins.registry import STATES, installed_tasks, unavailable

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the tasks that are installed.

    Imports no plugin. `nlpsuite plugins list` lists everything else that plugins offer.
    """
    plugins = installed_tasks().values()
    others = [plugin for plugin in unavailable() if plugin.kind == "task"]
    for state in dict.fromkeys(plugin.state for plugin in others):
        names = sorted({plugin.name for plugin in others if plugin.state == state})
        click.echo(f"{len(names)} {STATES[state]}: {', '.join(names)} (nlpsuite plugins list)", err=True)
    if as_json:
        keys = ("summary", "distribution", "version")
        print_json([{"task": p.name} | {key: getattr(p, key) for key in keys} for p in plugins])
        return
    width = max((len(p.name) for p in plugins), default=0)
    for p in plugins:
        origin = "" if p.bundled else f"  ({p.distribution} {p.version})"
        click.echo(f"{p.name:<{width}}  {p.summary}{origin}")
        for rival in p.rivals:
            click.echo(f"{'':<{width}}  also offered by {rival}, which is not used", err=True)
