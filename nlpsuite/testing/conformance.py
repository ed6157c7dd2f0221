"""The conformance checks of every kind of plugin, for pytest and for ``nlpsuite plugins check``."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import ClassVar

from nlpsuite.errors import MissingExtraError, UnknownTaskError
from nlpsuite.plugins.kinds import KINDS, TASK
from nlpsuite.plugins.registry import find_plugin, find_task
from nlpsuite.plugins.scan import Plugin
from nlpsuite.testing import (
    checks_answer,
    checks_engine,
    checks_files,
    checks_guard,
    checks_metric,
    checks_package,
    checks_score,
    checks_source,
)
from nlpsuite.testing.findings import CheckFailed, Finding, frame_in
from nlpsuite.testing.subject import Subject

__all__ = ["CHECKS", "TaskConformance", "check_plugin", "check_task", "find_checked"]

# May return what it examined; raises CheckFailed.
Check = Callable[[Subject], str | None]

# In the order in which mistakes are best fixed.
_PACKAGE: tuple[Check, ...] = checks_package.PACKAGE_CHECKS
# With the attribute of the task that a failure points to unless it names a place of its own.
_TASK: Mapping[Check, str] = {**checks_package.TASK_CHECKS, **checks_answer.CHECKS, **checks_score.CHECKS}
CHECKS = (*_PACKAGE, *_TASK)
_OTHERS: Mapping[str, tuple[Check, ...]] = {
    "metric": checks_metric.CHECKS,
    "reader": checks_files.READER_CHECKS,
    "writer": checks_files.WRITER_CHECKS,
    "source": checks_source.CHECKS,
    "engine": checks_engine.CHECKS,
    "guard": checks_guard.CHECKS,
    "command": checks_package.COMMAND_CHECKS,
}


def check_task(name: str, *, thorough: bool = False) -> Iterator[Finding]:
    """Check an installed task, one finding at a time; see ``check_plugin``.

    Raises:
        UnknownTaskError: no installed distribution offers it.
    """
    return check_plugin(find_task(name), thorough=thorough)


def check_plugin(plugin: Plugin, *, thorough: bool = False) -> Iterator[Finding]:
    """Check a plugin of any kind, one finding at a time. One that can't be loaded isn't checked further.

    Args:
        thorough: fuzz a task with hypothesis as well, if it is installed.
    """
    subject = Subject(plugin, thorough=thorough)
    finding = None
    for check in _PACKAGE:
        finding = _run(check, subject)
        yield finding
    if finding and finding.ok:  # the last one is ``loads``
        for check in _TASK if plugin.kind == TASK else _OTHERS[plugin.kind]:
            yield _run(check, subject)


def find_checked(name: str) -> Plugin:
    """The plugin to check: a task's name, or ``kind:name``.

    Raises:
        UnknownTaskError: no installed distribution offers it.
    """
    kind, _, rest = name.partition(":")
    try:
        return find_plugin(kind, rest) if rest and kind in KINDS else find_task(name)
    except UnknownTaskError as error:
        hint = f"{error.hint} A plugin must be installed to be checked: pip install -e DIRECTORY"
        raise UnknownTaskError(error.message, hint=hint) from None


def _run(check: Check, subject: Subject) -> Finding:
    name = check.__name__
    try:
        return Finding(name, True, check(subject) or "")
    except CheckFailed as failed:
        message, where = failed.message, failed.where
    except MissingExtraError as error:
        return Finding(name, True, f"not tried: {error.message} {error.hint}")
    except (Exception, SystemExit) as error:
        message = f"it raised {type(error).__name__}: {error}".replace("\n", " ")
        where = frame_in(subject.plugin, error.__traceback__)
    return Finding(name, False, message, where or subject.place(_TASK.get(check, "")))


@cache
def _subject(name: str) -> Subject:
    return Subject(find_task(name), thorough=True)


class TaskConformance:
    """All checks as tests, one each. In a plugin's own tests:

    class TestKeywords(TaskConformance):
        task = "keywords"

    The plugin must be installed (``pip install -e .``): how it is found is checked too. A check that a
    task has good reason to fail is left out with ``test_streams = None``.

    Class attributes:
        task: the name of the task's entry point.
    """

    task: ClassVar[str]


def _as_test(check: Check) -> Callable[[TaskConformance], None]:
    def test(self: TaskConformance) -> None:
        __tracebackhide__ = True
        subject = _subject(type(self).task)
        if check in _TASK and not _run(checks_package.loads, subject).ok:
            raise unittest.SkipTest("the task can't be loaded, see test_loads")
        finding = _run(check, subject)
        if not finding.ok:
            raise AssertionError(str(finding))

    test.__doc__ = check.__doc__
    test.__name__ = f"test_{check.__name__}"
    test.__qualname__ = f"TaskConformance.{test.__name__}"
    return test


for _check in CHECKS:
    setattr(TaskConformance, f"test_{_check.__name__}", _as_test(_check))
