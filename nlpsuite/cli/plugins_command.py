"""``nlpsuite plugins`` and its subcommands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.cli.output import print_json
from nlpsuite.errors import OptionError, PluginError, PluginInstallError
from nlpsuite.plugins.registry import STATES, known_plugins
from nlpsuite.plugins.scan import registered

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin
    from nlpsuite.plugins.manage import Changes
    from nlpsuite.testing import Finding

__all__ = ["command"]


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    plugins = registered()
    names = {plugin.key for plugin in plugins} | {p.distribution for p in plugins if not p.bundled}
    return sorted(name for name in names if name.startswith(incomplete))


_name = click.argument("name", shell_complete=_complete_name)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")


@click.group(cls=LazyGroup)
def command() -> None:
    """List, install, check and write plugins. Only `check` loads one.

    \b
    nlpsuite plugins list
    nlpsuite plugins install nlpsuite-keywords
    nlpsuite plugins disable keywords
    """


@command.command("list")
@click.option("--all", "show_all", is_flag=True, help="Include the suite's own metrics, readers and so on.")
@_json
def _list(show_all: bool, as_json: bool) -> None:
    """List tasks and other installed plugins, and their state.

    \b
    enabled       can be used; whether it works shows when it is loaded
    disabled      by `nlpsuite plugins disable`
    blocked       by --no-plugins or NLPSUITE_PLUGINS
    shadowed      another distribution's plugin of the same name takes precedence
    clash         two distributions offer the name, and you have not chosen
    incompatible  written for another version of the plugin contract
    broken        can't be loaded, which shows without trying
    """
    from nlpsuite.plugins.manage import describe

    known = known_plugins()
    shown = [p for p in known if show_all or p.kind == "task" or not p.bundled or p.state != "enabled"]
    if as_json:
        print_json([describe(plugin) for plugin in shown])
        return
    rows = [("NAME", "KIND", "DISTRIBUTION", "VERSION", "API", "STATE", "SUMMARY")]
    rows += [
        (p.name, p.kind, p.distribution, p.version, str(p.api_version or "?"), p.state, p.summary)
        for p in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows)][:-1] + [0]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)))
    for plugin in shown:
        _echo_trouble(plugin)
    if more := len(known) - len(shown):
        click.echo(f"{more} more come with nlpsuite: metrics, readers and so on. Add --all.", err=True)


@command.command()
@_name
@_json
def info(name: str, as_json: bool) -> None:
    """Show what is known about the plugin NAME, without loading it.

    NAME is a task, a distribution or whatever `nlpsuite plugins list` shows; write kind:name, as in
    metric:bleu, if several have that name.
    """
    from nlpsuite.plugins.manage import details, plugins_called

    plugins = plugins_called(name)
    if as_json:
        print_json([details(plugin) for plugin in plugins])
        return
    for number, plugin in enumerate(plugins):
        if number:
            click.echo()
        for key, value in details(plugin).items():
            text = ", ".join(value) if isinstance(value, list) else value
            if text not in ("", None) and key not in ("fault", "remedy"):
                text = {True: "yes", False: "no"}[text] if isinstance(text, bool) else text
                click.echo(f"{key + ':':<14}{text}")
        _echo_trouble(plugin)


@command.command()
@click.argument("specs", nargs=-1, metavar="SPEC...")
@click.option(
    "-r", "--requirement", "requirements", multiple=True, metavar="FILE",
    help="Install what a requirements file lists.",
)  # fmt: skip
@click.option(
    "-e", "--editable", "editables", multiple=True, metavar="DIR", help="Install a project in editable mode."
)
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade what is already installed.")
@click.option("--index-url", metavar="URL", help="The package index to use.")
@click.option(
    "--require-hashes", is_flag=True, help="Refuse anything without a hash in the requirements file."
)
@click.option("--no-deps", is_flag=True, help="Don't install dependencies.")
@_yes
def install(yes: bool, **what: Any) -> None:
    """Install plugins into this environment.

    This runs pip, or uv if pip isn't installed. SPEC is anything pip accepts: a name, a path, a wheel or a
    git URL. pip's own configuration and environment variables (PIP_NO_INDEX, PIP_FIND_LINKS) apply.

    \b
    nlpsuite plugins install nlpsuite-keywords
    nlpsuite plugins install ./my-plugin
    nlpsuite plugins install git+https://example.org/me/my-plugin
    nlpsuite plugins install -r plugins.txt --require-hashes
    """
    from nlpsuite.plugins import manage

    command = manage.install_command(**what)
    _confirm_commands(yes, command)
    changes = manage.install(command)
    _echo_changes(changes)
    for error in changes.errors.values():
        raise error


@command.command()
@_name
@_yes
def uninstall(name: str, yes: bool) -> None:
    """Uninstall the distribution NAME, or the one that the plugin NAME came with."""
    from nlpsuite.plugins import manage

    removal = manage.plan_removal(name)
    if removal.command:
        going = ", ".join(f"the {plugin.kind} {plugin.name}" for plugin in removal.plugins)
        click.echo(f"This removes {going}, and will run:\n  {shlex.join(removal.command)}", err=True)
        _confirm(yes)
    manage.uninstall(removal)
    if removal.command:
        click.echo(f"Uninstalled {removal.distribution}.", err=True)
    else:
        click.echo(f"{name} was not installed here. It has been removed from the record.", err=True)


@command.command()
@_name
@click.option("--from", "distribution", metavar="DISTRIBUTION", help="Use the plugin of this distribution.")
def enable(name: str, distribution: str | None) -> None:
    """Enable the plugin or distribution NAME again, or choose whose plugin of that name is used.

    \b
    nlpsuite plugins enable keywords
    nlpsuite plugins enable summarize --from nlpsuite-brief    instead of the bundled one
    nlpsuite plugins enable summarize --from nlpsuite          the bundled one again
    """
    from nlpsuite.plugins import manage

    for plugin in manage.enable(name, distribution):
        if not _echo_trouble(plugin):
            click.echo(f"Enabled: {plugin}.", err=True)


@command.command()
@_name
def disable(name: str) -> None:
    """Disable the plugin or distribution NAME without uninstalling it.

    It is then neither listed nor used nor loaded. NAME may be kind:name, as in metric:bleu, if several
    have that name.
    """
    from nlpsuite.plugins import manage

    for plugin in manage.disable(name):
        click.echo(f"Disabled: {plugin}.", err=True)
    click.echo(f"To enable it again: nlpsuite plugins enable {name}", err=True)


@command.command()
@_yes
def restore(yes: bool) -> None:
    """Reinstall the plugins that an upgrade or a new environment has lost.

    They are recorded in plugins.json in your configuration directory (NLPSUITE_CONFIG_DIR) whenever
    plugins are installed with nlpsuite.
    """
    from nlpsuite.plugins import manage
    from nlpsuite.plugins.state import state_path

    rows = manage.recorded()
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        state = f"present, {row.version}" if row.version else "missing"
        gone = " (no longer there)" if row.gone else ""
        click.echo(f"{row.name:<{width}}  {state:<16}  {row.requirement}{gone}")
    missing = [row for row in rows if not row.version]
    if not missing:
        nothing = "Nothing is missing." if rows else f"No plugins are recorded in {state_path()}."
        click.echo(nothing, err=True)
        return
    _confirm_commands(yes, *(row.command for row in missing))
    changes = manage.install(*(row.command for row in missing))
    _echo_changes(changes)
    if changes.errors:
        for error in changes.errors.values():
            click.echo(error.message, err=True)
        failed = [missing[number].name for number in changes.errors]
        raise PluginInstallError(
            f"Not restored: {', '.join(failed)}.",
            hint=f"Install it from elsewhere, or forget it: nlpsuite plugins uninstall {failed[0]}",
        )


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=_complete_name)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check, a line each.")
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Check that plugins keep the contract.

    Loads and runs each plugin, without a model. NAME is a task, or kind:name for other kinds, as in
    metric:bleu. Prints a line for each check: ok with what was examined, or failed with what was found
    and where to look. The exit code is 6 if any check failed.

    \b
    nlpsuite plugins check keywords
    nlpsuite plugins check keywords sentiment --json
    """
    from nlpsuite.testing import check_plugin
    from nlpsuite.testing.conformance import find_checked

    plugins = [find_checked(name) for name in names]  # a mistyped name should not wait for the others
    code = 0
    for name, plugin in zip(names, plugins):
        if len(names) > 1 and not as_json:
            click.echo(f"==> {name} <==")
        for finding in check_plugin(plugin):
            _echo_finding(name, finding, as_json)
            code = code if finding.ok else PluginError.exit_code
    return code


@command.command()
@click.argument("name")
@click.option(
    "--output", "-o", "parent", type=click.Path(path_type=Path), default=Path("."), metavar="DIR",
    help="Where to create the directory.  [default: here]",
)  # fmt: skip
def new(name: str, parent: Path) -> None:
    """Write the package of a new task NAME, with tests that pass.

    \b
    nlpsuite plugins new keywords
    pip install -e "nlpsuite-keywords[test]"
    pytest nlpsuite-keywords
    """
    from nlpsuite.testing.scaffold import write_plugin

    target = write_plugin(name, parent)
    click.echo(f"Next: pip install -e '{target}[test]' && nlpsuite plugins check {name}", err=True)
    click.echo(target)


def _echo_trouble(plugin: Plugin) -> bool:
    """Say why a plugin isn't enabled, and what to do; False if it is."""
    if plugin.state == "enabled":
        return False
    fault = f" ({plugin.fault})" if plugin.fault else ""
    click.echo(f"{plugin} is {STATES[plugin.state]}{fault}: {plugin.remedy}", err=True)
    return True


def _confirm_commands(yes: bool, *commands: Sequence[str]) -> None:
    """Show what will run, and ask."""
    click.echo("This will run:", err=True)
    for words in commands:
        click.echo(f"  {shlex.join(words)}", err=True)
    click.echo(
        "Installing a plugin means trusting its code and its dependencies': it runs as you, with all your\n"
        "permissions, while it is installed and whenever its task is used.",
        err=True,
    )
    _confirm(yes)


def _confirm(yes: bool) -> None:
    """Ask whether to do what was just shown, unless ``yes``. Raises OptionError if not."""
    if yes:
        return
    if not _has_terminal():
        raise OptionError("There is no terminal to ask at.", hint="Nothing was done. Add --yes to agree.")
    if not click.confirm("Continue?", err=True):
        raise OptionError("You declined. Nothing was done.")


def _has_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _echo_changes(changes: Changes) -> None:
    for plugin in changes.plugins:
        if _echo_trouble(plugin):
            continue
        origin = f"{plugin.distribution} {plugin.version}"
        click.echo(f"New {plugin.kind}: {plugin.name} ({origin}). {plugin.summary}", err=True)
        if (verb := {"task": "run ", "command": ""}.get(plugin.kind)) is not None:
            click.echo(f"  nlpsuite {verb}{plugin.name} --help", err=True)
        for rival in plugin.rivals:
            click.echo(f"  {rival} offers the same name and is passed over.", err=True)
    if changes.others:
        click.echo(f"Also installed: {', '.join(changes.others)}.", err=True)
    if not changes.plugins and not changes.errors:
        none = (
            "It registers no plugin."
            if changes.others
            else "It was already installed; nothing has changed. Use --upgrade for a newer version."
        )
        click.echo(none, err=True)


def _echo_finding(name: str, finding: Finding, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, **asdict(finding)}, indent=None)
        return
    text = finding.message + (f" ({finding.where})" if finding.where else "")
    # One line, whatever a plugin's own messages contain.
    text = "".join(c if c.isprintable() else " " for c in text)
    state = "ok" if finding.ok else "failed"
    click.echo(f"{state:<6}  {finding.check.replace('_', ' '):<24}  {text}".rstrip())
