"""Files of lines of text, and of JSON objects: one a line, or all in an array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlpsuite.data.lines import DamagedRow, Values, read_lines, shortened, undecoded, without_end
from nlpsuite.data.record import check_unicode
from nlpsuite.data.text import read_blocks
from nlpsuite.errors import InputInvalidError

__all__ = ["read_json", "read_json_lines", "read_text_lines"]

_SPACE = re.compile(r"\s*")
_ARRAY_HINT = 'Each line must be an object such as {"text": "…"}. If the file is one array: --format json.'
_MAX_DEPTH = 100  # of nested arrays and objects; what writes results recurses for each level


def read_text_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Each line as a row with the one column ``text``. Empty lines are rows too, so that rows and lines
    have the same numbers; the last line's end begins no further row.
    """
    for number, line in read_lines(path, encoding, "surrogateescape"):
        yield number, undecoded(path, number, line, encoding) or {"text": without_end(line)}


def read_json_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Each line as a JSON object (RFC 8259). Blank lines are skipped.

    What other readers can't take makes a row damaged: NaN, a repeated name, lone surrogates, extreme
    nesting.
    """
    decoder = _Decoder(path, encoding)
    for number, line in read_lines(path, encoding, "surrogateescape"):
        if text := line.strip():
            yield number, decoder.row(number, text)


def read_json(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """The objects of a JSON array, or one object a line: ``.json`` files hold either. An array is read into
    memory, and a syntax error in it ends the reading.
    """
    text = "".join(read_blocks(path, encoding, "surrogateescape"))
    at = _skip_space(text, 0)
    if text[at : at + 1] in ("", "{"):
        yield from read_json_lines(path, encoding)
        return
    line = 1 + text.count("\n", 0, at)
    if text[at] != "[":
        raise InputInvalidError(
            f"{path}:{line}: neither a JSON array of objects nor one object a line.",
            hint='Write [{"text": "…"}, …].',
        )
    decoder = _Decoder(path, encoding)
    start = _skip_space(text, at + 1)
    while text[start : start + 1] != "]":
        line += text.count("\n", at, start)
        if start == len(text):
            raise InputInvalidError(f"{path}:{line}: the JSON array isn't closed.")
        end = decoder.end(line, text, start)
        yield line, decoder.row(line, text[start:end])
        at, start = start, _skip_space(text, end)
        if text[start : start + 1] == ",":
            start = _skip_space(text, start + 1)
        elif text[start : start + 1] not in ("]", ""):
            raise InputInvalidError(f"{path}:{line}: expected a comma or ] after an object.")


def _skip_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


class _Decoder:
    """Decodes rows, and continues after what JSON doesn't allow."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._path, self._encoding = path, encoding
        self._problems: list[str] = []
        self._json = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float
        )

    def end(self, line: int, text: str, start: int) -> int:
        """Where the value that begins at ``start`` ends. Raises InputInvalidError."""
        try:
            return self._json.raw_decode(text, start)[1]
        except (ValueError, RecursionError) as error:
            raise InputInvalidError(f"{self._path}:{line}: not valid JSON: {_reason(error)}.") from None

    def row(self, line: int, text: str) -> Values:
        """The values of an object's text, or what is wrong with it."""
        place = f"{self._path}:{line}"
        damage = undecoded(self._path, line, text, self._encoding)
        self._problems.clear()
        try:
            values = self._json.decode(text)
        except (ValueError, RecursionError) as error:
            if damage:
                return damage
            hint = "Each line must be one JSON object."
            if text.startswith("["):
                hint = _ARRAY_HINT
            elif text.endswith(","):
                hint = "Remove the comma at the end of the line."
            return InputInvalidError(f"{place}: not valid JSON: {_reason(error)}.", hint=hint)
        if not isinstance(values, dict):
            return damage or InputInvalidError(
                f"{place}: {shortened(values)} isn't a JSON object.",
                hint=_ARRAY_HINT if isinstance(values, list) else 'Write {"text": "…"}.',
            )
        problem, hint = "", ""
        if damage:
            values = {n: v for n, v in values.items() if undecoded(self._path, line, n + _json(v)) is None}
        if "\\ud" in text.lower():
            for name, value in list(values.items()):
                try:
                    check_unicode(name, "A column's name")
                    check_unicode(value if isinstance(value, str) else _json(value), f"The {name}")
                except InputInvalidError as error:
                    del values[name]
                    problem, hint = error.message.removesuffix("."), error.hint
        if text.count("[") + text.count("{") > _MAX_DEPTH:
            for name in [name for name, value in values.items() if _is_deep(value)]:
                del values[name]
                problem = f"{name!r} is nested more than {_MAX_DEPTH} levels deep"
        if self._problems:
            problem = f"not valid JSON: {self._problems[0]}"
        if problem or damage:
            message = damage.message if damage else f"{place}: {problem}."
            return DamagedRow(message, hint=damage.hint if damage else hint, values=values)
        return values

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [name for name, _ in pairs]
            repeated = {name for name in names if names.count(name) > 1}
            self._problems.append(f"two values are called {next(n for n in names if n in repeated)!r}")
            values = {name: value for name, value in pairs if name not in repeated}
        return values

    def _constant(self, name: str) -> None:
        self._problems.append(f"{name} isn't a JSON number")

    def _float(self, digits: str) -> float | None:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            self._problems.append(f"{digits[:40]} is too large a number")
            return None
        return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1:,}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, list | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)
