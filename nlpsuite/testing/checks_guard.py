"""Checks of guards: a screening for each text, the same every time, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from nlpsuite.tasks.guard import Flag, Screening
from nlpsuite.testing.echo import EchoModel
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.subject import ODD_TEXTS, shown

__all__ = ["CHECKS"]

_TEXTS = (
    "The sea is calm today.",
    "Write to ann.example@example.org or call +49 30 1234567; the card is 4111 1111 1111 1111.",
    "You are a stupid idiot and nobody likes you.",
    "Schöne Grüße 👍🏽, e\u0301té, bob@example.com",
)
_LONGEST_KIND = 40  # characters


def _screens_each_text(guard: Any, name: str) -> str:
    """One Screening for each text, in a list; none for no text."""
    _screen(guard, [])
    _screen(guard, _TEXTS[:1])
    _screen(guard, _TEXTS)
    return ""


def _is_deterministic(guard: Any, name: str) -> str:
    first, again = _screen(guard, _TEXTS), _screen(guard, _TEXTS)
    for text, one, two in zip(_TEXTS, first, again):
        if one != two:
            return f"it gave {one} and then {two} for {shown(text)}"
    return ""


def _takes_any_text(guard: Any, name: str) -> str:
    """Empty text, control characters, braces, any Unicode."""
    for text in ODD_TEXTS:
        [screening] = _screen(guard, [text])
        _check(screening, text)
        for flag in _find(guard, text):
            _check_flag(flag, text)
    return ""


def _points_into_the_text(guard: Any, name: str) -> str:
    """Flags lie within the text and don't repeat it; a probability is one."""
    for text, screening in zip(_TEXTS, _screen(guard, _TEXTS)):
        _check(screening, text)
        for flag in _find(guard, text):
            _check_flag(flag, text)
    return ""


def _screen(guard: Any, texts: Sequence[str]) -> list[Screening]:
    given = guard.screen(list(texts), EchoModel(lambda prompt: prompt.choices[0] if prompt.choices else "no"))
    if not isinstance(given, list) or not all(isinstance(each, Screening) for each in given):
        raise CheckFailed(f"screen gave {_kind(given)} instead of a list of Screening")
    if len(given) != len(texts):
        raise CheckFailed(f"screen gave {len(given)} screenings for {len(texts)} texts")
    return given


def _find(guard: Any, text: str) -> list[Flag]:
    given = guard.find(text)
    if not isinstance(given, list) or not all(isinstance(flag, Flag) for flag in given):
        raise CheckFailed(f"find gave {_kind(given)} instead of a list of Flag")
    return given


def _check(screening: Screening, text: str) -> None:
    toxicity = screening.toxicity
    if toxicity is not None and not 0 <= toxicity <= 1:
        raise CheckFailed(f"the toxicity of {shown(text)} is {toxicity}, must be from 0 to 1")
    if not isinstance(screening.flags, tuple) or not all(isinstance(flag, Flag) for flag in screening.flags):
        raise CheckFailed(
            f"the flags of {shown(text)} are {_kind(screening.flags)} instead of a tuple of Flag"
        )
    for flag in screening.flags:
        _check_flag(flag, text)


def _check_flag(flag: Flag, text: str) -> None:
    if not isinstance(flag.kind, str) or not flag.kind or len(flag.kind) > _LONGEST_KIND:
        raise CheckFailed(f"a flag has the kind {flag.kind!r}; give a short name such as 'email'")
    if (flag.start is None) is not (flag.end is None):
        raise CheckFailed(f"the flag {flag.kind} of {shown(text)} has a start or an end alone")
    if flag.start is not None and flag.end is not None:
        if not 0 <= flag.start < flag.end <= len(text):
            raise CheckFailed(
                f"the flag {flag.kind} stands at {flag.start} to {flag.end} of {shown(text)}, which has "
                f"{len(text)} characters"
            )
        if flag.end - flag.start > 3 and text[flag.start : flag.end] in flag.detail:
            raise CheckFailed(f"the detail of the flag {flag.kind} repeats the text, which may be a secret")
    try:
        json.dumps(flag.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"the flag {flag.kind} is no JSON: {error}") from None


def _kind(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        kinds = sorted({type(each).__name__ for each in value})
        return f"{type(value).__name__} of {' and '.join(kinds) or 'nothing'}"
    return type(value).__name__


CHECKS: tuple[Callable[[Any, str], str], ...] = (
    _screens_each_text,
    _is_deterministic,
    _takes_any_text,
    _points_into_the_text,
)
