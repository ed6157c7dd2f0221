"""How well a language model foretells texts, by windows that move over them.

Hugging Face's guide "Perplexity of fixed-length models" defines it: "Perplexity is defined as the exponentiated
average negative log-likelihood of a sequence", and of a text longer than the context: "An alternative approach
is to use a strided sliding window. Instead of sliding the context window one token at a time, we move the
context by larger strides". So it is here, with three points that the guide leaves open:

- Texts are read apart: none is context of another.
- The first token of a text is foretold from the token that ends texts, so that all tokens, words and bytes count.
- A window is ``context`` tokens, that one among them, and begins ``stride`` after the one before. Only its
  tokens that no window before has foretold are scored; each has ``context - stride`` tokens before it, by default
  half the context, or all that the text has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.base import Statistics

if TYPE_CHECKING:
    from nlpsuite.runtime.language_model import LanguageModel

__all__ = ["CONTEXT", "TextLikelihood", "resampled_unit", "rows_of", "text_perplexity", "windows"]

CONTEXT = 1024
# Windows that are sorted by length before they are run: enough for rows of like lengths.
_GATHERED = 64
# With fewer texts, an interval over them would say little. What tokens cost is related to what their neighbours
# do, so that it is blocks that are drawn then.
_LEAST_TEXTS = 10
_BLOCK_TOKENS = 128


@dataclass(frozen=True)
class TextLikelihood:
    """How likely one text is.

    Attributes:
        log_likelihood: the sum over its tokens, in nats.
        tokens: of the model's tokenizer.
        words: runs of what is no white space.
        bytes: of UTF-8.
        blocks: log-likelihood and tokens of each stretch of 128 tokens, the last one shorter; these sum to
            the text's.
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
        texts: read one after another; a few are held at a time.
        context: tokens of a window, at most the model's.
        stride: tokens between windows, at most ``context - 1``; None is half of it. A smaller one takes
            longer and gives each token more context.

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
        whole = [min(model.bundle.end_token_ids), *ids]
        held.append((text, [(whole[a:b], begin - a) for a, b, begin in windows(len(whole), context, stride)]))
        if sum(len(rows) for _, rows in held) >= _GATHERED:
            yield from _scored(model, held)
            held = []
    if held:
        yield from _scored(model, held)


def windows(length: int, context: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Windows over ``length`` tokens, of which the first is given: begin, end, and first position scored.

    Positions from 1 on are scored once each.
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
    """What intervals are drawn from: ``texts``, or ``blocks of 128 tokens`` where there are few texts."""
    return "texts" if len(likelihoods) >= _LEAST_TEXTS else f"blocks of {_BLOCK_TOKENS} tokens"


def rows_of(likelihoods: Sequence[TextLikelihood]) -> Statistics:
    """Statistics for ``nlpsuite.evaluation.metrics.perplexity``, one row for each ``resampled_unit``:
    −log-likelihood, tokens, words, bytes; (n, 4).

    A text's words and bytes are shared out to its blocks by their tokens, so the sums are those of the texts.
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
