"""ROUGE (Lin 2004) in any script; on ASCII it equals the package rouge-score without stemming."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from nlpsuite.evaluation.metrics.alignment import subsequence_length, subsequence_places
from nlpsuite.evaluation.metrics.base import signed
from nlpsuite.evaluation.metrics.means import RowMean
from nlpsuite.evaluation.metrics.tokenize import sentences, words
from nlpsuite.tasks.result import Output

__all__ = [
    "MOST_WORDS",
    "Rouge",
    "Rouge1",
    "Rouge2",
    "RougeL",
    "RougeLsum",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "rouge_lsum",
]

# Of each text; what follows them is not read. Two texts of so many words take a second or two.
MOST_WORDS = 16_384


class Rouge(RowMean):
    """What every ROUGE has in common: the mean over the rows of an F1, 0 to 1, of words (see ``words``);
    nothing is stemmed. Of several references that with the best F1 counts. A text without words scores 0.
    """

    def signature(self, references: int | None = 1) -> str:
        return signed(
            references, multi="best", case="fold", tok="unicode", stem="no", score="f1", cap=MOST_WORDS
        )

    def row(self, output: Output, references: Sequence[str]) -> float:
        return max(self.f1(output.answer, reference) for reference in references)

    @abstractmethod
    def f1(self, output: str, reference: str) -> float:
        """Of one output against one reference."""


class Rouge1(Rouge):
    """ROUGE-1 (Lin 2004), 0 to 1: the mean over the rows of the F1 of single words.

    See ``words``; nothing is stemmed. Of several references that with the best F1 counts.
    """

    name: ClassVar[str] = "rouge_1"
    order: ClassVar[int] = 1

    def f1(self, output: str, reference: str) -> float:
        ours, theirs = (self._grams(words(text)[:MOST_WORDS]) for text in (output, reference))
        return _f1((ours & theirs).total(), ours.total(), theirs.total())

    def _grams(self, text: list[str]) -> Counter[tuple[str, ...]]:
        return Counter(zip(*(text[i:] for i in range(self.order))))


class Rouge2(Rouge1):
    """ROUGE-2 (Lin 2004), 0 to 1: the mean over the rows of the F1 of pairs of neighbouring words.

    See ``words``; nothing is stemmed. Of several references that with the best F1 counts. A text of one
    word scores 0.
    """

    name: ClassVar[str] = "rouge_2"
    order: ClassVar[int] = 2


class RougeL(Rouge):
    """ROUGE-L (Lin 2004), 0 to 1: the mean over the rows of the F1 of the longest common subsequence of
    words, the whole text taken as one sentence.

    See ``words``; nothing is stemmed. Of several references that with the best F1 counts.
    """

    name: ClassVar[str] = "rouge_l"

    def f1(self, output: str, reference: str) -> float:
        ours, theirs = words(output)[:MOST_WORDS], words(reference)[:MOST_WORDS]
        return _f1(subsequence_length(theirs, ours), len(ours), len(theirs))


class RougeLsum(Rouge):
    """ROUGE-Lsum (Lin 2004, section 3.2), 0 to 1: the mean over the rows of the F1 of the words that, for
    each sentence of the reference, lie in its longest common subsequence with any sentence of the output; no
    word counts more often than it occurs in both texts.

    Sentences are the lines of a text that has several, else it is cut behind full stops and their like (see
    ``sentences``): the package rouge-score cuts at lines only. See ``words``; nothing is stemmed. Of several
    references that with the best F1 counts.
    """

    name: ClassVar[str] = "rouge_lsum"

    def signature(self, references: int | None = 1) -> str:
        return super().signature(references).replace("|score:", "|sents:lines-or-stops|score:")

    def f1(self, output: str, reference: str) -> float:
        ours, theirs = _sentences(output), _sentences(reference)
        have, want = (Counter(word for sentence in text for word in sentence) for text in (ours, theirs))
        left = have & want
        hits = 0
        for sentence in theirs:
            places = {place for other in ours for place in subsequence_places(sentence, other)}
            for place in sorted(places):
                if left[sentence[place]] > 0:
                    left[sentence[place]] -= 1
                    hits += 1
        return _f1(hits, have.total(), want.total())


def _sentences(text: str) -> list[list[str]]:
    cut, room = [], MOST_WORDS
    for sentence in sentences(text):
        cut.append(words(sentence)[:room])
        room -= len(cut[-1])
    return [sentence for sentence in cut if sentence]


def _f1(common: int, given: int, wanted: int) -> float:
    """Of precision ``common / given`` and recall ``common / wanted``."""
    return 2 * common / (given + wanted) if common else 0.0


rouge_1 = Rouge1()
rouge_2 = Rouge2()
rouge_l = RougeL()
rouge_lsum = RougeLsum()
