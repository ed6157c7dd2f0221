"""BLEU, chrF and TER of a corpus, from sacreBLEU's counts of each row.

The scores are computed here for many sums at once, as resampling needs them; the tests compare them with
sacreBLEU's own.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nlpsuite.errors import MissingExtraError, OptionError
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_references, count_references
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.tasks.result import Output

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric

__all__ = ["Bleu", "Chrf", "SacreBleu", "Ter", "bleu", "chrf", "ter", "unspaced_language"]

_ORDERS = 4  # BLEU's longest n-gram
_SPLIT_AT_SPACES = ("13a", "intl", "none")
_UNSPACED = {
    "Chinese": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "kana": re.compile("[\u3041-\u309f\u30a1-\u30ff\uff66-\uff9f]"),
    "Thai": re.compile("[\u0e01-\u0e4e]"),
    "Lao": re.compile("[\u0e81-\u0ecd]"),
    "Burmese": re.compile("[\u1000-\u109f]"),
    "Khmer": re.compile("[\u1780-\u17d3]"),
}
_LEAST_KANA = 0.05  # of Japanese letters


class SacreBleu(RowMetric):
    """Base of sacreBLEU's metrics (Post 2018, arXiv:1804.08771), 0 to 100.

    Rows may have several references, and not all the same number of them.
    """

    scale: ClassVar[float] = 100.0

    @abstractmethod
    def scorer(self) -> SacreMetric:
        """A new scorer of sacreBLEU, with the settings that ``figure`` implements."""

    def signature(self, references: int | None = 1) -> str:
        """sacreBLEU's own; see ``RowMetric.signature``."""
        scorer = self.scorer()
        scorer.num_refs = -1 if references is None else references
        return str(scorer.get_signature())

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        # sacreBLEU silently truncates the longer of the two lists.
        check_references(outputs, references)
        most = count_references(references) or max(len(row) for row in references)
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(most)]
        texts = [output.answer for output in outputs]
        counts = self.scorer()._extract_corpus_statistics(texts, streams)  # type: ignore[arg-type]
        return np.array(counts, dtype=np.float64)


class Bleu(SacreBleu):
    """BLEU of the corpus, 0 to 100 (Papineni et al. 2002), as sacreBLEU computes it by default: 4-grams,
    exponential smoothing, case counts (Post 2018, arXiv:1804.08771).

    As in sacreBLEU, a corpus whose outputs have fewer than four words each has no 4-gram and scores 0. The BLEU
    of a single row uses the effective order, the longest n-gram that the row has, like sacreBLEU's sentence
    BLEU. Columns: words of the output and of the reference closest in length, matching 1- to 4-grams, and all
    of them.

    Args:
        tokenize: one of sacreBLEU's tokenizers. By default ``for_references`` chooses by the script of the
            references, and without it the tokenizer is 13a.
    """

    name: ClassVar[str] = "bleu"

    def __init__(self, tokenize: str = "", unspaced: str = "") -> None:
        self._tokenize, self._unspaced = tokenize, unspaced

    def for_references(self, references: Sequence[Sequence[str]]) -> Bleu:
        """BLEU with the tokenizer ``zh`` for Chinese, ``ja-mecab`` for Japanese if it is installed, else 13a."""
        unspaced = unspaced_language("".join(row[0] for row in references if row))
        return Bleu(self._tokenize or _tokenizer(unspaced), unspaced)

    def notice(self, sums: Statistics) -> str:
        tokenize = self._tokenize or "13a"
        if self._unspaced and tokenize in _SPLIT_AT_SPACES:
            mecab = ", install sacrebleu[ja]" if self._unspaced == "Japanese" else ""
            return (
                f"bleu: the tokenizer {tokenize} can't find the words of {self._unspaced}, which isn't written "
                f"with spaces. Choose another, such as --tokenize char or flores200{mecab}."
            )
        if sums[2 + 2 * _ORDERS - 1] == 0:
            return "bleu: no output has four words, so there are no 4-grams and the corpus scores 0."
        return ""

    def scorer(self) -> SacreMetric:
        from sacrebleu.metrics.bleu import BLEU

        tokenize = self._tokenize or "13a"
        if tokenize not in BLEU.TOKENIZERS:
            raise OptionError(
                f"There is no tokenizer {tokenize!r}.", hint=f"Tokenizers: {', '.join(BLEU.TOKENIZERS)}."
            )
        try:
            # `force` only silences a warning about text that is tokenized already.
            return BLEU(force=True, tokenize=tokenize)
        except (ImportError, RuntimeError, OSError) as error:
            raise MissingExtraError(
                f"The tokenizer {tokenize} can't be used: {' '.join(str(error).split())}",
                hint="Install what it needs, or choose another: --tokenize char.",
            ) from error

    def figure(self, sums: Statistics) -> Statistics:
        return self._score(sums, effective_order=False)

    def row_figures(self, rows: Statistics) -> Statistics:
        return self._score(rows, effective_order=True)

    def _score(self, sums: Statistics, *, effective_order: bool) -> Statistics:
        given, wanted = sums[..., 0], sums[..., 1]
        right, every = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
        # An order without a match counts half a match, the next one a quarter, and so on.
        smoothed = np.where(right > 0, right, 0.5 ** np.cumsum(right == 0, axis=-1))
        orders = (every > 0).sum(axis=-1) if effective_order else np.full(given.shape, _ORDERS)
        fits = np.asarray((right > 0).any(axis=-1) & ((every > 0).sum(axis=-1) >= orders))
        precisions = np.where(fits[..., None] & (every > 0), ratio(smoothed, every), 1.0)
        brevity = np.exp(np.minimum(0.0, 1 - ratio(wanted, given)))
        mean = np.exp(ratio(np.log(precisions).sum(axis=-1), orders))
        return _percent(np.where(fits, brevity * mean, 0.0))


def unspaced_language(text: str) -> str:
    """The language of a text most of whose letters belong to a script without spaces between words; else empty.

    Japanese is recognised by its kana, the others by their script.
    """
    if text.isascii():
        return ""
    counts = {name: len(pattern.findall(text)) for name, pattern in _UNSPACED.items()}
    kana, han = counts.pop("kana"), counts["Chinese"]
    if kana > (kana + han) * _LEAST_KANA:
        counts["Japanese"] = counts.pop("Chinese") + kana
    language = max(counts, key=lambda name: counts[name])
    letters = sum(character.isalpha() for character in text)
    return language if counts[language] > letters / 2 else ""


def _tokenizer(unspaced: str) -> str:
    if unspaced == "Japanese" and all(map(find_spec, ("MeCab", "ipadic"))):
        return "ja-mecab"
    return "zh" if unspaced == "Chinese" else "13a"


class Chrf(SacreBleu):
    """chrF2 of the corpus, 0 to 100: F-score of 1- to 6-grams of characters (Popović 2015), as
    sacreBLEU computes it by default. White space doesn't count.

    Of several references, the one with the best score counts. Columns: for each order the n-grams of
    the output, of the reference, and those in common.
    """

    name: ClassVar[str] = "chrf"

    def scorer(self) -> SacreMetric:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()

    def figure(self, sums: Statistics) -> Statistics:
        given, wanted, right = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        fits = (given > 0) & (wanted > 0)  # n-grams longer than a text don't count
        orders = fits.sum(axis=-1)
        precision = ratio(np.where(fits, ratio(right, given), 0).sum(axis=-1), orders)
        recall = ratio(np.where(fits, ratio(right, wanted), 0).sum(axis=-1), orders)
        return _percent(ratio(5 * precision * recall, 4 * precision + recall))


class Ter(SacreBleu):
    """The translation edit rate, 0 and up, lower is better (Snover et al. 2006): 100 means as many edits as the
    reference has words. As sacreBLEU computes it by default: ignoring case, with punctuation.

    Columns: the fewest edits of words, including moves of phrases, to any reference; and the references' mean
    number of words.
    """

    name: ClassVar[str] = "ter"
    scale: ClassVar[float] = np.inf
    higher_is_better: ClassVar[bool] = False

    def scorer(self) -> SacreMetric:
        from sacrebleu.metrics.ter import TER

        return TER()

    def figure(self, sums: Statistics) -> Statistics:
        edits, wanted = sums[..., 0], sums[..., 1]
        # Against nothing, any edit is as bad as a wrong word.
        return np.where(wanted > 0, 100 * ratio(edits, wanted), 100.0 * (edits > 0))


def _percent(fractions: Statistics) -> Statistics:
    return np.minimum(100.0, 100 * fractions)  # rounding makes a perfect score 100.00000000000004


bleu = Bleu()
chrf = Chrf()
ter = Ter()
