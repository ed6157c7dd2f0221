"""The task that is exported, bound to its options and a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from nlpsuite.data.record import Record
from nlpsuite.options import by_field, make_options
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Divides, Task
from nlpsuite.tasks.override import NO_OVERRIDE, PromptOverride
from nlpsuite.tasks.pipeline import choice_temperature, default_options
from nlpsuite.tasks.solve import Solver, make_solver

__all__ = ["Segments", "Subject"]

Segments = tuple[tuple[str, bool], ...]
"""A prompt as the model reads it: pieces of text, and whether each is a control token. None is empty."""


@dataclass(frozen=True)
class Subject:
    """A task with its options on a bundle.

    Attributes:
        options: all of the task's, as they apply.
        solver: makes its prompts.
        temperature: of the probabilities of choices.
        notices: what the user should know about this task on this bundle.
    """

    task: Task[Any]
    options: Any
    solver: Solver
    bundle: Bundle
    tokenizer: Tokenizer
    temperature: float = 1.0
    notices: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        task: Task[Any],
        given: Mapping[str, Any],
        bundle: Bundle,
        tokenizer: Tokenizer,
        override: PromptOverride = NO_OVERRIDE,
    ) -> Self:
        """The task as ``nlpsuite.load`` would run it on the bundle.

        Raises:
            OptionError: an option that the task doesn't have, or a value that it can't take.
            InputTooLongError: the few-shot examples leave no room for a text.
        """
        defaults, notices = default_options(task, bundle, override)
        options = make_options(task.options, {**defaults, **by_field(task.options, given)})
        made = task.for_options(options)
        solver = make_solver(made, bundle, tokenizer.count, options, 64, override)
        temperature = choice_temperature(task, bundle)
        return cls(made, options, solver, bundle, tokenizer, temperature, tuple(notices))

    def units(self, text: str) -> Sequence[Record]:
        """What of a text each prompt is about: its pieces, or the whole text.

        None of a text that has no pieces and needs no model.
        """
        record = Record(text)
        if not isinstance(self.task, Divides):
            return [record]
        pieces = self.task.divide(record, self.options)
        if pieces or self.task.without_model(record, self.options) is not None:
            return pieces
        return [record]

    def prompt(self, record: Record) -> Prompt:
        """The prompt for a unit, whatever its length."""
        return self.solver.prompt(record, self.options)

    def segments(self, prompt: Prompt) -> Segments:
        """The prompt as the model reads it."""
        return tuple(segment for segment in self.tokenizer.segments(prompt) if segment[0])
