"""Checks of plugins that are no tasks: metrics, readers, commands and the others."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, InputNotFoundError, MissingExtraError, NlpsuiteError
from nlpsuite.plugins.loading import load_plugin
from nlpsuite.plugins.probe import probe
from nlpsuite.plugins.registry import Plugin
from nlpsuite.testing import checks_engine, checks_guard, checks_source, checks_writer
from nlpsuite.testing.findings import CheckFailed, Finding, frame_in, place_of_value

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
    try:
        offered = load_plugin(plugin)
    except NlpsuiteError as error:  # it may load in a process of its own and not twice
        yield Finding("loads_here", False, error.message, plugin.module)
        return
    place = place_of_value(offered) or plugin.module
    for check in _CHECKS.get(plugin.kind, ()):
        yield _run(check, offered, plugin, place)


def _run(check: Check, offered: Any, plugin: Plugin, place: str) -> Finding:
    name = check.__name__.strip("_")
    try:
        problem = check(offered, plugin.name)
    except CheckFailed as failed:
        return Finding(name, False, failed.message, failed.where or place)
    except MissingExtraError as error:
        return Finding(name, True, f"not tried: {error.message} {error.hint}")
    except (Exception, SystemExit) as error:
        said = f"it raised {type(error).__name__}: {error}".replace("\n", " ")
        return Finding(name, False, said, frame_in(plugin.module, error.__traceback__) or place)
    return Finding(name, not problem, problem, place if problem else "")


# Given what the hook returned and the plugin's name. Each gives what is wrong, or nothing.
Check = Callable[[Any, str], str]


def _says_what_it_is(metric: Any, name: str) -> str:
    return "" if (metric.__doc__ or "").strip() else "give it a docstring that names its range and source"


def _prefers_what_is_right(metric: Any, name: str) -> str:
    if getattr(metric, "needs", "texts") != "texts":
        return ""  # it is not called with texts
    references = ["the crab finds a way", "two dogs sleep"]
    right, wrong = metric(references, references), metric(["zzz", "qqq"], references)
    for value in (right, wrong):
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            return f"it gave {value!r} instead of a number"
    more = getattr(metric, "higher_is_better", True)
    return (
        ""
        if (right > wrong if more else right < wrong)
        else f"it gave {right} for right outputs and {wrong} for wrong ones"
    )


def _checks_its_rows(metric: Any, name: str) -> str:
    for outputs, references in (([], []), (["a"], ["a", "b"])):
        try:
            metric(outputs, references)
        except InputInvalidError:
            continue
        return f"it took {len(outputs)} outputs and {len(references)} references; see nlpsuite.evaluation.metrics.lengths"
    return ""


def _is_a_function_of_sums(metric: Any, name: str) -> str:
    """Of a RowMetric: its statistics are numbers, a row each, and their sum gives the figure."""
    from nlpsuite.evaluation.metrics.base import RowMetric
    from nlpsuite.tasks.result import Output

    if not isinstance(metric, RowMetric):
        return ""
    if metric.name != name:
        return f"it calls itself {metric.name!r}"
    if "version:" not in metric.signature():
        return f"its signature {metric.signature()!r} has no version"
    if metric.needs != "texts":
        return ""
    texts, references = ["the crab finds a way", "zzz", ""], ["the crab finds a way", "two dogs sleep", "x"]
    rows = metric.statistics([Output(text) for text in texts], [[text] for text in references])
    if rows.ndim != 2 or len(rows) != len(texts):
        return f"its statistics of {len(texts)} rows have the shape {rows.shape}, not ({len(texts)}, k)"
    figures = [float(value) for value in (*metric.figure(rows), metric.figure(rows.sum(axis=0)))]
    if not all(math.isfinite(value) and value >= 0 for value in figures):
        return f"its figures of single rows and of all are {figures}"
    called = float(metric(texts, references))
    return "" if math.isclose(called, figures[-1]) else f"it gave {called} and, of the sums, {figures[-1]}"


def _tells_of_a_file_it_cannot_read(reader: Any, name: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        damaged = Path(place, f"damaged.{name}")
        damaged.write_bytes(b"\xff\xfe\x00\xd8 no rows \x00")
        for path, error in ((Path(place, f"absent.{name}"), InputNotFoundError), (damaged, NlpsuiteError)):
            try:
                rows = list(reader(path))
            except error:
                continue
            # A damaged row may be told in its place.
            if path is not damaged or not any(isinstance(row[1], InputInvalidError) for row in rows):
                return f"it read a file that is {path.stem}; raise {error.__name__}, as read_lines does"
    return ""


def _has_help(command: Any, name: str) -> str:
    return "" if (command.help or "").strip() else "give the command a docstring, which --help shows"


_CHECKS: dict[str, tuple[Check, ...]] = {
    "metric": (_says_what_it_is, _prefers_what_is_right, _checks_its_rows, _is_a_function_of_sums),
    "reader": (_tells_of_a_file_it_cannot_read,),
    "command": (_has_help,),
    "guard": checks_guard.CHECKS,
    "source": checks_source.CHECKS,
    "writer": checks_writer.CHECKS,
    "engine": checks_engine.CHECKS,
}
