"""``nlpsuite list``."""

from __future__ import annotations

import click

from nlpsuite.cli.output import print_json
from nlpsuite.plugins import installed_tasks
from nlpsuite.plugins.discovery import unavailable
from nlpsuite.plugins.kinds import TASK

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the tasks that are installed. Imports no plugin."""
    plugins = installed_tasks().values()
    _say_what_is_left_out()
    if as_json:
        rows = [
            {"task": p.name, "summary": p.summary, "distribution": p.distribution, "version": p.version}
            for p in plugins
        ]
        print_json(rows)
        return
    width = max((len(p.name) for p in plugins), default=0)
    for p in plugins:
        origin = "" if p.distribution == "nlpsuite" else f"  ({p.distribution} {p.version})"
        click.echo(f"{p.name:<{width}}  {p.summary}{origin}")
        for rival in p.rivals:
            click.echo(f"{'':<{width}}  also offered by {rival}, which is not used", err=True)


def _say_what_is_left_out() -> None:
    """A line on stderr for each reason why plugins that are installed are not listed."""
    by_state: dict[str, list[str]] = {}
    for plugin in (p for p in unavailable() if p.kind == TASK):
        by_state.setdefault(plugin.state, []).append(plugin.name)
    for state, names in by_state.items():
        said = _LEFT_OUT[state].format(len(set(names)))
        click.echo(f"{said}: {', '.join(sorted(set(names)))} (nlpsuite plugins list)", err=True)


_LEFT_OUT = {
    "disabled": "{} disabled",
    "blocked": "{} blocked",
    "clash": "{} offered by more than one plugin",
    "incompatible": "{} for another version of nlpsuite",
    "broken": "{} broken",
}
