"""The prompts that a task sends to a model, made without the model's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.options import by_field, make_options
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.override import NO_OVERRIDE, PromptOverride
from nlpsuite.tasks.pipeline import default_options
from nlpsuite.tasks.solve import make_solver

__all__ = ["Preview", "preview"]


@dataclass(frozen=True)
class Preview:
    """The first prompts for a record; later ones depend on the answers.

    Attributes:
        notices: as ``Pipeline.run`` gives them.
    """

    prompts: list[Prompt]
    notices: list[str]


def preview(
    task: Task[Any],
    record: Record,
    options: Mapping[str, Any],
    bundle: Bundle,
    tokenizer: Tokenizer,
    *,
    max_parts: int = 64,
    override: PromptOverride = NO_OVERRIDE,
) -> Preview:
    """The first prompts that ``Pipeline.run`` sends for a record.

    Raises:
        InputTooLongError: the text or the few-shot examples are too long.
        OptionError: an option that the task doesn't have, or a value that it can't take.
        UnsupportedModelError: the model has no chat template.
    """
    defaults, notices = default_options(task, bundle, override)
    chosen = make_options(task.options, {**defaults, **by_field(task.options, options)})
    solver = make_solver(task.for_options(chosen), bundle, tokenizer.count, chosen, max_parts, override)
    try:
        step = next(solver.solve(record, chosen))
    except StopIteration as stop:
        # The text needs no model; the prompt of a text that does looks like this.
        return Preview([solver.prompt(record, chosen)], [*notices, *stop.value.notices])
    return Preview(step.prompts, [*notices, *step.notices])
