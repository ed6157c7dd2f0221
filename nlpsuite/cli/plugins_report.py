"""What several of the ``nlpsuite plugins`` commands say, and their question."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from typing import Any

import click

from nlpsuite.errors import OptionError, UnknownTaskError
from nlpsuite.plugins import Plugin, known_plugins
from nlpsuite.plugins.registry import has_module, registered

__all__ = ["agreed", "called", "checked_plugins", "complete_name", "has_terminal", "report", "trouble"]


def checked_plugins() -> list[Plugin]:
    """All plugins; one whose module is not there is broken. Imports none."""
    return [
        plugin
        if plugin.state == "broken" or has_module(plugin)
        else dataclasses.replace(
            plugin,
            state="broken",
            fault=f"there is no module {plugin.module}",
            remedy=f"nlpsuite plugins install --upgrade {plugin.distribution}",
        )
        for plugin in known_plugins()
    ]


def report(plugin: Plugin) -> dict[str, Any]:
    """A plugin for ``--json``."""
    return {
        "name": plugin.name,
        "kind": plugin.kind,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "api": plugin.api_version,
        "state": plugin.state,
        "summary": plugin.summary,
        "bundled": plugin.bundled,
        "module": plugin.module,
        "fault": plugin.fault,
        "remedy": plugin.remedy,
    }


def trouble(plugin: Plugin) -> str:
    """A line that says why a plugin can't be used, and what to do."""
    fault = f" ({plugin.fault})" if plugin.fault else ""
    return f"{plugin.key} of {plugin.distribution} {plugin.version} is {_STATES[plugin.state]}{fault}: {plugin.remedy}"


_STATES = {
    "disabled": "disabled",
    "blocked": "blocked",
    "shadowed": "passed over for another of the same name",
    "clash": "not used, since another has the same name",
    "incompatible": "for another version of the plugin contract",
    "broken": "broken",
}


def called(name: str) -> list[Plugin]:
    """The plugins that are called so: by their name, as ``kind:name``, or by their distribution.

    Raises:
        UnknownTaskError: there is none; suggests the nearest.
    """
    plugins = [plugin for plugin in checked_plugins() if plugin.is_called(name)]
    if plugins:
        return plugins
    names = sorted({plugin.key for plugin in registered()} | {plugin.distribution for plugin in registered()})
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownTaskError(
        f"There is no plugin {name!r}.", hint=f"{meant}`nlpsuite plugins list` shows them."
    )


def complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of plugins and of third parties' distributions, for completion."""
    names = {plugin.key for plugin in registered()}
    names |= {plugin.distribution for plugin in registered() if not plugin.bundled}
    return sorted(name for name in names if name.startswith(incomplete))


def has_terminal() -> bool:
    """There is somebody to ask."""
    return sys.stdin.isatty()


def agreed(yes: bool) -> bool:
    """Whether the user agrees to what was just shown.

    Raises:
        OptionError: there is no terminal to ask at.
    """
    if yes:
        return True
    if not has_terminal():
        raise OptionError("There is no terminal to ask at.", hint="Add --yes if you agree. Nothing was done.")
    if click.confirm("Go on?", err=True):
        return True
    click.echo("Nothing was done.", err=True)
    return False
