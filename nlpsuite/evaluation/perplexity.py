"""How well a language model predicts texts, with windows that slide over them.

Hugging Face's guide "Perplexity of fixed-length models" defines it: "Perplexity is defined as the exponentiated
average negative log-likelihood of a sequence", and of a text longer than the context: "An alternative approach
is to use a strided sliding window. Instead of sliding the context window one token at a time, we move the
context by larger strides". This module does the same, and settles three points that the guide leaves open:

- Texts are independent: none is context of another.
- A text's first token is predicted from the beginning-of-text token of models that have it, else from the
  end-of-text token, so that all tokens, words and bytes count.
- A window is ``context`` tokens long, including that one, and starts ``stride`` tokens after the previous window.
  Only tokens that no earlier window has scored are scored; each has at least ``context - stride`` tokens before
  it, by default half the context, or all that the text has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite import __version__
from nlpsuite.batch.run import pluralize
from nlpsuite.data.datasets import open_dataset
from nlpsuite.data.text import read_input
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.measure import MetricResult
from nlpsuite.evaluation.metrics.base import Statistics
from nlpsuite.evaluation.metrics.perplexity import bits_per_byte, perplexity, word_perplexity
from nlpsuite.evaluation.metrics.resampling import RESAMPLES, estimate
from nlpsuite.evaluation.provenance import describe_bundle
from nlpsuite.evaluation.report import Report
from nlpsuite.evaluation.tables import Section

if TYPE_CHECKING:
    from nlpsuite.models.spec import Reporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.runtime.language_model import LanguageModel

__all__ = [
    "CONTEXT",
    "PerplexityReport",
    "TextLikelihood",
    "evaluate_lm",
    "resampled_unit",
    "rows_of",
    "text_perplexity",
    "windows",
]

CONTEXT = 1024
# Windows that are sorted by length before they are run: enough for rows of similar lengths.
_GATHERED = 64
# With fewer texts, an interval over texts would say little. Blocks are drawn instead, not tokens, because the
# likelihoods of neighbouring tokens are correlated.
_LEAST_TEXTS = 10
_BLOCK_TOKENS = 128


_TITLES = {
    "perplexity": "perplexity (tokens)",
    "word_perplexity": "perplexity (words)",
    "bits_per_byte": "bits per byte",
}


@dataclass(frozen=True)
class PerplexityReport(Report):
    """How well a model predicts texts. ``str(report)`` is the report for a terminal.

    Attributes:
        data: name of the data set, or of the files.
        model: name, precision and fingerprint.
        texts, tokens, words, bytes: that were read.
        log_likelihood: the sum over all tokens, in nats.
        context, stride: of the windows, in tokens.
        unit: what the intervals resample.
        figures: perplexity of tokens and of words, and bits per byte, with 95 % intervals.
        resamples, seed: of the intervals.
    """

    data: Any
    model: Mapping[str, str]
    texts: int
    tokens: int
    words: int
    bytes: int
    log_likelihood: float
    context: int
    stride: int
    unit: str
    figures: tuple[MetricResult, ...]
    resamples: int = RESAMPLES
    seed: int = 0
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        return (
            f"{self.model['name']} ({self.model['precision']}): {pluralize(self.texts, 'text')}, "
            f"{self.tokens:,} tokens, {self.words:,} words, {self.bytes:,} bytes"
        )

    def origin(self) -> Mapping[str, Any]:
        windows = {"context": self.context, "stride": self.stride}
        return {"data": self.data, "model": self.model, "windows": windows, "nlpsuite": __version__}

    def method(self) -> str:
        return f"Intervals: 95 %, percentile bootstrap of {self.resamples:,} resamples of the {self.unit}"

    def sections(self) -> list[Section]:
        rows = []
        for figure in self.figures:
            value, low, high = (f"{number:,.4g}" for number in (figure.value, figure.low, figure.high))
            rows.append((_TITLES[figure.metric], value, f"[{low}, {high}]", f"{figure.n:,}"))
        return [Section("", ("metric", "value", "95 % interval", "n"), rows)]

    def signatures(self) -> dict[str, str]:
        return {figure.metric: figure.signature for figure in self.figures}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        values = asdict(self)
        del values["notes"]
        of_intervals = {name: values.pop(name) for name in ("unit", "resamples", "seed")}
        names = ("metric", "value", "low", "high", "n", "signature")
        return {
            **values,
            "figures": [{name: getattr(figure, name) for name in names} for figure in self.figures],
            "bootstrap": {**of_intervals, "interval": 0.95},
            "nlpsuite": __version__,
        }


def evaluate_lm(
    texts: Iterable[str] | None = None,
    *,
    files: Sequence[str | os.PathLike[str]] = (),
    encoding: str = "utf-8",
    dataset: str | None = None,
    text_column: str | None = None,
    name: Any = None,
    limit: int | None = None,
    context: int | None = None,
    stride: int | None = None,
    model: str | None = None,
    precision: str | None = None,
    device: DeviceChoice = "auto",
    threads: int = 0,
    reporter: Reporter | None = None,
) -> PerplexityReport:
    """Measure how well a model predicts texts: perplexity of tokens and of words, and bits per byte.

    Perplexities of tokens compare models with the same tokenizer; those of words, and bits per byte, any two
    models on the same texts. See the module for the convention.

    Args:
        texts: each is independent of the others; read one after another.
        files: in place of ``texts``, text files of one text each; ``-`` is standard input.
        encoding: of the files; a byte order mark takes precedence.
        dataset: a standard data set in place of both, such as ``wikitext2:valid``.
        text_column: of the data set, where it isn't known.
        name: of the texts, for the report; by default that of the files or the data set.
        limit: read only the first texts, this many.
        context: tokens of a window; by default 1024, or as many as the model takes.
        stride: tokens between the starts of two windows; by default half the context.
        model, precision, device, threads, reporter: as in ``nlpsuite.load``.

    Raises:
        OptionError: not exactly one of ``texts``, ``files`` and ``dataset``; ``texts`` is a string; or a window
            out of range.
        InputInvalidError, InputNotFoundError: a text is empty, or a file can't be read.
        NlpsuiteError: the model can't be used.
    """
    from nlpsuite.export.cache import get_bundle
    from nlpsuite.runtime.language_model import LanguageModel

    if isinstance(texts, str):  # else each character would be a text
        raise OptionError("texts is a single string.", hint='Pass a list, ["…"], or files=["book.txt"].')
    if (texts is not None) + bool(files) + bool(dataset) != 1:
        raise OptionError("Name files or a data set, one of the two.", hint="nlpsuite eval lm book.txt")
    if dataset:
        texts, name = _dataset_texts(dataset, text_column), name or dataset
    elif files:
        texts = (read_input(os.fspath(path), encoding).text for path in files)
        name = name or [os.fspath(path) for path in files]
    chosen = islice(texts or (), limit)
    first = list(islice(chosen, 1))  # an unreadable one should show before the model is loaded
    path = get_bundle(model, precision=precision, reporter=reporter)
    if reporter:
        reporter.close()
    language_model = LanguageModel.load(path, device=device, threads=threads)
    context = context or min(CONTEXT, language_model.context_length)
    stride = stride or max(1, context // 2)
    found = list(text_perplexity(language_model, chain(first, chosen), context, stride))
    start = "end-token" if language_model.tokenizer.add_bos is None else "bos"
    windows = f"context:{context}|stride:{stride}|first:{start}|words:whitespace"
    return PerplexityReport(
        data=name,
        model=describe_bundle(language_model.bundle),
        texts=len(found),
        tokens=sum(text.tokens for text in found),
        words=sum(text.words for text in found),
        bytes=sum(text.bytes for text in found),
        log_likelihood=sum(text.log_likelihood for text in found),
        context=context,
        stride=stride,
        unit=resampled_unit(found),
        figures=tuple(_figures(found, windows)),
    )


def _figures(found: Sequence[TextLikelihood], windows: str) -> Iterator[MetricResult]:
    rows = rows_of(found)
    for metric in (perplexity, word_perplexity, bits_per_byte):
        one, signature = estimate(metric, rows), f"{metric.signature(0)}|{windows}"
        yield MetricResult(metric.name, one.value, one.low, one.high, one.n, None, False, signature)


def _dataset_texts(name: str, text_column: str | None) -> Iterator[str]:
    """The texts of a data set, without empty ones."""
    table = open_dataset(name)
    column = text_column or next(iter(table.text), None)
    if column is None:
        raise OptionError(f"{name} doesn't say which column is the text.", hint="Name it: --text-column.")
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


@dataclass(frozen=True)
class TextLikelihood:
    """How likely one text is.

    Attributes:
        log_likelihood: the sum over its tokens, in nats.
        tokens: of the model's tokenizer.
        words: separated by white space.
        bytes: of UTF-8.
        blocks: log-likelihood and tokens of each block of 128 tokens, the last one shorter; they sum to those
            of the text.
    """

    log_likelihood: float
    tokens: int
    words: int
    bytes: int
    blocks: tuple[tuple[float, int], ...]


def text_perplexity(
    model: LanguageModel, texts: Iterable[str], context: int = CONTEXT, stride: int | None = None
) -> Iterator[TextLikelihood]:
    """The likelihood of each text, in order; see the module for the convention.

    Args:
        texts: read one after another, a few at a time.
        context: tokens of a window, at most the model's.
        stride: tokens between the starts of windows, at most ``context - 1``; by default half the context. A
            smaller one takes longer and gives each token more context.

    Raises:
        OptionError: ``context`` or ``stride`` is out of range.
        InputInvalidError: a text is empty.
    """
    stride = context // 2 if stride is None else stride
    if not 2 <= context <= model.context_length:
        raise OptionError(
            f"The context is {context:,} tokens; this model takes 2 to {model.context_length:,}."
        )
    if not 1 <= stride < context:
        raise OptionError(f"The stride is {stride:,}, must be 1 to {context - 1:,}, less than the context.")
    return _likelihoods(model, texts, context, stride)


def _likelihoods(
    model: LanguageModel, texts: Iterable[str], context: int, stride: int
) -> Iterator[TextLikelihood]:
    held: list[tuple[str, list[tuple[list[int], int]]]] = []
    for number, text in enumerate(texts, 1):
        ids = model.tokenizer.encode_text(text)
        if not ids:
            raise InputInvalidError(f"Text {number:,} is empty.", hint="Leave empty texts out.")
        whole = [model.tokenizer.first_token(model.bundle.end_token_ids), *ids]
        held.append((text, [(whole[a:b], begin - a) for a, b, begin in windows(len(whole), context, stride)]))
        if sum(len(rows) for _, rows in held) >= _GATHERED:
            yield from _scored(model, held)
            held = []
    if held:
        yield from _scored(model, held)


def windows(length: int, context: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Windows over ``length`` tokens: begin, end, and first scored position.

    Each position but the first is scored once.
    """
    scored = 1
    for begin in range(0, length, stride):
        end = min(begin + context, length)
        if scored < end:
            yield begin, end, scored
        scored = end
        if end == length:
            return


def _scored(
    model: LanguageModel, held: Sequence[tuple[str, Sequence[tuple[list[int], int]]]]
) -> Iterator[TextLikelihood]:
    rows = [row for _, part in held for row in part]
    found = iter(model.many_token_logprobs([ids for ids, _ in rows], [begin for _, begin in rows]))
    for text, part in held:
        steps = np.concatenate([next(found) for _ in part])
        pieces = [steps[at : at + _BLOCK_TOKENS] for at in range(0, len(steps), _BLOCK_TOKENS)]
        yield TextLikelihood(
            log_likelihood=float(steps.sum()),
            tokens=len(steps),
            words=len(text.split()),
            bytes=len(text.encode()),
            blocks=tuple((float(piece.sum()), len(piece)) for piece in pieces),
        )


def resampled_unit(likelihoods: Sequence[TextLikelihood]) -> str:
    """What intervals resample: ``texts``, or ``blocks of 128 tokens`` where there are few texts."""
    return "texts" if len(likelihoods) >= _LEAST_TEXTS else f"blocks of {_BLOCK_TOKENS} tokens"


def rows_of(likelihoods: Sequence[TextLikelihood]) -> Statistics:
    """Statistics for ``nlpsuite.evaluation.metrics.perplexity``, one row for each ``resampled_unit``:
    −log-likelihood, tokens, words, bytes; (n, 4).

    A text's words and bytes are divided among its blocks by their tokens, so that the sums stay the same.
    """
    if resampled_unit(likelihoods) == "texts":
        return np.array([[-t.log_likelihood, t.tokens, t.words, t.bytes] for t in likelihoods], np.float64)
    return np.array(
        [
            [-likelihood, tokens, t.words * tokens / t.tokens, t.bytes * tokens / t.tokens]
            for t in likelihoods
            for likelihood, tokens in t.blocks
        ],
        np.float64,
    ).reshape(-1, 4)
