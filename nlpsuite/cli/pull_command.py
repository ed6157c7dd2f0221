"""``nlpsuite pull``."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("model", required=False)
@click.option(
    "--precision",
    type=click.Choice(["int8", "int4", "fp16", "fp32"]),
    help="Precision of the weights.  [default: int8]",
)
def command(model: str | None, precision: str | None) -> None:
    """Download MODEL (by default SmolLM2-135M-Instruct) and build its bundle.

    \b
    nlpsuite pull
    nlpsuite pull ./model.gguf --precision fp32
    nlpsuite pull hf:HuggingFaceTB/SmolLM2-360M-Instruct
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.export.cache import get_bundle

    click.echo(get_bundle(model, precision=precision, reporter=Progress()))
