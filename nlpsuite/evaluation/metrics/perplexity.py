"""How well a language model predicts texts: perplexity of tokens and of words, and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.lengths import check_lengths
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.tasks.result import Output

__all__ = ["BitsPerByte", "Perplexity", "WordPerplexity", "bits_per_byte", "perplexity", "word_perplexity"]

_COLUMNS = ("log_likelihood", "tokens", "words", "bytes")
_MOST_NATS = 700.0  # e to a higher power isn't a float


class Perplexity(RowMetric):
    """The perplexity of tokens, from 1 up, lower is better: e to the mean −log-likelihood of a token.

    Comparable only between models that cut text into the same tokens. An output's data holds
    ``log_likelihood``, the sum over its tokens, in nats, and how many ``tokens``, ``words`` and ``bytes`` that
    is of; references are not read. Columns: −log-likelihood, tokens, words, bytes, so that the figures of all
    three units come of the same statistics. Of no text it is 1, and never above e to the 700.
    """

    name: ClassVar[str] = "perplexity"
    scale: ClassVar[float] = np.inf
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "data"
    unit: ClassVar[str] = "tokens"

    def signature(self, references: int | None = 1) -> str:
        return signed(references, unit=self.unit, mean="corpus")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        check_lengths(outputs, references)
        rows = np.zeros((len(outputs), len(_COLUMNS)))
        for number, output in enumerate(outputs, 1):
            for column, name in enumerate(_COLUMNS):
                value = output.data.get(name)
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise InputInvalidError(
                        f"Perplexity needs the {name} of each text; row {number:,} has {value!r}.",
                        hint="Evaluate with a language model, as `nlpsuite eval lm` does.",
                    )
                if (value > 0) if name == "log_likelihood" else (value < 0):
                    raise InputInvalidError(
                        f"Row {number:,} has {value} as its {name}.",
                        hint="A log-likelihood is at most 0, and a count at least 0.",
                    )
                rows[number - 1, column] = value
        rows[:, 0] *= -1
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        return np.exp(np.minimum(self._nats(sums), _MOST_NATS))

    def _nats(self, sums: Statistics) -> Statistics:
        """A unit costs, in the mean."""
        return ratio(sums[..., 0], sums[..., _COLUMNS.index(self.unit)])


class WordPerplexity(Perplexity):
    """The perplexity of words, from 1 up, lower is better: e to the mean −log-likelihood of a word, whatever
    tokens it is cut into. See ``Perplexity``; what a word is, who counted them says.
    """

    name: ClassVar[str] = "word_perplexity"
    unit: ClassVar[str] = "words"


class BitsPerByte(Perplexity):
    """Bits that a byte of UTF-8 costs in the mean, 0 and up, lower is better: −log-likelihood over the bytes and
    log 2. See ``Perplexity``.
    """

    name: ClassVar[str] = "bits_per_byte"
    unit: ClassVar[str] = "bytes"

    def figure(self, sums: Statistics) -> Statistics:
        return self._nats(sums) / math.log(2)


perplexity = Perplexity()
word_perplexity = WordPerplexity()
bits_per_byte = BitsPerByte()
