"""A user's changes of a task's prompt: a template of their own, few-shot examples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.tasks.base import Task, answer_after
from nlpsuite.tasks.shots import Shots, ShotsSource, show_before
from nlpsuite.tasks.template import PromptTemplate

__all__ = ["NO_OVERRIDE", "PromptOverride", "ShotsSource"]


@dataclass(frozen=True)
class PromptOverride:
    """What replaces or precedes a task's own prompt. Make one with ``PromptOverride.read``.

    Attributes:
        template: takes the place of the task's messages or text; None leaves them.
        shots: few-shot examples that the model is shown first.
    """

    template: PromptTemplate | None = None
    shots: Shots | None = None

    @classmethod
    def read(
        cls,
        task: Task[Any],
        *,
        prompt_file: str | os.PathLike[str] | None = None,
        prompt_template: str | None = None,
        shots: ShotsSource | None = None,
        max_shots: int | None = None,
    ) -> PromptOverride:
        """The override of a task's prompt that a user asks for.

        Args:
            prompt_file: a template in a file; docs/prompts.md describes it.
            prompt_template: the template itself.
            shots: a file of examples, as for training, or texts with their answers.
            max_shots: use only the first ``max_shots`` of them.

        Raises:
            InputNotFoundError, InputInvalidError: a file is missing or malformed.
            OptionError: two templates, or ``max_shots`` without shots.
        """
        if prompt_file is not None and prompt_template is not None:
            raise OptionError("prompt_file and prompt_template are both given.", hint="Give one of them.")
        if max_shots is not None and shots is None:
            raise OptionError(
                "max_shots is given without shots.", hint="Name a file of examples: --shots FILE."
            )
        template = None
        if prompt_file is not None:
            template = PromptTemplate.read(prompt_file)
        elif prompt_template is not None:
            template = PromptTemplate.parse(prompt_template)
        if template is not None:
            template.check(task)
        if shots is None:
            return cls(template)
        if template is not None and "text" not in template.question.names:
            raise InputInvalidError(
                f"{template.origin}: its last question has no {{text}}, so examples can't be made with it.",
                hint="Move {text} there, or leave out the examples.",
            )
        return cls(template, Shots.read(shots, task, max_shots))

    @property
    def report(self) -> dict[str, Any]:
        """The changes as JSON values, with the sha256 of each; empty if there are none."""
        report: dict[str, Any] = {}
        if self.template is not None:
            report["prompt_file" if self.template.path else "prompt_template"] = _source(self.template)
        if self.shots is not None:
            report["shots"] = {"count": len(self.shots.examples), **_source(self.shots)}
        return report

    def options(self, task: Task[Any]) -> Mapping[str, Any]:
        """Options of the task that differ from its defaults with this override."""
        return {
            **(task.template_options if self.template is not None else {}),
            **(task.shots_options if self.shots is not None else {}),
        }

    def prompt(self, task: Task[Any], record: Record, options: Any) -> Prompt:
        """The prompt for a record, in place of ``task.prompt``."""
        if self.shots is None:
            own = task.prompt(record, options)
            return self.template.fill(own, task, record, options) if self.template else own
        without = replace(self, shots=None)
        shown = []
        for example in self.shots.examples:
            prompt = without.prompt(task, example.record, options)
            target = task.target(example.reference, example.record, options)
            if self.template and not prompt.choices:  # the template begins the answer in another way
                own = task.prompt(example.record, options)
                target = answer_after(prompt, own.prefill + target, task)
            shown.append((example, prompt, target.rstrip() if task.strips else target))
        if self.template and self.template.takes_shots:
            pairs = [(example.record.text, target) for example, _, target in shown]
            return self.template.fill(task.prompt(record, options), task, record, options, pairs)
        turns = [(prompt, target) for _, prompt, target in shown]
        return show_before(without.prompt(task, record, options), turns)


def _source(given: PromptTemplate | Shots) -> dict[str, str]:
    return ({"path": given.path} if given.path else {}) | {"sha256": given.sha256}


NO_OVERRIDE = PromptOverride()
"""The task's own prompt, without examples."""
