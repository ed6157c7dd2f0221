"""Which files can be written, and whether rows can be, before work is spent on them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins.loading import load
from nlpsuite.plugins.registry import known_plugins

__all__ = ["check_writable", "find_writer"]

_HOLD_ALL = ("csv", "jsonl", "ndjson")  # whatever a reader yields can be written as these


def find_writer(output: Path) -> str:
    """The suffix of an output, for which there is a writer.

    Raises:
        InputInvalidError: there is none; lists the supported ones.
    """
    known = sorted(plugin.name for plugin in known_plugins() if plugin.kind == "writer")
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in known:
        raise InputInvalidError(
            f"Unsupported file type: {output}.", hint=f"Supported for results: .{', .'.join(known)}."
        )
    return suffix


def check_writable(
    suffix: str,
    rows: Callable[[], Iterable[Mapping[str, Any]]],
    columns: Sequence[str],
    schema: bytes,
) -> None:
    """Write rows to nowhere, as a ``Writer`` would to a file. Raises InputInvalidError as it does."""
    if suffix in _HOLD_ALL:
        return
    with contextlib.suppress(io.UnsupportedOperation):  # a plugin's writer that has to seek is not checked
        load("writer", suffix)(cast(Any, _Nowhere()), rows, columns, schema)


class _Nowhere(io.RawIOBase):
    def __init__(self) -> None:
        self._length = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._length

    def write(self, data: Any) -> int:
        self._length += len(data)
        return len(data)
