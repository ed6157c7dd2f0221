"""``nlpsuite plugins check``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nlpsuite.cli.output import print_json

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin
    from nlpsuite.testing.findings import Finding

__all__ = ["command"]

_FAILED = 70  # as PluginError


@click.command("check")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each check.")
def command(names: tuple[str, ...], as_json: bool) -> int:
    """Check that a plugin keeps the contract. Imports and runs it, without a model.

    NAME is a task's; of other kinds kind:name, as in metric:bleu.

    One line a check: ok with what was looked at, or failed with what was seen and where to look.
    The exit code is 6 if any failed.

    \b
    nlpsuite plugins check keywords
    nlpsuite plugins check keywords sentiment --json
    """
    plugins = [_find(name) for name in names]  # a mistyped name should not wait for the others
    code = 0
    for name, plugin in zip(names, plugins):
        if len(names) > 1 and not as_json:
            click.echo(f"==> {name} <==")
        for finding in _findings(plugin):
            _print(name, finding, as_json)
            code = code if finding.ok else _FAILED
    return code


def _findings(plugin: Plugin) -> Iterable[Finding]:
    from nlpsuite.plugins.kinds import TASK
    from nlpsuite.testing.checks_kinds import check_plugin
    from nlpsuite.testing.conformance import check_task

    return check_task(plugin.name) if plugin.kind == TASK else check_plugin(plugin)


def _find(name: str) -> Plugin:
    from nlpsuite.errors import UnknownTaskError
    from nlpsuite.plugins.discovery import find_plugin
    from nlpsuite.plugins.kinds import KINDS, TASK

    kind, _, rest = name.partition(":")
    try:
        return find_plugin(kind, rest) if rest and kind in KINDS else find_plugin(TASK, name)
    except UnknownTaskError as error:
        hint = f"{error.hint} To be checked, a plugin must be installed: pip install -e DIRECTORY"
        raise UnknownTaskError(error.message, hint=hint) from None


def _print(name: str, finding: Finding, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, **asdict(finding)}, indent=None)
        return
    said = finding.message + (f" ({finding.where})" if finding.where else "")
    # One line, whatever the plugin's own messages have in them.
    said = "".join(c if c.isprintable() else " " for c in said)
    click.echo(
        f"{'ok' if finding.ok else 'failed':<6}  {finding.check.replace('_', ' '):<24}  {said}".rstrip()
    )
