"""Checks of guards: a screening for each text, the same every time, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nlpsuite.tasks.guard import Flag, Screening
from nlpsuite.testing.echo import EchoModel
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import ODD_TEXTS, Subject, shown

__all__ = ["CHECKS"]

_TEXTS = (
    "The sea is calm today.",
    "Write to ann.example@example.org or call +49 30 1234567; the card is 4111 1111 1111 1111.",
    "You are a stupid idiot and nobody likes you.",
    "Schöne Grüße 👍🏽, e\u0301té, bob@example.com",
)
_LONGEST_KIND = 40  # characters


def screens_each_text(subject: Subject) -> None:
    """One Screening for each text, in a list; none for no text."""
    for count in (0, 1, len(_TEXTS)):
        _screen(subject, _TEXTS[:count])


def is_deterministic(subject: Subject) -> None:
    """The same texts have the same screenings."""
    for text, one, two in zip(_TEXTS, _screen(subject, _TEXTS), _screen(subject, _TEXTS)):
        expect(one == two, f"it gave {one} and then {two} for {shown(text)}")


def takes_any_text(subject: Subject) -> None:
    """Empty text, control characters, braces, any Unicode."""
    for text in ODD_TEXTS:
        _check(subject, text, *_screen(subject, [text]))


def points_into_the_text(subject: Subject) -> None:
    """Flags lie within the text and don't repeat it; a probability is one."""
    for text, screening in zip(_TEXTS, _screen(subject, _TEXTS)):
        _check(subject, text, screening)


def _screen(subject: Subject, texts: Sequence[str]) -> list[Screening]:
    model = EchoModel(lambda prompt: prompt.choices[0] if prompt.choices else "no")
    found = _listed("screen", subject.offered.screen(list(texts), model), Screening)
    expect(len(found) == len(texts), f"screen gave {len(found)} screenings for {len(texts)} texts")
    return found


def _listed(method: str, value: Any, cls: type) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(each, cls) for each in value):
        raise CheckFailed(f"{method} gave {_kind(value)} instead of a list of {cls.__name__}")
    return value


def _check(subject: Subject, text: str, screening: Screening) -> None:
    toxicity, flags = screening.toxicity, screening.flags
    message = f"the toxicity of {shown(text)} is {toxicity}, must be from 0 to 1"
    expect(toxicity is None or 0 <= toxicity <= 1, message)
    message = f"the flags of {shown(text)} are {_kind(flags)} instead of a tuple of Flag"
    expect(isinstance(flags, tuple) and all(isinstance(flag, Flag) for flag in flags), message)
    for flag in (*flags, *_listed("find", subject.offered.find(text), Flag)):
        _check_flag(flag, text)


def _check_flag(flag: Flag, text: str) -> None:
    message = f"a flag has the kind {flag.kind!r}; give a short name such as 'email'"
    expect(isinstance(flag.kind, str) and 0 < len(flag.kind) <= _LONGEST_KIND, message)
    message = f"the flag {flag.kind} of {shown(text)} has a start or an end alone"
    expect((flag.start is None) is (flag.end is None), message)
    if flag.start is not None and flag.end is not None:
        place = f"{flag.start} to {flag.end} of {shown(text)}"
        message = f"the flag {flag.kind} stands at {place}, which has {len(text)} characters"
        expect(0 <= flag.start < flag.end <= len(text), message)
        repeats = flag.end - flag.start > 3 and text[flag.start : flag.end] in flag.detail
        expect(not repeats, f"the detail of the flag {flag.kind} repeats the text, which may be a secret")
    try:
        json.dumps(flag.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"the flag {flag.kind} can't be written as JSON: {error}") from None


def _kind(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        kinds = sorted({type(each).__name__ for each in value})
        return f"{type(value).__name__} of {' and '.join(kinds) or 'nothing'}"
    return type(value).__name__


CHECKS = (screens_each_text, is_deterministic, takes_any_text, points_into_the_text)
