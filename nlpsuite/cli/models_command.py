"""``nlpsuite models`` and ``nlpsuite models rm``."""

from __future__ import annotations

import click

from nlpsuite.cli.help import HelpGroup
from nlpsuite.cli.output import print_json
from nlpsuite.export import store

__all__ = ["command"]


@click.group(cls=HelpGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the models on this machine, with size, precision and origin."""
    if ctx.invoked_subcommand is not None:
        return
    bundles = store.cached()
    if as_json:
        rows = [
            {"name": b.name, "bundle": b.path.name, "path": str(b.path), "precision": b.precision,
             "bytes": b.size_bytes, "origin": b.origin, "error": b.error}
            for b in bundles
        ]  # fmt: skip
        print_json(rows)
        return
    if not bundles:
        click.echo("No models yet. `nlpsuite pull` fetches the default one.", err=True)
    rows_ = [("BUNDLE", "PRECISION", "SIZE", "ORIGIN")] if bundles else []
    rows_ += [
        (b.path.name, b.precision or "-", f"{b.size_bytes / 1e6:,.0f} MB", b.error or b.origin)
        for b in bundles
    ]
    widths = [max(len(row[i]) for row in rows_) for i in range(3)] if rows_ else []
    for row in rows_:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + f"  {row[3]}")


@command.command()
@click.argument("names", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove models by bundle or model name."""
    for name in names:
        for path in store.remove(name):
            click.echo(f"Removed {path.name}.", err=True)
