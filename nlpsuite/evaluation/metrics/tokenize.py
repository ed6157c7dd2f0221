"""How texts are cut into words and sentences, in any script."""

from __future__ import annotations

import re
import unicodedata

from nlpsuite.tasks.sentences import split_sentences

__all__ = ["sentences", "words"]

_ASCII_WORD = re.compile("[a-z0-9]+")


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
    """The lines of a text that has several, else its sentences (see ``split_sentences``). White space alone isn't
    one.
    """
    text = text.strip()
    if "\n" in text:
        return [line.strip() for line in text.split("\n") if line.strip()]
    return [sentence.text for sentence in split_sentences(text)]
