"""Words that give offence whatever is meant, by language.

They are in words.tsv, one a line: language, kind, word. Insults and obscenities stand there as they
are; a slur against a group of people stands as the SHA-256 of its normal form, so that the file can be
read and searched without showing it. ``digest`` makes one.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from importlib import resources

from nlpsuite.plugins import Flag

__all__ = ["digest", "find_words", "normal_form"]

_HASHED = "sha256:"
# Letters, digits, what stands in for letters, and what can't be seen.
_WORD = re.compile("[\\w@$\u00ad\u200b-\u200d\u2060\ufeff]+")
_LONGEST = 64
_STANDING_IN = str.maketrans("013457@$", "oieastas")


def find_words(text: str) -> Iterator[Flag]:
    """The listed words in ``text``; kinds ``slur`` and ``insult``, with the language as detail."""
    for match in _WORD.finditer(text):
        found = _look_up(match[0]) if len(match[0]) <= _LONGEST else None
        if found:
            yield Flag(found[1], match.start(), match.end(), detail=found[0])


def normal_form(word: str) -> str:
    """A word without case, accents and invisible characters."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).casefold())
    return "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Cf"))


def digest(word: str) -> str:
    """What words.tsv has in place of a word that should not be shown."""
    return _HASHED + hashlib.sha256(normal_form(word).encode("utf-8", "replace")).hexdigest()


@functools.lru_cache(maxsize=4096)
def _look_up(word: str) -> tuple[str, str] | None:
    """Language and kind of a word."""
    listed = _listed()
    normal = normal_form(word)
    for form in dict.fromkeys((normal, normal.translate(_STANDING_IN))):
        found = listed.get(form) or listed.get(digest(form))
        if found:
            return found
    return None


@functools.cache
def _listed() -> dict[str, tuple[str, str]]:
    text = (resources.files("nlpsuite_guard") / "words.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {
        word if word.startswith(_HASHED) else normal_form(word): (language, kind)
        for language, kind, word in rows
    }
