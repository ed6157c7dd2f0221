"""Few-shot examples: records with right answers that the model is shown before the question.

An example becomes what the task's own ``prompt`` and ``target`` make of it, so it looks like the
question that follows: an earlier turn of a conversation, or a text before a blank line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.data.examples import Example, examples_of
from nlpsuite.data.record import Record
from nlpsuite.data.tables import open_table
from nlpsuite.errors import InputTooLongError, OptionError
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.tasks.base import Task

__all__ = ["Shots", "shot_tokens"]


@dataclass(frozen=True)
class Shots:
    """Examples to be shown. Make one with ``Shots.read`` or ``Shots.of``.

    Attributes:
        sha256: of the file, or of the texts where there is none.
    """

    examples: tuple[Example, ...]
    sha256: str

    @classmethod
    def read(cls, path: str | os.PathLike[str], task: Task[Any], most: int | None = None) -> Shots:
        """The first ``most`` examples of a file, or all, as ``examples_of`` reads it for the task.

        Raises:
            InputNotFoundError, InputInvalidError: as ``open_table`` and ``examples_of``.
            OptionError: ``most`` is below 1.
        """
        table = open_table(str(Path(path).expanduser()))
        examples = tuple(itertools.islice(examples_of(task, table), _checked(most)))
        return cls(examples, table.sha256())

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], task: Task[Any], most: int | None = None) -> Shots:
        """Examples of texts and their answers.

        Raises:
            InputInvalidError: an answer isn't a label of the task.
            OptionError: none at all, or ``most`` is below 1.
        """
        chosen = list(itertools.islice(pairs, _checked(most)))
        if not chosen:
            raise OptionError("shots is empty.", hint="Give at least one text with its answer.")
        examples = tuple(
            Example(Record(text), (task.reference(answer),), line=row)
            for row, (text, answer) in enumerate(chosen, 1)
        )
        return cls(examples, hashlib.sha256(repr(chosen).encode()).hexdigest())

    def before(self, prompt: Prompt, task: Task[Any], options: Any) -> Prompt:
        """A prompt of the task's with the examples before it, and before its priors as well."""
        shown = [(task.prompt(e.record, options), self._target(e, task, options)) for e in self.examples]
        priors = tuple(_behind(shown, prior) for prior in prompt.calibration)
        return dataclasses.replace(_behind(shown, prompt), calibration=priors)

    def pairs(self, task: Task[Any], options: Any) -> list[tuple[str, str]]:
        """The examples' texts, and what the model should write after the task's prompt for them."""
        return [(e.record.text, self._target(e, task, options)) for e in self.examples]

    @staticmethod
    def _target(example: Example, task: Task[Any], options: Any) -> str:
        target = task.target(example.reference, example.record, options)
        return target.rstrip() if task.strips else target


def _checked(most: int | None) -> int | None:
    if most is not None and most < 1:
        raise OptionError(f"max_shots is {most}, must be 1 or more.", hint="Leave the examples out instead.")
    return most


def _behind(shown: Sequence[tuple[Prompt, str]], prompt: Prompt) -> Prompt:
    if not prompt.messages:
        text = "".join(f"{example.text}{example.prefill}{answer}\n\n" for example, answer in shown)
        return dataclasses.replace(prompt, text=text + prompt.text)
    # Instructions and earlier turns are said once: of an example only its question is taken.
    turns = [
        turn
        for example, answer in shown
        for turn in (example.messages[-1], Message("assistant", example.prefill + answer))
    ]
    system = 1 if prompt.messages[0].role == "system" else 0
    return dataclasses.replace(
        prompt, messages=(*prompt.messages[:system], *turns, *prompt.messages[system:])
    )


def shot_tokens(
    task: Task[Any], options: Any, context_length: int, count_tokens: Callable[[Prompt | str], int]
) -> int:
    """Tokens that a task's few-shot examples add to each prompt; 0 for a task without.

    Raises:
        InputTooLongError: they leave no room in the context for a text and its answer.
    """
    if task.adjusted.without_shots is None:
        return 0
    prompt = task.prompt(Record(""), options)
    total = count_tokens(prompt)
    frame = count_tokens(task.adjusted.without_shots.prompt(Record(""), options))
    # As in solve: the answer, and a few tokens of text.
    room = context_length - (16 if prompt.choices else prompt.max_tokens) - frame - 16
    if total - frame > room:
        count = task.adjusted.report["shots"]["count"]
        fitting = count * max(0, room) // max(1, total - frame)
        raise InputTooLongError(
            f"The {count:,} examples take {total - frame:,} tokens; beside the prompt and the answer there is "
            f"room for {max(0, room):,} in the model's context of {context_length:,}.",
            hint=(f"Show fewer: --max-shots {fitting}. " if fitting else "")
            + "Or use shorter ones, or a model with a longer context.",
        )
    return total - frame
