"""Read lists of documents and their keywords: NAME : keyword, keyword."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlpsuite import hookimpl
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.plugins import read_lines

__all__ = ["read_keys"]


def read_keys(path: Path) -> Iterator[tuple[int, Any]]:
    """Line and ``{"id", "text", "keywords"}`` of each document in a ``.keys`` file.

    A line is ``NAME : keyword, keyword``, as SemEval-2010 Task 5 gives its keyphrases; the text is in
    ``NAME.txt`` beside the file. An InputInvalidError takes the place of a row that is damaged or has no text.

    Raises:
        InputInvalidError, InputNotFoundError: the file itself can't be read.
    """
    for number, line in read_lines(path):
        if line.strip():
            try:
                yield number, _row(path, line)
            except InputInvalidError as error:
                yield number, InputInvalidError(f"{path}:{number}: {error.message}", hint=error.hint)


def _row(path: Path, line: str) -> dict[str, str]:
    name, colon, keywords = (part.strip() for part in line.partition(":"))
    if not (name and colon and keywords):
        raise InputInvalidError("no document with keywords.", hint="Write NAME : keyword, keyword.")
    if Path(name).name != name:  # the list may come from anywhere: it may not name files elsewhere
        raise InputInvalidError(f"{name!r} isn't a plain file name.")
    document = path.with_name(f"{name}.txt")
    try:
        text = "".join(text for _, text in read_lines(document))
    except InputNotFoundError as error:
        raise InputInvalidError(error.message, hint="The documents belong beside the list.") from None
    return {"id": name, "text": text, "keywords": ", ".join(part.strip() for part in keywords.split(","))}


@hookimpl
def nlpsuite_reader(suffix: str) -> object:
    return read_keys
