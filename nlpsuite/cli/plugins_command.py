"""``nlpsuite plugins`` and its subcommands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.lazy import LazyGroup
from nlpsuite.cli.output import print_json
from nlpsuite.errors import OptionError, PluginError, PluginInstallError

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin
    from nlpsuite.plugins.manage import Changes
    from nlpsuite.testing import Finding

__all__ = ["command"]

_STATES = {
    "disabled": "disabled",
    "blocked": "blocked",
    "shadowed": "passed over for another of the same name",
    "clash": "not used, since another has the same name",
    "incompatible": "for another version of the plugin contract",
    "broken": "broken",
}


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from nlpsuite.plugins.registry import registered

    names = {plugin.key for plugin in registered()}
    names |= {plugin.distribution for plugin in registered() if not plugin.bundled}
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
    from nlpsuite.plugins import known_plugins
    from nlpsuite.plugins.manage import describe

    known = known_plugins()
    shown = [p for p in known if show_all or p.kind == "task" or not p.bundled or p.state != "enabled"]
    if as_json:
        _echo_json([describe(plugin) for plugin in shown])
        return
    rows = [("NAME", "KIND", "DISTRIBUTION", "VERSION", "API", "STATE", "SUMMARY")]
    for p in shown:
        api = "?" if p.api_version is None else str(p.api_version)
        rows.append((p.name, p.kind, p.distribution, p.version, api, p.state, p.summary))
    widths = [max(map(len, column)) for column in zip(*rows)][:-1] + [0]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)))
    for plugin in shown:
        if plugin.state != "enabled":
            _echo_trouble(plugin)
    if len(shown) < len(known):
        more = len(known) - len(shown)
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
        _echo_json([details(plugin) for plugin in plugins])
        return
    for number, plugin in enumerate(plugins):
        if number:
            click.echo()
        for key, value in details(plugin).items():
            text = ", ".join(value) if isinstance(value, list) else value
            if text not in ("", None) and key not in ("fault", "remedy"):
                text = {True: "yes", False: "no"}[text] if isinstance(text, bool) else text
                click.echo(f"{key + ':':<14}{text}")
        if plugin.state != "enabled":
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
def install(yes: bool, **what: Any) -> int:
    """Install plugins into this environment.

    This runs pip, or uv if there is no pip. SPEC is anything pip accepts: a name, a path, a wheel, a git
    URL. pip's own configuration and environment variables (PIP_NO_INDEX, PIP_FIND_LINKS) apply.

    \b
    nlpsuite plugins install nlpsuite-keywords
    nlpsuite plugins install ./my-plugin
    nlpsuite plugins install git+https://example.org/me/my-plugin
    nlpsuite plugins install -r plugins.txt --require-hashes
    """
    from nlpsuite.plugins import manage

    command = manage.install_command(**what)
    _echo_commands(command)
    if not _agreed(yes):
        return 1
    changes = manage.install(command)
    _echo_changes(changes)
    for error in changes.errors.values():
        raise error
    return 0


@command.command()
@_name
@_yes
def uninstall(name: str, yes: bool) -> int:
    """Uninstall the distribution NAME, or the one that the plugin NAME came with."""
    from nlpsuite.plugins import manage

    removal = manage.plan_removal(name)
    if removal.command:
        going = ", ".join(f"the {plugin.kind} {plugin.name}" for plugin in removal.plugins)
        click.echo(f"This removes {going}, and will run:\n  {shlex.join(removal.command)}", err=True)
        if not _agreed(yes):
            return 1
    manage.uninstall(removal)
    if removal.command:
        click.echo(f"Uninstalled {removal.distribution}.", err=True)
    else:
        click.echo(f"{name} was not installed here. It is no longer on the list of your plugins.", err=True)
    return 0


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
        if plugin.state == "enabled":
            click.echo(f"Enabled: {plugin}.", err=True)
        else:
            _echo_trouble(plugin)


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
def restore(yes: bool) -> int:
    """Reinstall the plugins that an upgrade or a new environment has lost.

    They are recorded in plugins.json in your configuration directory (NLPSUITE_CONFIG_DIR) whenever
    plugins are installed with nlpsuite.
    """
    from nlpsuite.plugins import manage
    from nlpsuite.plugins.state import state_path

    rows = manage.recorded()
    for row in rows:
        state = f"present, {row.version}" if row.version else "missing"
        width = max(len(other.name) for other in rows)
        gone = " (no longer there)" if row.gone else ""
        click.echo(f"{row.name:<{width}}  {state:<16}  {row.requirement}{gone}")
    missing = [row for row in rows if not row.version]
    if not missing:
        nothing = "Nothing is missing." if rows else f"No plugins are recorded in {state_path()}."
        click.echo(nothing, err=True)
        return 0
    _echo_commands(*(row.command for row in missing))
    if not _agreed(yes):
        return 1
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
    return 0


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


def _echo_json(rows: Sequence[dict[str, Any]]) -> None:
    print_json(rows)


def _echo_trouble(plugin: Plugin) -> None:
    fault = f" ({plugin.fault})" if plugin.fault else ""
    click.echo(f"{plugin} is {_STATES[plugin.state]}{fault}: {plugin.remedy}", err=True)


def _echo_commands(*commands: Sequence[str]) -> None:
    click.echo("This will run:", err=True)
    for words in commands:
        click.echo(f"  {shlex.join(words)}", err=True)
    click.echo(
        "Installing a plugin means trusting its code and its dependencies': it runs as you, with all your\n"
        "permissions, while it is installed and whenever its task is used.",
        err=True,
    )


def _agreed(yes: bool) -> bool:
    """Whether the user agrees to what was just shown."""
    if yes:
        return True
    if not _has_terminal():
        raise OptionError("There is no terminal to ask at.", hint="Add --yes to agree. Nothing was done.")
    if click.confirm("Continue?", err=True):
        return True
    click.echo("Nothing was done.", err=True)
    return False


def _has_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _echo_changes(changes: Changes) -> None:
    for plugin in changes.plugins:
        if plugin.state != "enabled":
            _echo_trouble(plugin)
            continue
        origin = f"{plugin.distribution} {plugin.version}"
        click.echo(f"New {plugin.kind}: {plugin.name} ({origin}). {plugin.summary}", err=True)
        verb = {"task": "run ", "command": ""}.get(plugin.kind)
        if verb is not None:
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
        values = {
            "check": finding.check,
            "ok": finding.ok,
            "message": finding.message,
            "where": finding.where,
        }
        print_json({"name": name, **values}, indent=None)
        return
    text = finding.message + (f" ({finding.where})" if finding.where else "")
    # One line, whatever a plugin's own messages contain.
    text = "".join(c if c.isprintable() else " " for c in text)
    state = "ok" if finding.ok else "failed"
    click.echo(f"{state:<6}  {finding.check.replace('_', ' '):<24}  {text}".rstrip())
