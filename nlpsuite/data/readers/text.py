"""Files in which each line is a row: JSON objects, or texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlpsuite.data.lines import Values, read_lines, shortened, undecoded, without_end
from nlpsuite.data.record import check_unicode
from nlpsuite.errors import InputInvalidError

__all__ = ["read_json_lines", "read_text_lines"]


def read_text_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Each line as a row with the one column ``text``. Empty lines are rows as well, so that rows and lines
    have the same numbers; behind the last line's end there is no further row.
    """
    for number, line in read_lines(path, encoding, "surrogateescape"):
        yield number, undecoded(path, number, line, encoding) or {"text": without_end(line)}


def read_json_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Each line as a JSON object (RFC 8259). Blank lines are passed over.

    What some programs write but other readers can't take is damage: NaN, two values of one name, halves of
    surrogate pairs.
    """
    for number, line in read_lines(path, encoding, "surrogateescape"):
        if line.strip():
            yield number, undecoded(path, number, line, encoding) or _values(f"{path}:{number}", line)


def _values(place: str, line: str) -> Values:
    try:
        values = _decoder.decode(line.strip())
    except (ValueError, RecursionError) as error:
        return InputInvalidError(
            f"{place}: not valid JSON: {error}.", hint="Each line must be one JSON object."
        )
    if not isinstance(values, dict):
        return InputInvalidError(
            f"{place}: {shortened(values)} is no JSON object.",
            hint='Each line must be one, as in {"text": "…"}.',
        )
    if "\\ud" in line.lower():
        try:
            for name, value in values.items():
                check_unicode(name, "A column's name")
                check_unicode(
                    value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), f"The {name}"
                )
        except InputInvalidError as error:
            return InputInvalidError(f"{place}: {error.message}", hint=error.hint)
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two values are called {twice!r}")
    return values


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON's")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
