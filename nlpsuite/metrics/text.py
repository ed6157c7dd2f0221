"""Metrics of generated texts against one reference text each."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from nlpsuite.metrics.lengths import check_lengths

__all__ = ["bleu", "chrf", "exact_match", "rouge_l", "words"]


def exact_match(outputs: Sequence[str], references: Sequence[str]) -> float:
    """The fraction, 0 to 1, of outputs that equal their reference but for white space around them.

    Raises InputInvalidError; see ``check_lengths``.
    """
    check_lengths(outputs, references)
    return sum(a.strip() == b.strip() for a, b in zip(outputs, references)) / len(references)


def bleu(outputs: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of the corpus, 0 to 100 (Papineni et al. 2002), as sacreBLEU computes it by default:
    4-grams of the 13a tokenizer, exponential smoothing, case counts (Post 2018, arXiv:1804.08771).

    Outputs of fewer than four words in all have no 4-gram and score 0.

    Raises InputInvalidError; see ``check_lengths``.
    """
    check_lengths(outputs, references)
    from sacrebleu.metrics.bleu import BLEU

    # force only keeps it from warning about text that is tokenised already.
    return _percent(BLEU(force=True).corpus_score(list(outputs), [list(references)]).score)


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 of the corpus, 0 to 100: F-score of 1- to 6-grams of characters (Popović 2015), as
    sacreBLEU computes it by default. White space doesn't count.

    Raises InputInvalidError; see ``check_lengths``.
    """
    check_lengths(outputs, references)
    from sacrebleu.metrics.chrf import CHRF

    return _percent(CHRF().corpus_score(list(outputs), [list(references)]).score)


def _percent(score: float) -> float:
    return min(100.0, float(score))  # rounding takes a perfect score to 100.00000000000004


def rouge_l(outputs: Sequence[str], references: Sequence[str]) -> float:
    """ROUGE-L (Lin 2004), 0 to 1: the mean over the rows of the F1 of the longest common
    subsequence of words. See ``words``; nothing is stemmed. Two texts without words are equal.

    Raises InputInvalidError; see ``check_lengths``.
    """
    check_lengths(outputs, references)
    return sum(_rouge_l(words(a), words(b)) for a, b in zip(outputs, references)) / len(references)


def _rouge_l(output: Sequence[str], reference: Sequence[str]) -> float:
    if not output or not reference:
        return float(not output and not reference)
    return 2 * _common(output, reference) / (len(output) + len(reference))


def words(text: str) -> list[str]:
    """The words of a text in any script, case-folded: runs of letters, digits and their combining
    marks. Wide characters (Chinese, Japanese, Korean) are a word each. On ASCII these are the
    words of the package rouge-score.
    """
    spaced = []
    for character in text.casefold():
        if character.isascii() and character.isalnum():
            spaced.append(character)
        elif not (character.isalnum() or unicodedata.category(character).startswith("M")):
            spaced.append(" ")
        elif unicodedata.east_asian_width(character) in "WF":
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    return "".join(spaced).split()


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, by the bits of whole numbers (Hyyrö 2004):
    8,000 words against 8,000 take milliseconds, not seconds.
    """
    places: defaultdict[str, int] = defaultdict(int)  # word -> bit i is set if it is a[i]
    for i, word in enumerate(a):
        places[word] |= 1 << i
    everything = (1 << len(a)) - 1
    open_places = everything  # the zeros, up to a[i], count the subsequence's length there
    for word in b:
        matches = open_places & places.get(word, 0)
        open_places = ((open_places + matches) | (open_places - matches)) & everything
    return len(a) - open_places.bit_count()
