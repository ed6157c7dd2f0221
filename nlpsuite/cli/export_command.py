"""``nlpsuite export``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nlpsuite.export.export import Exported

__all__ = ["command"]


@click.command()
@click.argument("base", required=False)
@click.option("--adapter", metavar="FILE", help="Adapter trained on BASE, merged into the weights.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int4"]),
    default="int8",
    show_default=True,
    help="Of the weights; fp16 is for CUDA and WebGPU.",
)
@click.option(
    "--layout",
    type=click.Choice(["slots", "portable"]),
    default="slots",
    show_default=True,
    help="For nlpsuite, or for other apps (onnxruntime-genai, transformers.js, optimum).",
)
@click.option("--output", "-o", "target", metavar="DIR", help="[default: exported/<base>-<precision>]")
@click.option("--name", metavar="NAME", help="Of the model, for people.  [default: the base's]")
@click.option("--verify/--no-verify", default=True, help="Compare the graph with torch.  [default: verify]")
@click.option("--overwrite", is_flag=True, help="Replace the bundle that is there.")
def command(base: str | None, **options: Any) -> None:
    """Export BASE (by default SmolLM2-135M-Instruct) as an ONNX bundle, and check it.

    BASE is a .gguf file, a Hugging Face directory, the directory of a training run or hf:owner/name.

    \b
    nlpsuite export --precision int4
    nlpsuite export runs/my-lstm -o exported/my-lstm
    nlpsuite export --adapter runs/sentiment/adapter.safetensors
    nlpsuite export hf:HuggingFaceTB/SmolLM2-360M-Instruct --layout portable --precision fp16
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.export.export import export_bundle
    from nlpsuite.export.schemes import base_named

    progress = Progress()
    try:
        exported = export_bundle(base_named(base), reporter=progress, **options)
    finally:
        progress.close()
    for line in _summary(exported):
        click.echo(line, err=True)
    click.echo(exported.bundle.path)


def _summary(exported: Exported) -> list[str]:
    bundle = exported.bundle
    graph = bundle.graphs[0]
    lines = [
        f"{bundle.name}: {graph.layout}, {graph.precision}, {bundle.size_bytes / 1e6:,.1f} MB, "
        f"{exported.seconds:.0f} s."
    ]
    if bundle.verification is None:
        return [*lines, "Not compared with torch."]
    figures = bundle.verification
    return [
        *lines,
        f"Compared with torch on {figures['tokens']} tokens: perplexity {figures['perplexity']:.3f} "
        f"(torch {figures['reference_perplexity']:.3f}), the same most likely token for "
        f"{figures['top1_agreement']:.1%}, greedy text equal for {figures['greedy_agreement']} of "
        f"{figures['greedy_tokens']} tokens, largest difference of a logit "
        f"{figures['max_logit_difference']:.2g}.",
    ]
