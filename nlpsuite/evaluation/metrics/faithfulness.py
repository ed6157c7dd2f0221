"""Faithfulness: what a text says that its source doesn't, by numbers, names and quotations."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import ClassVar

import numpy as np

from nlpsuite.evaluation.metrics.base import RowMetric, Statistics, signed
from nlpsuite.evaluation.metrics.lengths import check_references
from nlpsuite.evaluation.metrics.means import ratio
from nlpsuite.evaluation.metrics.tokenize import words
from nlpsuite.tasks.result import Output
from nlpsuite.tasks.sentences import split_sentences

__all__ = [
    "Invented",
    "InventedNames",
    "InventedNumbers",
    "InventedQuotes",
    "invented_names",
    "invented_numbers",
    "invented_quotes",
]


class Invented(RowMetric):
    """What these metrics have in common: the share of something in the outputs, each kind of it once an output,
    that isn't in the output's source; 0 if there is none.

    References are the sources, one text for each output. Columns: what isn't in the source, and all.
    """

    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "source"
    what: ClassVar[str]

    def signature(self, references: int | None = 1) -> str:
        return signed(references, against="source", unit=self.what, each="once")

    def statistics(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> Statistics:
        check_references(outputs, references)
        rows = np.zeros((len(outputs), 2))
        for i, (output, sources) in enumerate(zip(outputs, references)):
            said = self.said(output.text)
            rows[i] = len(self.unsupported(said, "\n\n".join(sources))) if said else 0, len(said)
        return rows

    def figure(self, sums: Statistics) -> Statistics:
        return ratio(sums[..., 0], sums[..., 1])

    def notice(self, sums: Statistics) -> str:
        return f"{self.name}: the outputs have no {self.what}." if sums[1] == 0 else ""

    @abstractmethod
    def said(self, text: str) -> Collection[str]:
        """What an output says of this kind, each once."""

    @abstractmethod
    def unsupported(self, said: Collection[str], source: str) -> Collection[str]:
        """Those that a source doesn't have."""


class InventedNumbers(Invented):
    """Share of the outputs' numbers that aren't in their source, 0 to 1.

    Numbers are compared by value: 1,200 and 1200, "three" and 3, "2 million" and 2,000,000 are the same. The
    word "one" and ordinals aren't counted.
    """

    name: ClassVar[str] = "invented_numbers"
    what: ClassVar[str] = "numbers"

    def said(self, text: str) -> Collection[str]:
        return {match.group().casefold() for match in _NUMBER.finditer(text)} - {"one"}

    def unsupported(self, said: Collection[str], source: str) -> Collection[str]:
        known: set[Decimal | str] = set()
        for found in _NUMBER.finditer(source):
            known |= _values(found)
        return [one for one in said if (match := _NUMBER.match(one)) and known.isdisjoint(_values(match))]


class InventedNames(Invented):
    """Share of the names in the outputs, word by word, that aren't in their source, 0 to 1.

    Names are words with a capital letter that doesn't merely begin a sentence, such as "Paris" or "iPhone"; the
    first word of a sentence is one before another name. Case, plural and possessive endings don't matter. In
    languages that capitalize all nouns these count as names; in scripts without case there are none.
    """

    name: ClassVar[str] = "invented_names"
    what: ClassVar[str] = "names"

    def said(self, text: str) -> Collection[str]:
        found: dict[str, str] = {}
        for sentence in split_sentences(_undotted(text)):
            at = [match for match in _WORD.finditer(sentence.text)]
            for i, match in enumerate(at):
                word = _bare(match.group())
                first = _STARTS.search(sentence.text[: match.start()]) is not None
                beside = i + 1 < len(at) and sentence.text[match.end() : at[i + 1].start()] == " "
                if _is_name(word, first, at[i + 1].group() if beside else ""):
                    found.setdefault(word.casefold(), word)
        return list(found.values())

    def unsupported(self, said: Collection[str], source: str) -> Collection[str]:
        known = {_bare(match.group()).casefold() for match in _WORD.finditer(_undotted(source))}
        return [one for one in said if known.isdisjoint(_forms(one.casefold()))]


class InventedQuotes(Invented):
    """Share of the quotations in the outputs that aren't in their source word for word, 0 to 1.

    Quotations stand in double quotation marks of any kind. Case and punctuation don't matter.
    """

    name: ClassVar[str] = "invented_quotes"
    what: ClassVar[str] = "quotations"

    def said(self, text: str) -> Collection[str]:
        quoted = (" ".join(words(match[1] or match[2])) for match in _QUOTATION.finditer(text))
        return set(filter(None, quoted))

    def unsupported(self, said: Collection[str], source: str) -> Collection[str]:
        whole = f" {' '.join(words(source))} "
        return [one for one in said if f" {one} " not in whole]


_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred".split()
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_NAMED = {word: Decimal(i) for i, word in enumerate(_SMALL)} | {
    word: Decimal(10 * i) for i, word in enumerate(_TENS, 2)
}
_NUMBER = re.compile(
    rf"(?:(?P<digits>\d+(?:[.,]\d+)*)|\b(?P<word>{'|'.join(_NAMED)})\b)(?:[\s-](?P<scale>{'|'.join(_SCALES)})\b)?",
    re.IGNORECASE,
)


def _values(match: re.Match[str]) -> set[Decimal | str]:
    """What a number may stand for: a comma groups thousands or is a decimal point."""
    digits, scale = match["digits"], match["scale"]
    if digits is None:
        values = {_NAMED[match["word"].casefold()]}
    elif digits.count(".") > 1:
        return {digits}  # a date or a version
    else:
        values = {Decimal(digits.replace(",", ""))}
        if digits.count(",") == 1 and "." not in digits:
            values.add(Decimal(digits.replace(",", ".")))
    if scale:
        values |= {value.scaleb(_SCALES[scale.casefold()]) for value in values}
    return set(values)


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*\d*")
_DOTTED = re.compile(r"\b(?:[^\W\d_]\.){2,}")
# What stands before the first word of a sentence, or of one that is quoted in it.
_STARTS = re.compile(r"(?:^|[.!?:;]\s|[\"“„«(‘]\s?)\W*$")
_FUNCTION_WORDS = frozenset(
    "a an the this that these those it its he his she her they their we our i you your in on at by for from of to as "
    "if when while after before since although but and or so then no not all some many most other both each every "
    "mr mrs ms dr".split()
)
_QUOTATION = re.compile(r"[“„«»]\s?([^“”„«»\"]{1,400}?)\s?[”“«»]|\"([^\"\n]{1,400})\"")


def _undotted(text: str) -> str:
    return _DOTTED.sub(lambda match: match.group().replace(".", ""), text)


def _bare(word: str) -> str:
    return re.sub(r"['’]s?$", "", word)


def _is_name(word: str, first: bool, following: str) -> bool:
    if word in ("I", "A") or len(word) < 2 or word == word.casefold():
        return False
    if any(letter.isupper() for letter in word[1:]):
        return not word.startswith(("I'", "I’"))
    if not first:
        return word.casefold() not in _FUNCTION_WORDS
    return following[:1].isupper() and word.casefold() not in _FUNCTION_WORDS


def _forms(word: str) -> set[str]:
    return {word, word + "s", word.removesuffix("s"), word.removesuffix("es")}


invented_numbers = InventedNumbers()
invented_names = InventedNames()
invented_quotes = InventedQuotes()
