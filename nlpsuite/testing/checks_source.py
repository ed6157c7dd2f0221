"""Checks of model sources: what they make of names that nobody has, with fetching switched off."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError, NlpsuiteError
from nlpsuite.models.spec import ModelSpec, Silent
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.subject import shown

__all__ = ["CHECKS"]

_UNKNOWN = ("nobody-of-that-name/no-such-model-3f9c1b", "no-such-model-3f9c1b")
_ODD = ("", " ", "/", "..", "../../etc", "a/b/c/d", "{x}", "\x00", "💾", "x" * 5_000, "@", "a@", "C:\\model")
_SECONDS = 1.0  # of naming a base; a user waits for it at every start


def _gives_a_base_or_an_error(source: Any, name: str) -> str:
    """A base, the same each time, or an error that the user can mend; without the network."""
    for rest in (*_UNKNOWN, *_ODD):
        first, again = _ask(source, rest), _ask(source, rest)
        if first and again and (first.key, first.label, first.slug) != (again.key, again.label, again.slug):
            return f"it gave the key {first.key!r} and then {again.key!r} for {shown(rest)}"
    return ""


def _refuses_what_is_not_there(source: Any, name: str) -> str:
    """A name that nobody has is refused when its base is named or got, with fetching switched off."""
    for rest in _UNKNOWN:
        base = _ask(source, rest)
        if base is None:
            continue
        with tempfile.TemporaryDirectory() as place, _no_network(f"getting {shown(rest)} with offline=True"):
            try:
                got = base.obtain(Path(place), Silent())
            except (ModelNotFoundError, ModelUnavailableError):
                continue
        return f"obtain gave {got} for {shown(rest)}, which nobody has; raise ModelUnavailableError or ModelNotFoundError"
    return ""


def _is_quick(source: Any, name: str) -> str:
    started = time.perf_counter()
    _ask(source, _UNKNOWN[0])
    seconds = time.perf_counter() - started
    return (
        f"naming a base takes {seconds:.1f} s; what is slow belongs in its obtain"
        if seconds > _SECONDS
        else ""
    )


def _ask(source: Any, rest: str) -> ModelSpec | None:
    """The base of a name; None if it is refused as it should be."""
    with _no_network(f"naming the base {shown(rest)}"):
        try:
            base = source(rest, offline=True)
        except NlpsuiteError as error:
            if not isinstance(error, (ModelNotFoundError, ModelUnavailableError)):
                raise
            return None
    if not isinstance(base, ModelSpec):
        raise CheckFailed(f"it gave {type(base).__name__} instead of a ModelSpec for {shown(rest)}")
    for attribute in ("label", "key", "origin"):
        value = getattr(base, attribute)
        if not isinstance(value, str) or not value:
            raise CheckFailed(f"the {attribute} of the base {shown(rest)} is {value!r}, must be a text")
    if not callable(base.obtain):
        raise CheckFailed(f"the base {shown(rest)} has no function as its obtain")
    return base


@contextlib.contextmanager
def _no_network(what: str) -> Iterator[None]:
    """Raises CheckFailed if the network is used within."""
    used = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        used.append(args)
        raise OSError("no network while a source is checked")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
    ):
        try:
            yield
        finally:
            if used:
                raise CheckFailed(f"{what} uses the network")


CHECKS: tuple[Callable[[Any, str], str], ...] = (
    _gives_a_base_or_an_error,
    _refuses_what_is_not_there,
    _is_quick,
)
