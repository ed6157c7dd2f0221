"""``nlpsuite plugins enable NAME``."""

from __future__ import annotations

import click

from nlpsuite.cli.plugins_report import called, complete_name, trouble
from nlpsuite.errors import OptionError
from nlpsuite.plugins.installer import recordable
from nlpsuite.plugins.registry import normalized
from nlpsuite.plugins.state import State, change_state

__all__ = ["command"]


@click.command()
@click.argument("name", shell_complete=complete_name)
@click.option(
    "--from", "distribution", metavar="DISTRIBUTION", help="Use this distribution's plugin of the name."
)
def command(name: str, distribution: str | None) -> None:
    """Enable the plugin or distribution NAME again.

    \b
    nlpsuite plugins enable keywords
    nlpsuite plugins enable summarize --from nlpsuite-brief    instead of the bundled one
    nlpsuite plugins enable summarize --from nlpsuite          the bundled one again
    """
    with change_state() as state:
        if distribution is not None:
            _choose(state, name, distribution)
        gone = {entry for entry in state.disabled if normalized(entry) == normalized(name)}
        if not gone:
            called(name)
        state.disabled -= gone
        state.installed |= recordable()
    _say_what_holds(name)


def _choose(state: State, name: str, distribution: str) -> None:
    offers = [plugin for plugin in called(name) if name in (plugin.name, plugin.key)]
    wanted = [p for p in offers if normalized(p.distribution) == normalized(distribution)]
    if not wanted:
        others = ", ".join(sorted({plugin.distribution for plugin in offers})) or "nobody"
        raise OptionError(
            f"{distribution} offers no plugin {name!r}.",
            hint=f"It is offered by: {others}. Name one of these.",
        )
    for plugin in wanted:
        if plugin.bundled:
            state.chosen.pop(plugin.key, None)  # it goes first by itself
        else:
            state.chosen[plugin.key] = plugin.distribution


def _say_what_holds(name: str) -> None:
    for plugin in called(name):
        if plugin.state == "enabled":
            click.echo(f"Enabled: {plugin.key} of {plugin.distribution} {plugin.version}.", err=True)
        else:
            click.echo(trouble(plugin), err=True)
