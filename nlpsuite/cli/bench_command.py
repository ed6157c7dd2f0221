"""``nlpsuite bench``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from nlpsuite.cli.output import print_json

__all__ = ["command"]


@click.command()
@click.option(
    "--model", metavar="MODEL", help="Measure this bundle, .gguf file, checkpoint directory or hf:owner/name."
)
@click.option(
    "--precision",
    type=click.Choice(["int8", "int4", "fp16", "fp32"]),
    help="Measure this precision only.  [default: int8, int4 and fp32]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    help="Choose where the model runs.  [default: auto]",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    metavar="N",
    help="Use N CPU threads; 0 uses every core.  [default: the fastest number]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool, **values: Any) -> None:
    """Measure how fast a model is on this machine, and recommend a precision and a number of threads.

    The table shows tokens per second: of reading a prompt of 512 tokens, and of generating 32 tokens after 128 in
    1, 8 and 32 streams at once. Then come the time from the start of a process to its first token after a text of
    200 words, that process's peak memory, and the size of the bundle. Figures are medians of three runs.

    A coarser precision is recommended only if it is at least 10 % faster, and more threads if 5 % faster. Quality
    is not measured: `nlpsuite eval` does that. Bundles stay in the cache.

    \b
    nlpsuite bench
    nlpsuite bench --precision int8 --threads 4
    nlpsuite bench --model ./model.gguf --json
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.evaluation.speed import bench

    with closing(Progress()) as reporter:
        report = bench(reporter=reporter, **values)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(report)
