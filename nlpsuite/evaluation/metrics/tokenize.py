"""How texts are cut into words and sentences, in any script."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["sentences", "words"]

_ASCII_WORD = re.compile("[a-z0-9]+")
# Behind a full stop or the like, with the quotes and brackets that close after it, and white space; behind a
# full stop that is followed by no white space in its script.
_SENTENCE_END = re.compile(r"(?<=[.!?…।])[\"')\]»”’]*\s+|(?<=[。！？])")


def words(text: str) -> list[str]:
    """The words of a text in any script, case-folded: runs of letters, digits and their combining
    marks. Wide characters (Chinese, Japanese, Korean) are a word each. On ASCII these are the
    words of the package rouge-score.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
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


def sentences(text: str) -> list[str]:
    """The lines of a text that has several, else its sentences, cut behind ``.``, ``!``, ``?`` and their like.

    An abbreviation with a full stop ends a sentence too. White space alone isn't one.
    """
    text = text.strip()
    parts = text.split("\n") if "\n" in text else _SENTENCE_END.split(text)
    return [part.strip() for part in parts if part.strip()]
