"""Rows of a file, by the reader of its kind. What a plugin's reader gives is checked."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.compression import kind_of
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.plugins.discovery import find_plugin, known_plugins
from nlpsuite.plugins.loading import failure, load_plugin

if TYPE_CHECKING:
    from nlpsuite.data.lines import Values

__all__ = ["find_reader", "read_rows", "try_rows"]


def find_reader(path: Path, suffix: str = "") -> str:
    """The suffix by which a file is read: its own, or ``suffix``.

    Raises:
        InputInvalidError: no plugin reads such files; says which can be read.
    """
    suffix = suffix or kind_of(path.name)[0]
    known = [plugin for plugin in known_plugins() if plugin.kind == "reader"]
    if suffix in {plugin.name for plugin in known}:
        return suffix
    usable = [plugin for plugin in known if plugin.state == "enabled"]
    bundled, more = (", ".join(f".{p.name}" for p in usable if p.bundled is own) for own in (True, False))
    hint = f"Name a file of one of these kinds: {bundled} (those of text also with .gz or .zst behind)"
    hint += ", or two text files as in a.en,a.de."
    raise InputInvalidError(
        f"{path} is of no kind that can be read.",
        hint=f"{hint} Plugins read {more} as well." if more else hint,
    )


def read_rows(suffix: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of each row of a file, by the reader of its kind. The first damaged row is raised.

    Raises:
        as ``try_rows``.
    """
    for line, values in try_rows(suffix, path):
        if isinstance(values, InputInvalidError):
            raise values
        yield line, values


def try_rows(suffix: str, path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Values]]:
    """Line and values of each row of a file, by the reader of its kind; in place of a damaged row's values
    its error, where the reader can go on behind it.

    Raises:
        UnknownTaskError: no plugin reads that kind, or it is disabled.
        PluginError: its plugin fails to import, raises, or breaks the contract.
        InputInvalidError, InputNotFoundError: as the reader says.
        OptionError: an encoding for a reader that takes none.
    """
    plugin = find_plugin("reader", suffix)
    read: Any = load_plugin(plugin)
    if encoding.lower() in ("utf-8", "utf8"):
        rows = read(path)
    elif "encoding" in inspect.signature(read).parameters:
        rows = read(path, encoding=encoding)
    else:
        raise OptionError(f"Files .{suffix} are not read by an encoding.", hint="Leave --encoding out.")
    if not isinstance(rows, Iterator):
        raise failure(plugin, f"its reader returned {type(rows).__name__} instead of an iterator")
    for row in rows:
        if not (
            isinstance(row, tuple)
            and len(row) == 2
            and type(row[0]) is int
            and isinstance(row[1], Mapping | InputInvalidError)
        ):
            raise failure(plugin, f"its reader gave a {type(row).__name__} instead of a line and its values")
        yield row
