"""``nlpsuite plugins disable NAME``."""

from __future__ import annotations

import click

from nlpsuite.cli.plugins_report import called, complete_name
from nlpsuite.errors import OptionError
from nlpsuite.plugins.installer import recordable
from nlpsuite.plugins.state import change_state

__all__ = ["command"]


@click.command()
@click.argument("name", shell_complete=complete_name)
def command(name: str) -> None:
    """Disable the plugin or distribution NAME: it is not listed, not used and never loaded.

    NAME may be kind:name, as in metric:bleu, where several are called so.
    """
    plugins = called(name)
    if all(plugin.bundled and name not in (plugin.name, plugin.key) for plugin in plugins):
        raise OptionError(f"{name} is the suite itself.", hint="Name one of its tasks: nlpsuite plugins list")
    with change_state() as state:
        state.disabled.add(name)
        state.installed |= recordable()
    for plugin in plugins:
        click.echo(f"Disabled: {plugin.key} of {plugin.distribution} {plugin.version}.", err=True)
    click.echo(f"To enable it again: nlpsuite plugins enable {name}", err=True)
