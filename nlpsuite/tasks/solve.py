"""From a record to an output: one prompt, or several where the text is long.

``solve`` is a generator: it yields the prompts it needs answered and is sent their
completions. It knows nothing of how they are answered, so one record on a terminal and a
million in a job take the same path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.long_text import Part, keep_end, split_text
from nlpsuite.tasks.result import Output

__all__ = ["Limits", "Step", "solve"]

# No text worth working on has more characters a token than this.
_CHARACTERS_PER_TOKEN = 16


@dataclass(frozen=True)
class Limits:
    """What the model allows.

    Attributes:
        context_length: tokens of prompt and completion together.
        count_tokens: of a prompt as the model reads it, or of plain text.
        max_parts: most parts a text may be split into; more is most likely a mistake.
        shot_tokens: of few-shot examples, which don't count against the task's own limit.
    """

    context_length: int
    count_tokens: Callable[[Prompt | str], int]
    max_parts: int = 64
    shot_tokens: int = 0


@dataclass(frozen=True)
class Step:
    """Prompts to be answered together.

    Attributes:
        final: the answers, with ``separators`` behind them, are the output's text, so they
            may be shown as they come.
        notice: something the user should know: the text was split, or shortened.
    """

    prompts: list[Prompt]
    final: bool
    separators: list[str]
    notice: str = ""


def solve(
    task: Task[Any], record: Record, options: Any, limits: Limits
) -> Generator[Step, list[Completion], Output]:
    """Solve one record; see the module's docstring.

    Raises:
        InputTooLongError: the text is longer than the task takes.
    """
    if divided := task.divide(record, options):
        outputs = []
        for piece in divided:
            outputs.append((yield from solve(task, piece, options, limits)))
        return task.join(outputs, [Part(piece.text) for piece in divided], options)
    # Of a text that can't possibly fit only the end is read: it tells how long the rest is.
    end = dataclasses.replace(record, text=record.text[-limits.context_length * _CHARACTERS_PER_TOKEN :])
    prompt = task.prompt(end, options)
    room = limits.context_length - _answer_tokens(prompt)
    most = task.max_prompt_tokens
    budget = room if most is None else min(room, most + limits.shot_tokens)
    length = limits.count_tokens(prompt) * len(record.text) // max(1, len(end.text))
    if len(end.text) < len(record.text) and length <= budget:
        prompt = task.prompt(record, options)
        length = limits.count_tokens(prompt)
    notice = ""
    if length > budget:
        frame = limits.count_tokens(task.prompt(dataclasses.replace(record, text=""), options))
        if budget - frame < 16:
            raise InputTooLongError(
                f"The {task.name} prompt alone takes {frame:,} tokens of the {budget:,} there are.",
                hint="Ask for fewer tokens (--max-tokens) or use a model with a longer context.",
            )
        if task.long_input == "error":
            raise InputTooLongError(
                f"The text makes a prompt of about {length:,} tokens; {task.name} takes {budget:,}.",
                hint="Shorten it, ask for fewer tokens (--max-tokens), or use a model with a longer context.",
            )
        if task.long_input == "split":
            result: Output = yield from _solve_parts(task, record, options, limits, budget - frame)
            return result
        kept = keep_end(record.text, budget - frame, limits.count_tokens)
        notice = (
            f"The text makes a prompt of about {length:,} tokens; {task.name} reads the last {budget:,}: "
            f"{len(kept):,} of {len(record.text):,} characters."
        )
        record = dataclasses.replace(record, text=kept)
        prompt = task.prompt(record, options)
    [completion] = yield Step([prompt], task.streams, [""], notice)
    return task.parse(completion, record, options)


def _solve_parts(
    task: Task[Any], record: Record, options: Any, limits: Limits, part_tokens: int
) -> Generator[Step, list[Completion], Output]:
    sample = record.text[: part_tokens * _CHARACTERS_PER_TOKEN]
    total = limits.count_tokens(sample) * len(record.text) // max(1, len(sample))
    parts: list[Part] = []
    if total <= 2 * part_tokens * limits.max_parts:  # else it need not be split to know that it's too long
        parts = split_text(record.text, part_tokens, limits.count_tokens)
    if not 0 < len(parts) <= limits.max_parts:
        needed = len(parts) or -(-total // part_tokens) * 5 // 4
        raise InputTooLongError(
            f"The text has about {total:,} tokens; {task.name} takes up to about "
            f"{part_tokens * limits.max_parts:,} ({limits.max_parts} parts of {part_tokens:,}).",
            hint=f"Give a shorter text, or allow more with --max-parts {needed}.",
        )
    records = [dataclasses.replace(record, text=part.text) for part in parts]
    joins = task.merging == "concat"
    completions = yield Step(
        [task.prompt(r, options) for r in records],
        task.streams and joins,
        [part.separator for part in parts],
        f"The text is long: {task.name} works on {len(parts)} parts and merges them.",
    )
    outputs = [task.parse(c, r, options) for c, r in zip(completions, records)]
    if not joins:
        again = "\n\n".join(out.text for out in outputs)
        if limits.count_tokens(again) < limits.count_tokens(record.text):
            result = yield from solve(task, dataclasses.replace(record, text=again), options, limits)
            return result
        parts = [Part(part.text, "\n\n") for part in parts]  # it does not shrink: leave it at the parts
    return task.join(outputs, parts, options)


def _answer_tokens(prompt: Prompt) -> int:
    """Tokens to keep free for the answer."""
    return 16 if prompt.choices else prompt.max_tokens
