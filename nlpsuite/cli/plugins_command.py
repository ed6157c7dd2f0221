"""``nlpsuite plugins``: each command is in ``plugins_NAME.py``."""

from __future__ import annotations

import click

from nlpsuite.cli.lazy import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "list": "List the plugins that are installed, and their state.",
    "info": "Show what is known of a plugin.",
    "install": "Install plugins, as pip would.",
    "uninstall": "Uninstall a plugin.",
    "enable": "Enable a task or distribution again, or choose whose task is used.",
    "disable": "Disable a task or distribution without uninstalling it.",
    "restore": "Install again what an upgrade or a new environment has lost.",
    "check": "Load a plugin and check that it keeps the contract.",
    "new": "Write a new plugin to begin with.",
}


@click.command(cls=LazyGroup, commands_table=_COMMANDS, module="nlpsuite.cli.plugins_{}")
def command() -> None:
    """List, install, check and write plugins. None but `check` loads one.

    \b
    nlpsuite plugins list
    nlpsuite plugins install nlpsuite-keywords
    nlpsuite plugins disable keywords
    """
