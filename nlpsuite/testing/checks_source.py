"""Checks of model sources: how they treat names that don't exist, with downloads switched off."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError
from nlpsuite.models.spec import ModelSpec, Silent
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import Subject, shown

__all__ = ["CHECKS"]

_UNKNOWN = ("nobody-of-that-name/no-such-model-3f9c1b", "no-such-model-3f9c1b")
_ODD = ("", " ", "/", "..", "../../etc", "a/b/c/d", "{x}", "\x00", "💾", "x" * 5_000, "@", "a@", "C:\\model")
_SECONDS = 1.0  # to name a base; users wait for it at every start


def gives_a_base_or_an_error(subject: Subject) -> None:
    """A base, the same each time, or an error that the user can act on; without the network."""
    for rest in (*_UNKNOWN, *_ODD):
        first, again = _ask(subject, rest), _ask(subject, rest)
        if first and again:
            message = f"it gave the key {first.key!r} and then {again.key!r} for {shown(rest)}"
            same = (first.key, first.label, first.slug) == (again.key, again.label, again.slug)
            expect(same, message)


def refuses_what_is_not_there(subject: Subject) -> None:
    """A name that doesn't exist is refused at once or when its base is obtained, with downloads off."""
    for rest in _UNKNOWN:
        base = _ask(subject, rest)
        if base is None:
            continue
        what = f"obtaining {shown(rest)} with offline=True"
        with tempfile.TemporaryDirectory() as place, _no_network(what):
            try:
                path = base.obtain(Path(place), Silent())
            except (ModelNotFoundError, ModelUnavailableError):
                continue
        hint = "raise ModelUnavailableError or ModelNotFoundError"
        raise CheckFailed(f"obtain gave {path} for {shown(rest)}, which nobody has; {hint}")


def is_quick(subject: Subject) -> None:
    """Naming a base takes a second at most."""
    started = time.perf_counter()
    _ask(subject, _UNKNOWN[0])
    seconds = time.perf_counter() - started
    expect(seconds <= _SECONDS, f"naming a base takes {seconds:.1f} s; what is slow belongs in its obtain")


def _ask(subject: Subject, rest: str) -> ModelSpec | None:
    """The base of a name; None if it is refused properly."""
    with _no_network(f"naming the base {shown(rest)}"):
        try:
            base = subject.offered(rest, offline=True)
        except (ModelNotFoundError, ModelUnavailableError):
            return None
    if not isinstance(base, ModelSpec):
        raise CheckFailed(f"it gave {type(base).__name__} instead of a ModelSpec for {shown(rest)}")
    for attribute in ("label", "key", "origin"):
        value = getattr(base, attribute)
        message = f"the {attribute} of the base {shown(rest)} is {value!r}, must be a text"
        expect(isinstance(value, str) and value, message)
    expect(callable(base.obtain), f"the base {shown(rest)} has no function as its obtain")
    return base


@contextlib.contextmanager
def _no_network(what: str) -> Iterator[None]:
    """Raises CheckFailed if the network is used within."""
    used = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        used.append(args)
        raise OSError("no network while a source is checked")

    patch = mock.patch.object
    with patch(socket, "getaddrinfo", refuse), patch(socket.socket, "connect", refuse):
        try:
            yield
        finally:
            expect(not used, f"{what} uses the network")


CHECKS = (gives_a_base_or_an_error, refuses_what_is_not_there, is_quick)
