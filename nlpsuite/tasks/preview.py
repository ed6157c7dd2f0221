"""What a task sends to a model, without the model's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.options import make_options
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.pipeline import preset_options
from nlpsuite.tasks.shots import shot_tokens
from nlpsuite.tasks.solve import Limits, solve

__all__ = ["Preview", "preview"]


@dataclass(frozen=True)
class Preview:
    """The first prompts of a record; what a task asks after them depends on the answers.

    Attributes:
        notices: of the input's treatment and of the model, as ``run`` gives them.
    """

    prompts: list[Prompt]
    notices: list[str]


def preview(
    task: Task[Any],
    record: Record,
    options: Mapping[str, Any],
    bundle: Bundle,
    tokenizer: Tokenizer,
    max_parts: int = 64,
) -> Preview:
    """The prompts that ``Pipeline.run`` would begin with.

    Raises:
        InputTooLongError: the text or the few-shot examples are too long.
        OptionError: an option that the task doesn't have, or a value that it can't take.
        UnsupportedModelError: the model has no chat template.
    """

    def count(prompt: Prompt | str) -> int:
        return len(
            tokenizer.encode_text(prompt) if isinstance(prompt, str) else tokenizer.encode_prompt(prompt)
        )

    preset, notices = preset_options(task, bundle)
    chosen = make_options(task.options, {**preset, **options})
    shots = shot_tokens(task, chosen, bundle.context_length, count)
    limits = Limits(bundle.context_length, count, max_parts, shots)
    prompts: list[Prompt] = []
    # Of a record that the task divides, each piece is solved by itself.
    for piece in task.divide(record, chosen) or (record,):
        step = next(solve(task, piece, chosen, limits))
        prompts += step.prompts
        notices += [step.notice] if step.notice else []
    return Preview(prompts, notices)
