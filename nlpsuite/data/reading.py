"""Rows of a file, by the reader of its kind. What a plugin's reader yields is checked."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.compression import split_suffixes
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.plugins.loading import failure, load_plugin
from nlpsuite.plugins.registry import find_plugin, known_plugins

if TYPE_CHECKING:
    from nlpsuite.data.lines import Values

__all__ = ["find_reader", "has_reader", "read_rows", "try_rows"]


def has_reader(suffix: str) -> bool:
    """Whether some plugin, enabled or not, reads files ``.suffix``."""
    return any(plugin.kind == "reader" and plugin.name == suffix for plugin in known_plugins())


def find_reader(path: Path, suffix: str = "") -> str:
    """The suffix by which a file is read: its own, or ``suffix``.

    Raises:
        InputInvalidError: no plugin reads such files; lists those that can be read.
    """
    suffix = suffix or split_suffixes(path.name)[0]
    if has_reader(suffix):
        return suffix
    usable = [plugin for plugin in known_plugins() if plugin.kind == "reader" and plugin.state == "enabled"]
    bundled, more = (", ".join(f".{p.name}" for p in usable if p.bundled is own) for own in (True, False))
    hint = f"Supported: {bundled} (text also with .gz or .zst), or two text files as in a.en,a.de."
    raise InputInvalidError(
        f"Unsupported file type: {path}.", hint=f"{hint} Plugins add {more}." if more else hint
    )


def read_rows(suffix: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and values of each row; the first damaged row is raised. Raises as ``try_rows``."""
    for line, values in try_rows(suffix, path):
        if isinstance(values, InputInvalidError):
            raise values
        yield line, values


def try_rows(suffix: str, path: Path, encoding: str = "utf-8", **how: str) -> Iterator[tuple[int, Values]]:
    """Line and values of each row of a file; an error in place of a damaged row's values.

    Args:
        how: ``delimiter`` or ``escape``, where the reader takes it; empty for its own choice.

    Raises:
        UnknownTaskError: no plugin reads that kind, or it is disabled.
        PluginError: its plugin fails to import, raises, or breaks the contract.
        InputInvalidError, InputNotFoundError: as the reader says.
        OptionError: the reader doesn't take what is given.
    """
    plugin = find_plugin("reader", suffix)
    read: Any = load_plugin(plugin)
    given = {name: value for name, value in how.items() if value}
    if encoding.lower() not in ("utf-8", "utf8"):
        given["encoding"] = encoding
    for name in given.keys() - inspect.signature(read).parameters.keys():
        raise OptionError(f"Files of type .{suffix} take no --{name}.", hint=f"Omit --{name}.")
    rows = read(path, **given)
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
