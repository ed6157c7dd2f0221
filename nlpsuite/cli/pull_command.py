"""``nlpsuite pull``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nlpsuite.models.catalog import CatalogModel

__all__ = ["command"]


@click.command()
@click.argument("model", required=False)
@click.option(
    "--precision",
    type=click.Choice(["int8", "int4", "fp16", "fp32"]),
    help="Precision of the weights.  [default: int8]",
)
@click.option("--accept-license", is_flag=True, help="Accept the model's terms of use without being asked.")
def command(model: str | None, precision: str | None, accept_license: bool) -> None:
    """Download MODEL (by default SmolLM2-135M-Instruct) and build its bundle.

    An interrupted download resumes where it ended.

    \b
    nlpsuite pull
    nlpsuite pull Qwen2.5-0.5B-Instruct              # a name that `nlpsuite models catalog` lists
    nlpsuite pull hf:HuggingFaceTB/SmolLM2-360M-Instruct
    nlpsuite pull ./model.gguf --precision fp32
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.export.cache import get_bundle
    from nlpsuite.models.catalog import find_model
    from nlpsuite.runtime.bundle import Bundle

    if listed := find_model(model or ""):
        _license(listed, accepted=accept_license)
    path = get_bundle(model, precision=precision, reporter=Progress())
    if revision := Bundle.open(path).origin.get("revision"):
        click.echo(f"Made from commit {revision}.", err=True)
    click.echo(path)


def _license(model: CatalogModel, *, accepted: bool) -> None:
    """Show the license and, where it has terms that nobody accepted yet, ask for that."""
    from nlpsuite.models.licenses import accept_license, is_accepted

    click.echo(f"{model.name}: {model.license}{f', {model.terms}' if model.terms else ''}", err=True)
    if is_accepted(model.terms):
        return
    click.echo(
        "These are terms of use, not an open-source license; they bind whoever uses the model.", err=True
    )
    asked = not accepted and _on_terminal()
    if accepted or (asked and click.confirm("Have you read and do you accept them?", err=True)):
        accept_license(model.name, model.license, model.terms)
        return
    from nlpsuite.errors import LicenseNotAcceptedError

    raise LicenseNotAcceptedError(
        f"The terms of use of {model.name} were not accepted.",
        hint=f"Read {model.terms}; if you accept them: nlpsuite pull {model.name} --accept-license",
    )


def _on_terminal() -> bool:
    return sys.stdin.isatty()
