"""Phrases of a text: read from an answer, looked up in the text, or counted there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["STOP_WORDS", "frequent_words", "listed", "phrases_in"]

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SEPARATOR = re.compile(r"[,;\n•|]|\s[-–*]\s|^\s*[-*–]\s|\b\d{1,2}[.)]\s", re.MULTILINE)
_LONGEST = 4  # words of a keyword; what is longer is a sentence

# Words that say nothing of a text's subject.
STOP_WORDS = {
    "English": frozenset(
        "a about after all also an and any are as at be been before being but by can could did do does each even "
        "every few for from had has have he her here him his how i if in into is it its just last many may more "
        "most much no not now of off on one only or other our out over own said same she should since so some "
        "still such than that the their them then there these they this those three time through to too two "
        "under until up very was we were what when where which while who why will with without would year years "
        "you your".split()
    ),
    "German": frozenset(
        "aber alle als also am an auch auf aus bei bis da damit dann das dass dem den der des die dies diese "
        "dieser doch du durch ein eine einem einen einer eines er es für gegen hat hatte haben hier ich ihr ihre "
        "im in ist ja jede jeder kann kein keine man mehr mit nach nicht noch nun nur ob oder ohne schon sehr "
        "sein seine seit sich sie sind so über um und uns unter vom von vor war waren was wegen weil wenn wer "
        "werden wie wieder wir wird wo wurde wurden zu zum zur zwei zwischen".split()
    ),
}


def listed(text: str) -> list[str]:
    """The entries of a list in any usual form: with commas, on lines, with bullets or numbers."""
    entries = (entry.strip(" \t\r.:\"'“”„*_`()[]") for entry in _SEPARATOR.split(text))
    return [" ".join(entry.split()) for entry in entries if entry]


def phrases_in(text: str, phrases: Iterable[str]) -> list[str]:
    """Those phrases whose words stand in ``text``, one after the other, in any case; each once.

    Phrases without a letter, of stop words alone, or of more than four words are left out.
    """
    words = " ".join(_words(text))
    found: dict[str, str] = {}
    for phrase in phrases:
        key = " ".join(_words(phrase))
        bare = [word for word in key.split() if not any(word in stop for stop in STOP_WORDS.values())]
        if not bare or len(key.split()) > _LONGEST or not any(c.isalpha() for c in key):
            continue
        if f" {key} " in f" {words} ":
            found.setdefault(key, phrase)
    return list(found.values())


def frequent_words(text: str, count: int, language: str) -> list[str]:
    """The words that occur most often, stop words aside; of equals, those that come first."""
    counted = Counter(
        word
        for word in _words(text)
        if len(word) > 2 and word not in STOP_WORDS[language] and any(c.isalpha() for c in word)
    )
    return [word for word, _ in counted.most_common(max(0, count))]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]
