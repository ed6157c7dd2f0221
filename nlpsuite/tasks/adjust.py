"""A task whose prompt the user changes: with a template of their own, with few-shot examples.

What comes out is a task like any other, so running, training and jobs need not know.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.tasks.base import Adjustment, Task
from nlpsuite.tasks.shots import Shots
from nlpsuite.tasks.template import PromptTemplate

__all__ = ["ShotsGiven", "adjust"]

ShotsGiven = str | os.PathLike[str] | Iterable[tuple[str, str]]


def adjust(
    task: Task[Any],
    *,
    prompt_file: str | os.PathLike[str] | None = None,
    prompt_template: str | None = None,
    shots: ShotsGiven | None = None,
    max_shots: int | None = None,
) -> Task[Any]:
    """The task with another prompt; the task itself if nothing is given.

    Args:
        prompt_file: a template in a file; docs/prompts.md describes it.
        prompt_template: the same as a text.
        shots: a file of examples, as for training, or texts with their answers.
        max_shots: take only the first so many of them.

    Raises:
        InputNotFoundError, InputInvalidError: a file is missing, or not what it should be.
        OptionError: two templates, or ``max_shots`` without shots.
    """
    if prompt_file is not None and prompt_template is not None:
        raise OptionError("prompt_file and prompt_template are both given.", hint="Give one of them.")
    if max_shots is not None and shots is None:
        raise OptionError("max_shots is given without shots.", hint="Name a file of examples: --shots FILE.")
    report: dict[str, Any] = {}
    template = None
    if prompt_file is not None:
        template = PromptTemplate.read(prompt_file)
        report["prompt_file"] = {"path": os.fspath(prompt_file), "sha256": template.sha256}
    elif prompt_template is not None:
        template = PromptTemplate.parse(prompt_template)
        report["prompt_template"] = {"sha256": template.sha256}
    changed = task
    if template is not None:
        template.check(task)
        changed = _changed(task, _Templated(task, template).prompt, Adjustment(report))
    if shots is None:
        return changed
    if template is not None and "text" not in template.question.names:
        raise InputInvalidError(
            f"{template.origin}: its last question has no {{text}}, so examples can't be made with it.",
            hint="Move {text} there, or leave out the examples.",
        )
    is_file = isinstance(shots, (str, os.PathLike))
    examples = Shots.read(shots, task, max_shots) if is_file else Shots.of(shots, task, max_shots)  # type: ignore[arg-type]
    report["shots"] = {"count": len(examples.examples), "sha256": examples.sha256}
    if is_file:
        report["shots"] = {"path": os.fspath(shots), **report["shots"]}  # type: ignore[arg-type]
    shown = _Shown(changed, examples, template if template and template.takes_shots else None)
    return _changed(task, shown.prompt, Adjustment(report, task.shots_options, without_shots=changed))


def _changed(task: Task[Any], prompt: Callable[[Record, Any], Prompt], adjusted: Adjustment) -> Task[Any]:
    """A copy that asks otherwise; whatever of the task calls ``self.prompt`` gets the new one."""
    changed = copy.copy(task)
    vars(changed).update(prompt=prompt, adjusted=adjusted)
    return changed


@dataclass(frozen=True)
class _Templated:
    task: Task[Any]
    template: PromptTemplate

    def prompt(self, record: Record, options: Any) -> Prompt:
        return self.template.fill(self.task.prompt(record, options), self.task, record, options)


@dataclass(frozen=True)
class _Shown:
    """
    Attributes:
        task: without the examples, but with the template if there is one.
        template: that says itself where examples go.
    """

    task: Task[Any]
    shots: Shots
    template: PromptTemplate | None

    def prompt(self, record: Record, options: Any) -> Prompt:
        own = self.task.prompt(record, options)
        if self.template is None:
            return self.shots.before(own, self.task, options)
        return self.template.fill(own, self.task, record, options, self.shots.pairs(self.task, options))
