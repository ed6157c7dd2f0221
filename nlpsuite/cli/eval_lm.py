"""``nlpsuite eval lm``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import print_json

if TYPE_CHECKING:
    from nlpsuite.evaluation.perplexity import TextLikelihood
    from nlpsuite.runtime.language_model import LanguageModel

__all__ = ["command"]


def _measure(
    files: tuple[str, ...],
    dataset: str | None,
    text_column: str | None,
    encoding: str,
    limit: int | None,
    context: int | None,
    stride: int | None,
    as_json: bool,
    model: str | None,
    precision: str | None,
    device: str,
    threads: int,
) -> None:
    from nlpsuite.errors import OptionError

    if bool(files) == bool(dataset):
        raise OptionError("Name files or a data set, one of the two.", hint="nlpsuite eval lm book.txt")
    texts = _dataset_texts(dataset, text_column) if dataset else _file_texts(files, encoding)
    chosen = islice(texts, limit)
    first = next(chosen, None)  # what is wrong with it should not wait for the model
    language_model = _loaded(model, precision, device, threads)
    report = _report(language_model, dataset or list(files), _chained(first, chosen), context, stride)
    if as_json:
        print_json(report)
    else:
        click.echo(_text(report))


command = click.Command(
    "lm",
    callback=_measure,
    params=[
        click.Argument(["files"], nargs=-1, metavar="[DATA]...", type=click.Path(allow_dash=True)),
        click.Option(["--dataset"], metavar="NAME", help="A standard data set instead, such as wikitext2:valid."),
        click.Option(["--text-column"], metavar="NAME", help="Of the data set, where it is not known."),
        click.Option(["--encoding"], default="utf-8", show_default=True, help="Of the files."),
        click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Read only the first N texts."),
        click.Option(["--context"], type=click.IntRange(2), metavar="N",
                     help="Tokens that the model sees at a time.  [default: 1024, or all it takes]"),
        click.Option(["--stride"], type=click.IntRange(1), metavar="N",
                     help="Tokens between two windows.  [default: half the context]"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        click.Option(["--model"], metavar="MODEL", help="Bundle, .gguf, checkpoint directory or hf:owner/name."),
        click.Option(["--precision"], type=click.Choice(["int8", "int4", "fp16", "fp32"]),
                     help="Of the weights.  [default: int8]"),
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True,
                     help="Where the model runs."),
        click.Option(["--threads"], type=click.IntRange(0, 256), default=0, show_default=True,
                     help="CPU threads; 0 uses every core."),
    ],
    help="""Measure how well a model foretells texts: perplexity of tokens and of words, bits per byte.

    DATA are text files; each is one text. A window of --context tokens moves over each text by --stride
    tokens, and every token is foretold once, with at least the context less the stride before it where the
    text has them. Perplexities of tokens compare models with the same tokenizer; those of words, and bits per
    byte, any two on the same text.

    \b
    nlpsuite eval lm book.txt
    nlpsuite eval lm --dataset wikitext2:valid --context 512 --json
    """,
)  # fmt: skip


def _file_texts(files: Iterable[str], encoding: str) -> Iterator[str]:
    from nlpsuite.cli.inputs import read_input

    return (read_input(path, encoding).text for path in files)


def _dataset_texts(name: str, text_column: str | None) -> Iterator[str]:
    """Texts of a data set; empty ones are left out."""
    from nlpsuite.data.datasets import open_dataset
    from nlpsuite.errors import InputInvalidError, OptionError

    table = open_dataset(name)
    column = text_column or next(iter(table.text), None)
    if column is None:
        raise OptionError(f"{name} does not say which column is the text.", hint="Name it: --text-column.")
    for line, values in table.read():
        if isinstance(values, InputInvalidError):
            raise values
        if not isinstance(values.get(column), str):
            raise InputInvalidError(
                f"Row {line:,} of {name} has no text in {column!r}.",
                hint=f"Its columns: {', '.join(values)}.",
            )
        if values[column].strip():
            yield values[column]


def _chained(first: str | None, rest: Iterable[str]) -> Iterator[str]:
    if first is not None:
        yield first
    yield from rest


def _loaded(model: str | None, precision: str | None, device: str, threads: int) -> LanguageModel:
    from nlpsuite.cli.progress import Progress
    from nlpsuite.export import store
    from nlpsuite.export.schemes import base_named
    from nlpsuite.runtime.language_model import LanguageModel

    progress = Progress()
    try:
        path = store.resolve(base_named(model), precision=precision, reporter=progress)
    finally:
        progress.close()
    return LanguageModel.load(path, device=device, threads=threads)  # type: ignore[arg-type]


def _report(
    model: LanguageModel, data: Any, texts: Iterable[str], context: int | None, stride: int | None
) -> dict[str, Any]:
    from nlpsuite import __version__
    from nlpsuite.evaluation.metrics.perplexity import bits_per_byte, perplexity, word_perplexity
    from nlpsuite.evaluation.metrics.resampling import RESAMPLES, estimate
    from nlpsuite.evaluation.perplexity import CONTEXT, resampled_unit, rows_of, text_perplexity

    context = context or min(CONTEXT, model.context_length)
    stride = stride or max(1, context // 2)
    counted: list[TextLikelihood] = []
    for likelihood in text_perplexity(model, texts, context, stride):
        counted.append(likelihood)
    rows, unit = rows_of(counted), resampled_unit(counted)
    figures = []
    for metric in (perplexity, word_perplexity, bits_per_byte):
        found = estimate(metric, rows)
        signature = (
            f"{metric.signature(0)}|context:{context}|stride:{stride}|first:end-token|words:whitespace"
        )
        figures.append(
            {
                "metric": metric.name,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "signature": signature,
            }
        )
    return {
        "data": data,
        "model": {
            "name": model.bundle.name,
            "precision": model.bundle.graph("slots").precision,
            "fingerprint": model.bundle.fingerprint,
        },
        "texts": len(counted),
        "tokens": sum(t.tokens for t in counted),
        "words": sum(t.words for t in counted),
        "bytes": sum(t.bytes for t in counted),
        "log_likelihood": sum(t.log_likelihood for t in counted),
        "context": context,
        "stride": stride,
        "bootstrap": {"unit": unit, "resamples": RESAMPLES, "seed": found.seed, "interval": 0.95},
        "figures": figures,
        "nlpsuite": __version__,
    }


_TITLES = {
    "perplexity": "perplexity (tokens)",
    "word_perplexity": "perplexity (words)",
    "bits_per_byte": "bits per byte",
}


def _text(report: dict[str, Any]) -> str:
    texts = report["texts"]
    lines = [
        f"{report['model']['name']} ({report['model']['precision']}): {texts:,} text{'s' * (texts != 1)}, "
        f"{report['tokens']:,} tokens, {report['words']:,} words, {report['bytes']:,} bytes.",
        f"95 % intervals from {report['bootstrap']['resamples']:,} resamples of the {report['bootstrap']['unit']}.",
        "",
    ]
    for figure in report["figures"]:
        value, low, high = (f"{figure[name]:,.4g}" for name in ("value", "low", "high"))
        lines.append(f"{_TITLES[figure['metric']]:<21}{value:>9}  [{low}, {high}]  n = {figure['n']:,}")
        lines.append(f"{'':<21}{figure['signature']}")
    return "\n".join(lines)
