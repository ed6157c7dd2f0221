"""Checks of plugins that are no tasks: metrics, readers, commands and the others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, InputNotFoundError, NlpsuiteError
from nlpsuite.plugins.loading import load_plugin
from nlpsuite.plugins.probe import probe
from nlpsuite.plugins.registry import Plugin
from nlpsuite.testing.findings import Finding, frame_in

__all__ = ["check_plugin"]


def check_plugin(plugin: Plugin) -> Iterator[Finding]:
    """Load a plugin, and try what it offers where that can be tried without a model: one finding a check."""
    found = probe(plugin)
    if found.problem:
        yield Finding("loads", False, found.problem, plugin.module)
        return
    yield Finding("loads", True, f"{plugin.module}, {plugin.kind} {plugin.name}")
    heavy = "importing it imports torch; do so inside functions" if found.imports_torch else ""
    yield Finding("imports_nothing_heavy", not heavy, heavy, plugin.module if heavy else "")
    offered = load_plugin(plugin)
    for check in _CHECKS.get(plugin.kind, ()):
        try:
            problem, where = check(offered), plugin.module
        except Exception as error:
            problem = f"it raised {type(error).__name__}: {error}"
            where = frame_in(plugin.module, error.__traceback__) or plugin.module
        yield Finding(check.__name__.strip("_"), not problem, problem, where if problem else "")


# Each gives what is wrong, or nothing.


def _says_what_it_is(metric: Any) -> str:
    return "" if (metric.__doc__ or "").strip() else "give it a docstring that names its range and source"


def _prefers_what_is_right(metric: Any) -> str:
    references = ["the crab finds a way", "two dogs sleep"]
    right, wrong = metric(references, references), metric(["zzz", "qqq"], references)
    for value in (right, wrong):
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            return f"it gave {value!r} instead of a number"
    return "" if right > wrong else f"it gave {right} for right outputs and {wrong} for wrong ones"


def _checks_its_rows(metric: Any) -> str:
    for outputs, references in (([], []), (["a"], ["a", "b"])):
        try:
            metric(outputs, references)
        except InputInvalidError:
            continue
        return (
            f"it took {len(outputs)} outputs and {len(references)} references; see nlpsuite.metrics.lengths"
        )
    return ""


def _tells_of_a_file_it_cannot_read(reader: Any) -> str:
    with tempfile.TemporaryDirectory() as place:
        damaged = Path(place, "damaged")
        damaged.write_bytes(b"\xff\xfe\x00\xd8 no rows \x00")
        for path, error in ((Path(place, "absent"), InputNotFoundError), (damaged, NlpsuiteError)):
            try:
                list(reader(path))
            except error:
                continue
            return f"it read a file that is {path.name}; raise {error.__name__}, as read_lines does"
    return ""


def _has_help(command: Any) -> str:
    return "" if (command.help or "").strip() else "give the command a docstring, which --help shows"


_CHECKS: dict[str, tuple[Callable[[Any], str], ...]] = {
    "metric": (_says_what_it_is, _prefers_what_is_right, _checks_its_rows),
    "reader": (_tells_of_a_file_it_cannot_read,),
    "command": (_has_help,),
}
