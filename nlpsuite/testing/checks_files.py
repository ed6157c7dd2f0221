"""Checks of readers and writers: whole rows, the same bytes each time, ids that stay what they are."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpsuite.data.reading import read_rows
from nlpsuite.errors import InputInvalidError, InputNotFoundError, NlpsuiteError, UnknownTaskError
from nlpsuite.testing.findings import expect
from nlpsuite.testing.subject import Subject, shown

__all__ = ["READER_CHECKS", "WRITER_CHECKS"]

_COLUMNS = ("id", "text", "label")
_IDS = ("007", "1e5", "NA", "null", "-0", "1,5", "true", "0x1F", "2024-01-02")
_ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {"id": key, "text": f"text {number}", **({"label": "good"} if number % 2 else {})}
    for number, key in enumerate(_IDS)
)
_ODD_TEXTS = ("Ünï 👍🏽 日本", 'a "quoted" word', "a, b; c\td", "two\nlines", "{'a': 1}", "=1+1", "x" * 3_000)
_NULLS = (None, "")  # a format without nulls has an empty text


def reports_unreadable_files(subject: Subject) -> None:
    """A missing or damaged file is an error, or rows that are errors."""
    with tempfile.TemporaryDirectory() as place:
        damaged = Path(place, f"damaged.{subject.plugin.name}")
        damaged.write_bytes(b"\xff\xfe\x00\xd8 no rows \x00")
        absent = damaged.with_stem("absent")
        for path, error in ((absent, InputNotFoundError), (damaged, NlpsuiteError)):
            try:
                rows = list(subject.offered(path))
            except error:
                continue
            message = f"it read a file that is {path.stem}; raise {error.__name__}, as read_lines does"
            expect(path is damaged and any(isinstance(row[1], InputInvalidError) for row in rows), message)


def writes_rows(subject: Subject) -> None:
    """It writes something for rows, accepts none, and leaves the file open for whoever opened it."""
    expect(_written(subject), f"it wrote nothing for {len(_ROWS)} rows")
    _written(subject, ())


def is_deterministic(subject: Subject) -> None:
    """The same rows give the same bytes."""
    expect(_written(subject) == _written(subject), "the same rows gave other bytes")


def keeps_ids(subject: Subject) -> None:
    """Ids such as 007, 1e5 and NA stay what they are. Read back if a plugin reads that kind of file."""
    content = _written(subject)
    rows = _read(subject, content)
    if rows is None:
        lost = [key for key in _IDS if key.encode() not in content]
        expect(not lost, f"the ids {', '.join(lost)} are not in the file")
        return
    expect(len(rows) == len(_ROWS), f"it wrote {len(rows)} rows for {len(_ROWS)}")
    for key, row in zip(_IDS, rows):
        expect(row.get("id") == key, f"the id {key!r} was read back as {row.get('id')!r}")


def keeps_texts(subject: Subject) -> None:
    """So do quotes, separators, line ends and any Unicode. Tried if a plugin reads that kind of file."""
    for text in _ODD_TEXTS:
        try:
            content = _written(subject, [{"id": "1", "text": text}], ("id", "text"))
        except InputInvalidError:  # such a text has no place in this kind of file
            continue
        rows = _read(subject, content)
        if rows is not None:
            found = rows[0].get("text") if rows else None
            message = f"the text {shown(text)} was read back as {shown(str(found))} in {len(rows)} rows"
            expect(len(rows) == 1 and found == text, message)


def a_missing_column_is_null(subject: Subject) -> None:
    """A column that a row lacks is null, or empty in a format without nulls."""
    content = _written(subject)
    rows = _read(subject, content)
    for number, row in enumerate(rows or ()):
        value, wanted = row.get("label"), _ROWS[number].get("label")
        message = f"row {number} has the label {value!r} where {wanted!r} was given"
        expect(value == wanted or (wanted is None and value in _NULLS), message)
    written = [word for word in (b"None", b"nan", b"NaN") if word in content]
    expect(rows is not None or not written, "a missing value was written as None or NaN")


def _written(
    subject: Subject, rows: Sequence[Mapping[str, Any]] = _ROWS, columns: Sequence[str] = _COLUMNS
) -> bytes:
    file = io.BytesIO()
    result = subject.offered(file, lambda: iter([dict(row) for row in rows]), columns, b"")
    expect(not file.closed, "it closed the file, which isn't its own")
    expect(result is None, f"it returned {type(result).__name__}; a writer returns nothing")
    return file.getvalue()


def _read(subject: Subject, content: bytes) -> list[Mapping[str, Any]] | None:
    """The rows of a file's content, by the reader of that kind; None if there is none."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, f"written.{subject.plugin.name}")
        path.write_bytes(content)
        try:
            return [values for _, values in read_rows(subject.plugin.name, path)]
        except UnknownTaskError:
            return None


READER_CHECKS = (reports_unreadable_files,)
WRITER_CHECKS = (writes_rows, is_deterministic, keeps_ids, keeps_texts, a_missing_column_is_null)
