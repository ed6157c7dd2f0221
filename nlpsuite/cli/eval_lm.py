"""``nlpsuite eval lm``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from nlpsuite.cli.eval_task import check_targets, form_flags, print_report
from nlpsuite.cli.task_commands import model_flags, runtime_flags

__all__ = ["command"]


def _evaluate(files: tuple[str, ...], as_json: bool, html: str, markdown: str, **values: Any) -> None:
    from nlpsuite.cli.score import JobProgress
    from nlpsuite.evaluation.perplexity import evaluate_lm

    check_targets(html, markdown)
    with closing(JobProgress()) as reporter:
        report = evaluate_lm(files=files, reporter=reporter, **values)
    print_report(report, as_json=as_json, html=html, markdown=markdown)


command = click.Command(
    "lm",
    callback=_evaluate,
    params=[
        click.Argument(["files"], nargs=-1, metavar="[DATA]...", type=click.Path(allow_dash=True)),
        click.Option(["--dataset"], metavar="NAME", help="Use a standard data set, such as wikitext2:valid."),
        click.Option(["--text-column"], metavar="NAME", help="Text column of the data set, where it isn't known."),
        click.Option(["--encoding"], default="utf-8", show_default=True, help="Encoding of the files."),
        click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Read only the first N texts."),
        click.Option(["--context"], type=click.IntRange(2), metavar="N",
                     help="Tokens of a window.  [default: 1024, or all the model takes]"),
        click.Option(["--stride"], type=click.IntRange(1), metavar="N",
                     help="Tokens between the starts of two windows.  [default: half the context]"),
        *form_flags(),
        *(flag for flag in model_flags() if flag.name != "adapter"),
        *runtime_flags(configured=False),
    ],
    help="""Measure how well a model predicts texts: perplexity of tokens and of words, bits per byte.

    DATA are text files; each is one text. A window of --context tokens slides over each text by --stride
    tokens. Every token is predicted once, with at least (context - stride) tokens before it where the text has
    them. Perplexities of tokens compare models with the same tokenizer; those of words, and bits per byte, any
    two models on the same text.

    \b
    nlpsuite eval lm book.txt
    nlpsuite eval lm --dataset wikitext2:valid --context 512 --json
    """,
)  # fmt: skip
