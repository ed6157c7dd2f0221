"""Options that examples decide, such as the labels of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nlpsuite.options import make_options
from nlpsuite.tasks.base import Task

__all__ = ["complete_options"]


def complete_options(
    task: Task[Any],
    options: Mapping[str, Any],
    references: Callable[[Task[Any]], Iterable[str]],
) -> tuple[Task[Any], dict[str, Any]]:
    """A task as its options make it, and those options with what reference answers decide.

    Args:
        options: given ones, which go first.
        references: reads all reference answers; called only if the task learns options from them.

    Raises:
        OptionError: an option is wrong, or missing and not to be learned.
        InputInvalidError: the references can't be read, or aren't what the task answers.
    """
    made = make_options(task.options, dict(options))
    learned: Mapping[str, Any] = {}
    if type(task).options_from is not Task.options_from:
        learned = task.options_from(list(references(task)), made)
    completed = {**options, **learned}
    return task.for_options(make_options(task.options, completed)), completed
