"""``nlpsuite plugins uninstall NAME``."""

from __future__ import annotations

import click

from nlpsuite.cli.plugins_report import agreed, called, complete_name
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Plugin, installer
from nlpsuite.plugins.registry import normalized, registered
from nlpsuite.plugins.state import change_state, read_state

__all__ = ["command"]


@click.command()
@click.argument("name", shell_complete=complete_name)
@click.option("-y", "--yes", is_flag=True, help="Agree without being asked.")
def command(name: str, yes: bool) -> int:
    """Uninstall the distribution NAME, or the one that the plugin NAME came with."""
    recorded = normalized(name) in read_state().installed
    if recorded and not any(plugin.is_called(name) for plugin in registered()):
        _forget(normalized(name), ())
        click.echo(f"{name} was not installed here. It is no longer on the list of your plugins.", err=True)
        return 0
    distribution = _distribution(name)
    plugins = tuple(plugin for plugin in registered() if plugin.distribution == distribution)
    words = installer.uninstall_command(distribution)
    click.echo(
        f"This removes {', '.join(f'the {p.kind} {p.name}' for p in plugins)}, and will run:", err=True
    )
    click.echo(f"  {installer.shown(words)}", err=True)
    if not agreed(yes):
        return 1
    installer.run(words)
    _forget(normalized(distribution), plugins)
    click.echo(f"Uninstalled {distribution}.", err=True)
    return 0


def _distribution(name: str) -> str:
    """The third party's distribution that is meant.

    Raises:
        UnknownTaskError: there is none.
        OptionError: it is bundled, or several have the task.
    """
    plugins = called(name)
    by_itself = [plugin for plugin in plugins if normalized(plugin.distribution) == normalized(name)]
    offers = sorted({plugin.distribution for plugin in by_itself or plugins})
    if len(offers) > 1:
        raise OptionError(
            f"{name!r} is offered by {' and '.join(offers)}.",
            hint=f"Name the distribution: nlpsuite plugins uninstall {offers[-1]}",
        )
    if plugins[0].bundled:
        raise OptionError(
            f"{name} is part of nlpsuite and can't be uninstalled alone.",
            hint=f"To do without it: nlpsuite plugins disable {plugins[0].key}",
        )
    return offers[0]


def _forget(distribution: str, plugins: tuple[Plugin, ...]) -> None:
    """Take a distribution off the record, and with it what was decided about it."""
    with change_state() as state:
        state.installed.pop(distribution, None)
        state.chosen = {t: d for t, d in state.chosen.items() if normalized(d) != distribution}
        left = {
            n
            for plugin in registered()
            for n in (plugin.name, plugin.key)
            if normalized(plugin.distribution) != distribution
        }
        names = {n for plugin in plugins for n in (plugin.name, plugin.key)} - left
        state.disabled = {n for n in state.disabled if n not in names and normalized(n) != distribution}
