"""Which sentences of a text could stand in its summary, and what speaks for or against each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nlpsuite.plugins import Sentence, split_sentences

__all__ = ["Candidate", "content_words", "find_candidates"]

_WORD = re.compile(r"[^\W\d_]{2,}|\d+(?:[.,]\d+)*")
# Of scripts that put no spaces between words, each character counts.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_STEM = 6  # letters of a word that are compared, so that its forms are the same

_FEWEST_WORDS, _MOST_WORDS = 5, 70
_FEWEST_ITEM_WORDS = 3
_LONGEST_CLAUSE = 40  # words

# Sentences about the writing, the reader or the weather.
_PLEASANTRY = re.compile(
    r"(?:hi|hello|hey|dear|thanks?|sorry|also sorry|apologies|welcome|congratulations|cheers|greetings|i hope|hope|"
    r"(?:i|we) would like to thank|before the|looking forward|see you|let me know|feel free|please read|disclaimer|"
    r"if you have (?:any )?questions|any questions)\b",
    re.IGNORECASE,
)
# Beginnings that refer to what stands before.
_DEPENDENT = re.compile(
    r"(?:he|she|it|they|them|his|her|hers|its|their|theirs|this|that|these|those|such|both|neither|either|another|"
    r"others|however|but|and|or|so|yet|also|then|there|here|still|thus|hence|therefore|moreover|furthermore|besides|"
    r"instead|otherwise|meanwhile|nevertheless|nonetheless|consequently|accordingly|additionally|similarly|likewise|"
    r"specifically|indeed|rather|even so|as a result|in addition|in contrast|on the other hand|for example|"
    r"for instance|in particular|that is|after that|one more thing|first|second|third|finally|later|again)"
    r"\b(?! (?:paper|study|article|work|report|guide|chapter|version|release|document)\b)",
    re.IGNORECASE,
)
_QUOTATION = re.compile(r"[\"“”„«»「」]")
_OPEN_ENDS = (":", "…", "...")

_COMMON = frozenset(
    "the of and to in is it that for was on with as this are be at by you not have from but they my we he she an or "
    "his her so were what there all one has had would do your me will very no if when just about which who can could "
    "our us their them its more also than then only into over after before because while out up some any other".split()
)


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be chosen.

    Attributes:
        text: the sentence.
        place: number of its sentence among the text's, from 0.
        words: what it tells; see ``content_words``.
        length: in words.
        centrality: share of the other candidates that have one of its words, 0 to 1, averaged over its words.
        dependent: it begins with a reference to the sentence before.
        pleasantry: it greets, thanks or apologizes.
        item: it is an item of a list.
        quotes: it has a quotation.
        asks: it is a question or an exclamation.
    """

    text: str
    place: int
    words: frozenset[str]
    length: int
    centrality: float = 0.0
    dependent: bool = False
    pleasantry: bool = False
    item: bool = False
    quotes: bool = False
    asks: bool = False


def content_words(text: str) -> frozenset[str]:
    """Stems of the words that a text is about, its numbers, and characters of scripts without spaces."""
    found = {word[:_STEM] for word in _WORD.findall(text.casefold()) if word not in _COMMON}
    return frozenset(found | set(_UNSPACED.findall(text)))


def find_candidates(text: str) -> list[Candidate]:
    """The sentences that may stand in a summary of a text, in order: complete ones of a usual length, and items
    of lists. Of a text without sentences its lines; of one without stops its clauses.
    """
    sentences = split_sentences(text)
    usable = [_is_usable(sentence) for sentence in sentences]
    if not any(fit and sentence.complete for fit, sentence in zip(usable, sentences)):
        usable = [_length(sentence.text) >= _FEWEST_WORDS for sentence in sentences]
    found = [
        _candidate(part, place, sentence)
        for place, (fit, sentence) in enumerate(zip(usable, sentences))
        if fit
        for part in _parts(sentence.text)
    ]
    return list(_with_centrality(found))


def _is_usable(sentence: Sentence) -> bool:
    if sentence.marker.startswith((">", "#")) or sentence.text.endswith(_OPEN_ENDS) or "\t" in sentence.text:
        return False
    if sentence.marker:
        return _length(sentence.text) >= _FEWEST_ITEM_WORDS
    return sentence.complete and _length(sentence.text) >= _FEWEST_WORDS


def _length(text: str) -> int:
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def _parts(sentence: str) -> list[str]:
    """A sentence as it is, or one that is much too long in parts, cut at commas or else between words."""
    if _length(sentence) <= _MOST_WORDS:
        return [sentence]
    parts: list[list[str]] = [[]]
    for clause in re.split(r"(?<=[,;:，；、])\s*", sentence):
        words = clause.split()
        if len(parts[-1]) + len(words) > _LONGEST_CLAUSE:
            parts.append([])
        for word in words:
            if len(parts[-1]) == _LONGEST_CLAUSE:
                parts.append([])
            parts[-1].append(word)
    return [" ".join(part) for part in parts if part]


def _candidate(text: str, place: int, sentence: Sentence) -> Candidate:
    return Candidate(
        text=text,
        place=place,
        words=content_words(text),
        length=_length(text),
        dependent=_DEPENDENT.match(text) is not None,
        pleasantry=_PLEASANTRY.match(text) is not None,
        item=bool(sentence.marker),
        quotes=_QUOTATION.search(text) is not None,
        asks=text.rstrip("\"')”’»").endswith(("?", "!", "？", "！")),
    )


def _with_centrality(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    counts = Counter(word for each in candidates for word in each.words)
    for each in candidates:
        shared = sum(counts[word] - 1 for word in each.words)
        yield replace(each, centrality=shared / max(1, len(each.words) * (len(candidates) - 1)))
