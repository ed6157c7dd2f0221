"""Checks of writers: whole rows, the same bytes each time, and nothing made of texts that look like numbers."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpsuite.data.reading import read_rows
from nlpsuite.errors import InputInvalidError, UnknownTaskError
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.subject import shown

__all__ = ["CHECKS"]

COLUMNS = ("id", "text", "label")
_IDS = ("007", "1e5", "NA", "null", "-0", "1,5", "true", "0x1F", "2024-01-02")
ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {"id": key, "text": f"text {number}", **({"label": "good"} if number % 2 else {})}
    for number, key in enumerate(_IDS)
)
_ODD_TEXTS = ("Ünï 👍🏽 日本", 'a "quoted" word', "a, b; c\td", "two\nlines", "{'a': 1}", "=1+1", "x" * 3_000)
_NULLS = (None, "")  # a kind of file without nulls has an empty text


def _writes_rows(writer: Any, name: str) -> str:
    """Something for rows, and for none; the file is left open for whoever opened it."""
    if not _written(writer, ROWS):
        return f"it wrote nothing for {len(ROWS)} rows"
    _written(writer, ())
    return ""


def _is_deterministic(writer: Any, name: str) -> str:
    return "" if _written(writer, ROWS) == _written(writer, ROWS) else "the same rows gave other bytes"


def _keeps_ids(writer: Any, name: str) -> str:
    """Ids such as 007, 1e5 and NA are what they were. Read back if a plugin reads that kind of file."""
    content = _written(writer, ROWS)
    rows = _read(content, name)
    if rows is None:
        lost = [key for key in _IDS if key.encode() not in content]
        return f"the ids {', '.join(lost)} are not in the file" if lost else ""
    if len(rows) != len(ROWS):
        return f"it wrote {len(rows)} rows for {len(ROWS)}"
    for key, row in zip(_IDS, rows):
        if row.get("id") != key:
            return f"the id {key!r} was read back as {row.get('id')!r}"
    return ""


def _keeps_texts(writer: Any, name: str) -> str:
    """Quotes, separators, line ends, any Unicode. Tried where a plugin reads that kind of file."""
    for text in _ODD_TEXTS:
        try:
            rows = _read(_written(writer, [{"id": "1", "text": text}], ("id", "text")), name)
        except _Refused:
            continue
        if rows is not None and (len(rows) != 1 or rows[0].get("text") != text):
            found = rows[0].get("text") if rows else None
            return f"the text {shown(text)} was read back as {shown(str(found))} in {len(rows)} rows"
    return ""


def _a_missing_column_is_null(writer: Any, name: str) -> str:
    content = _written(writer, ROWS)
    rows = _read(content, name)
    for number, row in enumerate(rows or ()):
        value, wanted = row.get("label"), ROWS[number].get("label")
        if value != wanted and not (wanted is None and value in _NULLS):
            return f"row {number} has the label {value!r} where {wanted!r} was given"
    if rows is None and any(word in content for word in (b"None", b"nan", b"NaN")):
        return "a missing value was written as None or NaN"
    return ""


class _Refused(Exception):
    """The writer says that a value has no place in this kind of file."""


def _written(writer: Any, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    file = io.BytesIO()
    try:
        result = writer(file, lambda: iter([dict(row) for row in rows]), columns, b"")
    except InputInvalidError as error:
        raise _Refused(str(error)) from error
    if file.closed:
        raise CheckFailed("it closed the file, which is not its own")
    if result is not None:
        raise CheckFailed(f"it returned {type(result).__name__}; a writer returns nothing")
    return file.getvalue()


def _read(content: bytes, suffix: str) -> list[Mapping[str, Any]] | None:
    """The rows of a file's content, by the reader of that kind; None if there is none."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, f"written.{suffix}")
        path.write_bytes(content)
        try:
            return [values for _, values in read_rows(suffix, path)]
        except UnknownTaskError:
            return None


CHECKS: tuple[Callable[[Any, str], str], ...] = (
    _writes_rows,
    _is_deterministic,
    _keeps_ids,
    _keeps_texts,
    _a_missing_column_is_null,
)
