"""``nlpsuite plugins install SPEC…``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.plugins_report import agreed, checked_plugins, trouble
from nlpsuite.errors import OptionError
from nlpsuite.plugins import installer
from nlpsuite.plugins.registry import normalized
from nlpsuite.plugins.state import change_state, read_state

__all__ = ["command", "say_what_came", "say_what_will_run"]


@click.command()
@click.argument("specs", nargs=-1, metavar="SPEC...")
@click.option(
    "-r",
    "--requirement",
    "requirements",
    multiple=True,
    metavar="FILE",
    help="Install what a requirements file lists.",
)
@click.option(
    "-e", "--editable", "editables", multiple=True, metavar="DIR", help="Install a project in editable mode."
)
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade what is installed already.")
@click.option("--index-url", metavar="URL", help="The package index to use.")
@click.option("--require-hashes", is_flag=True, help="Refuse whatever has no hash in the requirements file.")
@click.option("--no-deps", is_flag=True, help="Install no dependencies.")
@click.option("-y", "--yes", is_flag=True, help="Agree without being asked.")
def command(
    specs: tuple[str, ...], requirements: tuple[str, ...], editables: tuple[str, ...], yes: bool, **flags: Any
) -> int:
    """Install plugins into this environment with pip, or with uv where there is no pip.

    SPEC is whatever pip accepts: a name, a path, a wheel, a git URL. What pip reads from its
    configuration and environment (PIP_NO_INDEX, PIP_FIND_LINKS) holds here as well.

    \b
    nlpsuite plugins install nlpsuite-keywords
    nlpsuite plugins install ./my-plugin
    nlpsuite plugins install git+https://example.org/me/my-plugin
    nlpsuite plugins install -r plugins.txt --require-hashes
    """
    what = [*specs]
    what += [word for file in requirements for word in ("-r", file)]
    what += [word for directory in editables for word in ("-e", directory)]
    if not what:
        raise OptionError("Nothing to install is named.", hint="nlpsuite plugins install NAME, or -r FILE")
    read_state()  # a damaged record should show before anything is installed
    to_run = installer.install_command(what, _options(**flags))
    say_what_will_run(to_run)
    if not agreed(yes):
        return 1
    before = installer.snapshot()
    installer.run(to_run)
    say_what_came(before)
    return 0


def _options(upgrade: bool, index_url: str | None, require_hashes: bool, no_deps: bool) -> list[str]:
    options = ["--upgrade"] if upgrade else []
    options += ["--index-url", index_url] if index_url else []
    options += ["--require-hashes"] if require_hashes else []
    return options + (["--no-deps"] if no_deps else [])


def say_what_will_run(*commands: list[str]) -> None:
    """Show the commands and what it means to run them."""
    click.echo("This will run:", err=True)
    for words in commands:
        click.echo(f"  {installer.shown(words)}", err=True)
    click.echo(
        "Installing a plugin means trusting its code, and its dependencies': it runs as you, with all that you\n"
        "may do, while it is installed and whenever its task is used.",
        err=True,
    )


def say_what_came(before: dict[str, tuple[str, int]]) -> None:
    """Record what is installed now, and say which plugins are new since ``before``. Loads no plugin."""
    after = installer.snapshot()
    changed = {name for name, value in after.items() if before.get(name) != value}
    with change_state() as state:
        state.installed |= installer.recordable()
    came = [plugin for plugin in checked_plugins() if normalized(plugin.distribution) in changed]
    for plugin in came:
        if plugin.state == "enabled":
            origin = f"{plugin.distribution} {plugin.version}"
            click.echo(f"New {plugin.kind}: {plugin.name} ({origin}). {plugin.summary}", err=True)
            verb = {"task": "run ", "command": ""}.get(plugin.kind)
            if verb is not None:
                click.echo(f"  nlpsuite {verb}{plugin.name} --help", err=True)
            for rival in plugin.rivals:
                click.echo(f"  {rival} offers the same name and is passed over.", err=True)
        else:
            click.echo(trouble(plugin), err=True)
    plugins = {normalized(plugin.distribution) for plugin in came}
    others = {name for name in changed - plugins if before.get(name, ("", 0))[0] != after[name][0]}
    if others:
        versions = [
            f"{name} {f'{before[name][0]} -> ' if name in before else ''}{after[name][0]}"
            for name in sorted(others)
        ]
        click.echo(f"Also installed: {', '.join(versions)}.", err=True)
    if not changed:
        click.echo(
            "It was installed already; nothing has changed. Use --upgrade for a newer version.", err=True
        )
    elif not came:
        click.echo("No plugin came with it: it registers none.", err=True)
