"""``nlpsuite plugins new``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("new")
@click.argument("name")
@click.option(
    "--output", "-o", "parent", type=click.Path(path_type=Path), default=Path("."), metavar="DIR",
    help="Where to make the directory.  [default: here]",
)  # fmt: skip
def command(name: str, parent: Path) -> None:
    """Write a plugin's package for a task called NAME, with tests that pass.

    \b
    nlpsuite plugins new keywords
    pip install -e "nlpsuite-keywords[test]"
    pytest nlpsuite-keywords
    """
    from nlpsuite.testing.scaffold import write_plugin

    target = write_plugin(name, parent)
    click.echo(f"Next: pip install -e '{target}[test]' && nlpsuite plugins check {name}", err=True)
    click.echo(target)
