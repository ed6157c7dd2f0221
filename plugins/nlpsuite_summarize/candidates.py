"""Which sentences of a text could stand in its summary, and what speaks for or against each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nlpsuite.plugins import Sentence, split_sentences

__all__ = ["UNSPACED", "Candidate", "content_words", "find_candidates"]

_WORD = re.compile(r"[^\W\d_]{2,}|\d+(?:[.,]\d+)*")
_NUMBER = re.compile(r"\d")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""A character of the scripts that put no spaces between words, whose characters are counted instead."""
_STEM = 5  # letters of a word that are compared, so that its forms are the same

_FEWEST_WORDS, _MOST_WORDS = 5, 70
_FEWEST_ITEM_WORDS = 3
_LONGEST_CLAUSE = 40  # words

# Greetings, thanks and apologies.
_PLEASANTRY = re.compile(
    r"(?:hi|hello|hey|dear|thanks?|welcome|congratulations|cheers|greetings|(?:i |we )?hope|fine (?:by|with) me|"
    r"apologies|looking forward|see you|let me know|feel free|please read|disclaimer|(?:if you have )?any questions|"
    r"if you have questions)\b|.*\b(?:sorry (?:for|about|if)|thank you|thanks (?:for|to)|would like to thank)\b",
    re.IGNORECASE,
)
# Lines of a letter's or a protocol's head.
_HEAD = re.compile(
    r"(?:re|fwd?|aw|subject|from|to|cc|date|tel|phone|present|attendees|apologies)\s?:", re.IGNORECASE
)
# Words that tie a sentence to the one before and can be left out.
_CONNECTIVE = re.compile(
    r"(?:(?:however|still|yet|also|so|then|thus|hence|therefore|moreover|furthermore|besides|instead|meanwhile|"
    r"nevertheless|nonetheless|consequently|accordingly|additionally|similarly|likewise|indeed|even so|as a result|"
    r"in addition|in contrast|on the other hand|after that|again|finally|now), |(?:but|and|so|yet)\b,? )",
    re.IGNORECASE,
)
# References to what stands before: at the beginning, or a pronoun within the first words.
_DEPENDENT = re.compile(
    r"(?:his|her|hers|its|their|theirs|such|both|neither|either|another|others|otherwise|specifically|rather|"
    r"for example|for instance|in particular|that is|the (?:former|latter)|(?:first|second|third)(?=,))\b"
    r"|(?:(?:in|on|at|from|after|before|since|until|by|for|with|of|to|when|while|if|as|because|although)\b"
    r"(?: [\w'’]+,?){0,5}? )?(?:he|she|it|they|them|that|those)\b"
    r"|(?:this|these)\b(?! (?:year|month|week|spring|summer|autumn|winter|morning|paper|study|article|work|report|"
    r"guide|chapter|version|release|document)\b)",
    re.IGNORECASE,
)
# Words that announce the point (the cue method of Edmundson 1969).
_CONCLUSIVE = re.compile(
    r"\b(?:decid(?:ed?|es)|decisions?|announc(?:ed?|es)|agreed|approved?|propos(?:ed?|es|als?)|recommend(?:s|ed)?|"
    r"conclud(?:ed?|es)|conclusions?|verdict|would (?:buy|go|choose)|worth|disappointed|overall|in short|all in all|"
    r"turned out|reason|cause|solved|please|must)\b",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"(?:i|i'm|i’m|my|me|our|we had)\b", re.IGNORECASE)
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
        alone: the same without a connective at its beginning, such as "However,".
        place: number of its sentence among the text's, from 0.
        words: what it tells; see ``content_words``.
        length: in words.
        centrality: how much of the other candidates it covers: for each of its words the share of them that have
            it, summed, over the root of the number of its words.
        dependent: it begins with a reference to the sentence before.
        pleasantry: it greets, thanks or apologizes.
        conclusive: it has a word that announces a decision, a result or a request.
        personal: it begins with the writer, and isn't conclusive.
        paragraph: number of its paragraph among the text's.
        opens: it is the first of its paragraph, and there are several.
        number: it has one.
        item: it is an item of a list.
        asks: it is a question or an exclamation.
    """

    text: str
    alone: str
    place: int
    words: frozenset[str]
    length: int
    centrality: float = 0.0
    dependent: bool = False
    pleasantry: bool = False
    conclusive: bool = False
    personal: bool = False
    paragraph: int = 0
    opens: bool = False
    number: bool = False
    item: bool = False
    asks: bool = False


def content_words(text: str) -> frozenset[str]:
    """Stems of the words that a text is about, its numbers, and characters of scripts without spaces."""
    found = {word[:_STEM] for word in _WORD.findall(text.casefold()) if word not in _COMMON}
    return frozenset(found | set(UNSPACED.findall(text)))


def find_candidates(text: str) -> list[Candidate]:
    """The sentences that may stand in a summary of a text, in order: complete ones of a usual length, and items
    of lists. Of a text without sentences its lines; of one without stops its clauses.
    """
    sentences = split_sentences(text)
    usable = [_is_usable(sentence) for sentence in sentences]
    if not any(fit and sentence.complete for fit, sentence in zip(usable, sentences)):
        usable = [_length(sentence.text) >= _FEWEST_ITEM_WORDS for sentence in sentences]
    several = len({sentence.paragraph for fit, sentence in zip(usable, sentences) if fit}) > 1
    found: list[Candidate] = []
    paragraph = -1
    for place, (fit, sentence) in enumerate(zip(usable, sentences)):
        if found and found[-1].place == place - 1 and _completes(sentence):
            found[-1] = replace(
                found[-1],
                text=f"{found[-1].text} {sentence.text}",
                alone=f"{found[-1].alone} {sentence.text}",
            )
        elif fit:
            opens = several and sentence.paragraph != paragraph
            found += [_candidate(part, place, sentence, opens) for part in _parts(sentence.text)]
        paragraph = sentence.paragraph
    return list(_with_centrality(found))


def _is_usable(sentence: Sentence) -> bool:
    if sentence.marker.startswith((">", "#")) or sentence.text.endswith(_OPEN_ENDS) or "\t" in sentence.text:
        return False
    if _HEAD.match(sentence.text):
        return False
    if sentence.marker:
        return _length(sentence.text) >= _FEWEST_ITEM_WORDS
    return sentence.complete and _length(sentence.text) >= _FEWEST_WORDS


def _completes(sentence: Sentence) -> bool:
    """Whether a few words turn the sentence before round or confirm it, as in "It should not work. It does."."""
    short = sentence.complete and _length(sentence.text) < _FEWEST_WORDS - 1
    return short and not sentence.marker and _DEPENDENT.match(sentence.text) is not None


def _length(text: str) -> int:
    return len(text.split()) + len(UNSPACED.findall(text)) // 2


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


def _candidate(text: str, place: int, sentence: Sentence, opens: bool) -> Candidate:
    connective = _CONNECTIVE.match(text)
    alone = text[connective.end() :] if connective else text
    conclusive = _CONCLUSIVE.search(text) is not None
    return Candidate(
        text=text,
        alone=alone[:1].upper() + alone[1:] if connective else text,
        place=place,
        words=content_words(text),
        length=_length(text),
        dependent=_DEPENDENT.match(alone) is not None,
        pleasantry=_PLEASANTRY.match(text) is not None,
        conclusive=conclusive,
        personal=not conclusive and _PERSONAL.match(text) is not None,
        paragraph=sentence.paragraph,
        opens=opens,
        number=_NUMBER.search(text) is not None,
        item=bool(sentence.marker),
        asks=text.rstrip("\"')”’»").endswith(("?", "!", "？", "！")),
    )


def _with_centrality(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    counts = Counter(word for each in candidates for word in each.words)
    for each in candidates:
        shared = sum(counts[word] - 1 for word in each.words) / max(1, len(candidates) - 1)
        yield replace(each, centrality=shared / math.sqrt(max(1, len(each.words))))
