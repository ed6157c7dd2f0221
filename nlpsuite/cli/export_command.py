"""``nlpsuite export``."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["command"]


@click.command()
@click.argument("model", required=False)
@click.option("--adapter", metavar="PATH", help="Merge this adapter into the weights.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int4"]),
    default="int8",
    show_default=True,
    help="Precision of the weights; fp16 is for CUDA and WebGPU.",
)
@click.option(
    "--layout",
    type=click.Choice(["slots", "portable"]),
    default="slots",
    show_default=True,
    help="Write for nlpsuite (slots) or for onnxruntime-genai, transformers.js and optimum (portable).",
)
@click.option(
    "--output", "-o", metavar="DIR", help="Write the bundle here.  [default: exported/<model>-<precision>]"
)
@click.option("--name", metavar="NAME", help="Display name in the manifest.  [default: the model's own]")
@click.option("--verify/--no-verify", default=True, help="Compare the graph with torch.  [default: verify]")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
def command(model: str | None, **options: Any) -> None:
    """Export MODEL (by default SmolLM2-135M-Instruct) as an ONNX bundle, and verify it.

    MODEL is a .gguf file, a Hugging Face directory, the directory of a training run or hf:owner/name.
    The adapter is a file from `nlpsuite train adapter` or a LoRA directory from peft, trained on MODEL.

    \b
    nlpsuite export --precision int4
    nlpsuite export runs/my-lstm -o exported/my-lstm
    nlpsuite export --adapter runs/sentiment/adapter.safetensors
    nlpsuite export hf:HuggingFaceTB/SmolLM2-360M-Instruct --layout portable --precision fp16
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.export.export import export

    report = export(model, reporter=Progress(), **options)
    click.echo(report, err=True)
    click.echo(report.bundle.path)
