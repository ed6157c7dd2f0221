"""``nlpsuite models``, ``nlpsuite models catalog`` and ``nlpsuite models rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.help import HelpGroup
from nlpsuite.cli.output import print_json
from nlpsuite.models.bundle_cache import BundleCache

if TYPE_CHECKING:
    from nlpsuite.models.catalog import CatalogModel

__all__ = ["command"]


@click.group(cls=HelpGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the models on this machine, with size, precision and origin."""
    if ctx.invoked_subcommand is not None:
        return
    bundles = BundleCache().bundles()
    if as_json:
        rows = [
            {"name": b.name, "bundle": b.path.name, "path": str(b.path), "precision": b.precision,
             "bytes": b.size_bytes, "origin": b.origin, "error": b.error}
            for b in bundles
        ]  # fmt: skip
        print_json(rows)
        return
    if not bundles:
        click.echo("No models yet. `nlpsuite pull` downloads the default one.", err=True)
        return
    _print_table(
        ("BUNDLE", "PRECISION", "SIZE", "ORIGIN"),
        [
            (b.path.name, b.precision or "-", f"{b.size_bytes / 1e6:,.0f} MB", b.error or b.origin)
            for b in bundles
        ],
    )


@command.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def catalog(name: str | None, as_json: bool) -> None:
    """List models worth taking, with license, size and memory; NAME shows one in detail.

    \b
    nlpsuite models catalog
    nlpsuite models catalog Qwen2.5-1.5B-Instruct
    nlpsuite pull Qwen2.5-1.5B-Instruct
    """
    from nlpsuite.models import catalog as models

    found = models.catalog() if name is None else (_listed(name),)
    if as_json:
        print_json([model.describe() for model in found])
    elif name is None:
        _print_table(
            ("NAME", "WEIGHTS", "INT8", "MEMORY", "LICENSE", "GOOD FOR"),
            [
                (row["name"], f"{row['parameters'] / 1e6:,.0f} M", _gigabytes(row["bytes"]["int8"]),
                 _gigabytes(row["memory_bytes"]["int8"]), row["license"], row["good_for"])
                for row in (model.describe() for model in found)
            ],
        )  # fmt: skip
    else:
        _print_model(found[0].describe())


def _listed(name: str) -> CatalogModel:
    """The model of the catalogue. Raises ModelNotFoundError if there is none of that name."""
    import difflib

    from nlpsuite.errors import ModelNotFoundError
    from nlpsuite.models.catalog import catalog, find_model

    if found := find_model(name):
        return found
    names = {model.name.casefold(): model.name for model in catalog()}
    close = [names[match] for match in difflib.get_close_matches(name.casefold(), names, n=2, cutoff=0.5)]
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    raise ModelNotFoundError(
        f"The catalogue has no model {name!r}.",
        hint=f"{meant}Others can be taken as hf:owner/name: nlpsuite pull hf:owner/name",
    )


def _print_model(row: dict[str, Any]) -> None:
    lines = {
        "page": row["page"],
        "revision": row["revision"],
        "license": row["license"] + (f", to be accepted: {row['terms']}" if row["terms"] else ""),
        "token": "needed: set HF_TOKEN, after access was granted on its page" if row["gated"] else "",
        "weights": f"{row['parameters']:,}",
        "context": f"{row['context_length']:,} tokens",
        "size": ", ".join(f"{_gigabytes(size)} in {precision}" for precision, size in row["bytes"].items()),
        "memory": ", ".join(
            f"{_gigabytes(size)} in {precision}" for precision, size in row["memory_bytes"].items()
        ),
        "good for": row["good_for"],
        "checked": ", ".join(row["checked"]) or "no task's prompts were tried on it",
        "figures": "; ".join(f"{f['test']} {f['value']} ({f['source']})" for f in row["figures"]),
    }
    click.echo(row["name"])
    for label, text in lines.items():
        if text:
            click.echo(f"  {label:<9} {text}")


def _gigabytes(size: int) -> str:
    """A size as people compare them."""
    return f"{size / 1e9:.1f} GB"


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns of text; the last one as wide as it is."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + f"  {row[-1]}")


@command.command()
@click.argument("names", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove models, by bundle or model name."""
    for name in names:
        click.echo(f"Removed {BundleCache().remove(name).name}.", err=True)
