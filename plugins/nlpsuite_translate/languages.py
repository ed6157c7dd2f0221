"""Languages by ISO 639-1 code, English name and native name, in languages.tsv."""

from __future__ import annotations

import functools
import unicodedata
from importlib import resources

from nlpsuite.errors import OptionError

__all__ = ["english_name", "parse_pairs"]


def english_name(language: str, option: str) -> str:
    """The English name of a language that is given by code (``fr``, ``pt-BR``), English or native name.

    Args:
        option: whose value it is, for the message.

    Raises:
        OptionError: an unknown language.
    """
    names = _names()
    code = language.strip().replace("_", "-").partition("-")[0]  # a code may name a region too
    name = names.get(_folded(language)) or (names.get(_folded(code)) if len(code) < 4 else None)
    if name is None:
        raise OptionError(
            f"{option} is {language!r}, which is not a known language.",
            hint=f"Use a name or an ISO 639-1 code: {', '.join(dict.fromkeys(names.values()))}.",
        )
    return name


@functools.cache  # asked for each text
def parse_pairs(pairs: str) -> tuple[tuple[str, str], ...]:
    """English names of source and target, of pairs such as ``en-de,de-en``.

    Raises:
        OptionError: an unknown language, or something that isn't a pair.
    """
    found = []
    for pair in filter(None, (pair.strip() for pair in pairs.split(","))):
        source, _, target = pair.partition("-")
        found.append((english_name(source, "pairs"), english_name(target, "pairs")))
    return tuple(found)


def _folded(name: str) -> str:
    """A name without case and accents."""
    letters = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@functools.cache
def _names() -> dict[str, str]:
    text = (resources.files("nlpsuite_translate") / "languages.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    return {_folded(name): row[1] for row in sorted(rows, key=lambda row: row[1]) for name in row}
