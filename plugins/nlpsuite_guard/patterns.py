"""Private data that has a form: e-mail addresses, telephone numbers, credit cards, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nlpsuite.plugins import Flag

__all__ = ["find_patterns"]

# Every repetition has a bound or a class of characters that nothing after it shares, so that a search
# takes time in proportion to the text.
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w+-][\w.+-]{0,63}@(?P<host>(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{2,59}|[^\W\d_]{2,24}))(?![\w-])"
)
# RFC 2606: names for examples, which belong to nobody.
_NOBODYS = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d.])(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)", re.ASCII)
_PHONE = re.compile(
    r"(?<![\w+.])(?:"
    r"(?:\+|00)[1-9](?:[ ./()-]{0,3}\d){6,13}"  # international
    r"|(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"  # North America
    r"|\(?0[1-9]\d{0,4}\)?[ /-](?:[ /-]?\d){5,9}"  # with a trunk 0, as in much of Europe
    r")(?![\w-]|\.\d)",
    re.ASCII,
)
_SECRETS = {
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,255})",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "API key": r"\b[sr]k[-_](?:live[-_]|test[-_]|ant-|proj-)?[A-Za-z0-9_-]{20,255}",
    "JSON web token": r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,1000}",
    "private key": r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----",
    "password in an address": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/:@]{1,128}@[\w.-]",
    "password": r"(?i:\b(?:password|passwd|passwort|api[_-]?key|secret|access[_-]?token)\b)[\"']?\s{0,3}[:=]\s{0,3}"
    r"(?=[\"']?[^\s\"']{0,64}\d)[\"']?[^\s\"']{8,64}",
}
_SECRET = [(name, re.compile(pattern, re.ASCII)) for name, pattern in _SECRETS.items()]


def find_patterns(text: str) -> Iterator[Flag]:
    """What of ``text`` has the form of private data; kinds ``email``, ``phone``, ``card``, ``secret``."""
    for match in _EMAIL.finditer(text):
        if not _NOBODYS.search(match["host"]):
            yield Flag("email", match.start(), match.end())
    cards = [m.span() for m in _CARD.finditer(text) if _is_card(m[0])]
    for start, end in cards:
        yield Flag("card", start, end)
    for match in _PHONE.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in cards):
            yield Flag("phone", match.start(), match.end())
    for name, pattern in _SECRET:
        for match in pattern.finditer(text):
            yield Flag("secret", match.start(), match.end(), detail=name)


def _is_card(text: str) -> bool:
    """Its first digit is one that card networks use, and its last is the check digit (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 2 <= digits[0] <= 6 or len(set(digits)) == 1:
        return False
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
