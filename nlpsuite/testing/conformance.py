"""The conformance checks of a task, for pytest and for ``nlpsuite plugins check``."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from functools import cache
from typing import ClassVar

from nlpsuite.errors import NlpsuiteError
from nlpsuite.testing import checks_answer, checks_package, checks_score
from nlpsuite.testing.findings import CheckFailed, Finding, frame_in
from nlpsuite.testing.subject import Subject

__all__ = ["CHECKS", "TaskConformance", "check_task"]

Check = Callable[[Subject], str]

# In the order in which mistakes are best mended. Each returns what it looked at, or raises CheckFailed.
_PACKAGE: tuple[Check, ...] = (
    checks_package.metadata,
    checks_package.summary,
    checks_package.imports,
    checks_package.imports_quickly,
    checks_package.imports_nothing_heavy,
    checks_package.imports_silently,
    checks_package.imports_offline,
    checks_package.loads,
)
_TASK: tuple[Check, ...] = (
    checks_package.declarations,
    checks_package.options,
    checks_package.adapter_options,
    checks_package.adapter,
    checks_answer.prompts,
    checks_answer.prompts_are_pure,
    checks_answer.odd_texts,
    checks_answer.long_texts,
    checks_answer.parses_anything,
    checks_answer.joins,
    checks_answer.works_silently,
    checks_answer.streams,
    checks_score.references,
    checks_score.targets,
    checks_score.metrics_are_bounded,
    checks_score.metrics_check_their_rows,
)
CHECKS = _PACKAGE + _TASK


def check_task(name: str, *, thorough: bool = False) -> Iterator[Finding]:
    """Check an installed task, one finding at a time. A task that can't be loaded is not checked further.

    Args:
        thorough: fuzz with hypothesis as well, where it is installed.

    Raises:
        UnknownTaskError: no installed distribution offers it.
    """
    subject = Subject(name, thorough=thorough)
    loads = True
    for check in CHECKS:
        if check in _TASK and not loads:
            return
        finding = _run(check, subject)
        loads = loads and (check is not checks_package.loads or finding.ok)
        yield finding


def _run(check: Check, subject: Subject) -> Finding:
    name = check.__name__
    try:
        return Finding(name, True, check(subject))
    except CheckFailed as failed:
        return Finding(name, False, failed.message, failed.where)
    except NlpsuiteError as error:
        return Finding(name, False, str(error).replace("\n", " "), f"module {subject.plugin.module}")
    except Exception as error:  # of a value that is not at all what it should be
        where = frame_in(subject.plugin.module, error.__traceback__) or f"module {subject.plugin.module}"
        return Finding(name, False, f"{type(error).__name__}: {error}", where)


@cache
def _subject(name: str) -> Subject:
    return Subject(name, thorough=True)


class TaskConformance:
    """All checks as tests, one each. In a plugin's own tests:

    class TestKeywords(TaskConformance):
        task = "keywords"

    The plugin must be installed (``pip install -e .``): a part of what is checked is how it is found.
    A check that a task has good reason to fail is left out with ``test_streams = None``.

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
