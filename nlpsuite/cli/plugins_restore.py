"""``nlpsuite plugins restore``."""

from __future__ import annotations

from pathlib import Path

import click

from nlpsuite.cli.plugins_install import say_what_came, say_what_will_run
from nlpsuite.cli.plugins_report import agreed
from nlpsuite.errors import PluginInstallError
from nlpsuite.plugins import installer
from nlpsuite.plugins.state import Installed, read_state, state_path

__all__ = ["command"]


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Agree without being asked.")
def command(yes: bool) -> int:
    """Install again the plugins that an upgrade or a new environment has lost.

    They are listed in plugins.json in your configuration directory (NLPSUITE_CONFIG_DIR) whenever
    plugins are installed with nlpsuite.
    """
    recorded = read_state().installed
    if not recorded:
        click.echo(f"No plugins are recorded in {state_path()}.", err=True)
        return 0
    missing = _show(recorded)
    if not missing:
        click.echo("Nothing is missing.", err=True)
        return 0
    commands = {name: installer.install_command(_words(row)) for name, row in missing.items()}
    say_what_will_run(*commands.values())
    if not agreed(yes):
        return 1
    before = installer.snapshot()
    failed = [name for name, words in commands.items() if not _installed(words)]
    say_what_came(before)
    if failed:
        raise PluginInstallError(
            f"Not restored: {', '.join(failed)}.",
            hint=f"Install it from elsewhere, or forget it: nlpsuite plugins uninstall {failed[0]}",
        )
    return 0


def _show(recorded: dict[str, Installed]) -> dict[str, Installed]:
    """Print the list, and return what is not there."""
    present = installer.snapshot()
    missing = {name: row for name, row in recorded.items() if name not in present}
    width = max(len(name) for name in recorded)
    for name, row in recorded.items():
        state = "missing" if name in missing else f"present, {present[name][0]}"
        gone = (
            " (no longer there)"
            if Path(row.requirement).is_absolute() and not Path(row.requirement).exists()
            else ""
        )
        click.echo(f"{name:<{width}}  {state:<16}  {row.requirement}{gone}")
    return missing


def _words(row: Installed) -> list[str]:
    return ["-e", row.requirement] if row.editable else [row.requirement]


def _installed(words: list[str]) -> bool:
    """One after the other: a plugin that is gone should not keep the others away."""
    try:
        installer.run(words)
    except PluginInstallError as error:
        click.echo(error.message, err=True)
        return False
    return True
