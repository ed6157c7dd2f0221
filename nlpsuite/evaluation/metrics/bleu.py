"""BLEU, chrF and TER of a corpus: sacreBLEU's counts of each row, and its figures of their sums.

The figures are computed here for many sums at once, as resampling wants them; the tests hold them to
sacreBLEU's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nlpsuite.evaluation.metrics.base import Prediction, RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_references, count_references
from nlpsuite.evaluation.metrics.means import ratio

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric

__all__ = ["Bleu", "Chrf", "SacreBleu", "Ter", "bleu", "chrf", "ter"]

_ORDERS = 4  # BLEU's longest n-gram


class SacreBleu(RowMetric):
    """What the metrics of sacreBLEU (Post 2018, arXiv:1804.08771) have in common: 0 to 100.

    A row may have several references, and another number of them than its neighbours.
    """

    scale: ClassVar[float] = 100.0

    @abstractmethod
    def scorer(self) -> SacreMetric:
        """A new one, with the settings that ``figure`` stands for."""

    def signature(self, references: int | None = 1) -> str:
        """sacreBLEU's own; see ``RowMetric.signature``."""
        scorer = self.scorer()
        scorer.num_refs = -1 if references is None else references
        return str(scorer.get_signature())

    def statistics(
        self, predictions: Sequence[Prediction], references: Sequence[Sequence[str]]
    ) -> Statistics:
        # sacreBLEU cuts the longer of the two lists off.
        check_references(predictions, references)
        most = count_references(references) or max(len(row) for row in references)
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(most)]
        texts = [prediction.text for prediction in predictions]
        counts = self.scorer()._extract_corpus_statistics(texts, streams)  # type: ignore[arg-type]
        return np.array(counts, dtype=np.float64)


class Bleu(SacreBleu):
    """BLEU of the corpus, 0 to 100 (Papineni et al. 2002), as sacreBLEU computes it by default:
    4-grams of the 13a tokenizer, exponential smoothing, case counts (Post 2018, arXiv:1804.08771).

    Outputs of fewer than four words in all have no 4-gram and score 0. Columns: words of the output and of
    the reference closest in length, right 1- to 4-grams, and all of them.
    """

    name: ClassVar[str] = "bleu"

    def scorer(self) -> SacreMetric:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(force=True)  # which only keeps it from warning about text that is tokenised already

    def figure(self, sums: Statistics) -> Statistics:
        given, wanted = sums[..., 0], sums[..., 1]
        right, every = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
        # An order without a match counts half a match, the next one a quarter, and so on.
        smoothed = np.where(right > 0, right, 0.5 ** np.cumsum(right == 0, axis=-1))
        fits = np.asarray((every > 0).all(axis=-1) & (right > 0).any(axis=-1))
        precisions = np.where(fits[..., None], ratio(smoothed, every), 1.0)
        brevity = np.exp(np.minimum(0.0, 1 - ratio(wanted, given)))
        return _percent(np.where(fits, brevity * np.exp(np.log(precisions).mean(axis=-1)), 0.0))


class Chrf(SacreBleu):
    """chrF2 of the corpus, 0 to 100: F-score of 1- to 6-grams of characters (Popović 2015), as
    sacreBLEU computes it by default. White space doesn't count.

    Of several references of a row that with the best score counts. Columns: for each order the n-grams of
    the output, of the reference, and those in common.
    """

    name: ClassVar[str] = "chrf"

    def scorer(self) -> SacreMetric:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()

    def figure(self, sums: Statistics) -> Statistics:
        given, wanted, right = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        fits = (given > 0) & (wanted > 0)  # longer n-grams than a text has don't count
        orders = fits.sum(axis=-1)
        precision = ratio(np.where(fits, ratio(right, given), 0).sum(axis=-1), orders)
        recall = ratio(np.where(fits, ratio(right, wanted), 0).sum(axis=-1), orders)
        return _percent(ratio(5 * precision * recall, 4 * precision + recall))


class Ter(SacreBleu):
    """The translation edit rate, 0 and up, 100 where as many edits are needed as the reference has words; less
    is better (Snover et al. 2006), as sacreBLEU computes it by default: without regard to case, with
    punctuation.

    Columns: the fewest edits of words, moves of phrases among them, to any reference; and the mean number of
    the references' words.
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
    return np.minimum(100.0, 100 * fractions)  # rounding takes a perfect score to 100.00000000000004


bleu = Bleu()
chrf = Chrf()
ter = Ter()
