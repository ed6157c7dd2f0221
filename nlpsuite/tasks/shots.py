"""Few-shot examples: records with correct answers that the model is shown before the question.

An example takes the form that the task's own ``prompt`` and ``target`` give it, so it looks like the question
that follows: an earlier turn of a conversation, or a text before a blank line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.data.examples import Example, examples_of
from nlpsuite.data.record import Record
from nlpsuite.data.sources import open_table
from nlpsuite.errors import OptionError
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.tasks.base import Task

__all__ = ["Shots", "ShotsSource", "show_before"]

ShotsSource = str | os.PathLike[str] | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Shots:
    """Examples to show. Make one with ``Shots.read``.

    Attributes:
        sha256: of the file, or of the texts where there is none.
        path: of the file; empty where there is none.
    """

    examples: tuple[Example, ...]
    sha256: str
    path: str = ""

    @classmethod
    def read(cls, source: ShotsSource, task: Task[Any], most: int | None = None) -> Shots:
        """The first ``most`` examples for a task, or all.

        Args:
            source: a file, which is read as for training, or texts with their answers.

        Raises:
            InputNotFoundError, InputInvalidError: as ``open_table`` and ``examples_of``, or an answer is not
                a label of the task.
            OptionError: there are none, or ``most`` is below 1.
        """
        if most is not None and most < 1:
            raise OptionError(
                f"max_shots is {most}, must be 1 or more.", hint="Leave the examples out instead."
            )
        if isinstance(source, (str, os.PathLike)):
            table = open_table(str(Path(source).expanduser()))
            examples = tuple(itertools.islice(examples_of(task, table), most))
            return cls(examples, table.sha256(), os.fspath(source))
        pairs = list(itertools.islice(source, most))
        if not pairs:
            raise OptionError("shots is empty.", hint="Give at least one text with its answer.")
        examples = tuple(
            Example(Record(text), (task.reference(answer),), line=row)
            for row, (text, answer) in enumerate(pairs, 1)
        )
        return cls(examples, hashlib.sha256(repr(pairs).encode()).hexdigest())


def show_before(prompt: Prompt, shown: Sequence[tuple[Prompt, str]]) -> Prompt:
    """A prompt with examples before it, and before its calibration prompts.

    Args:
        shown: the prompt of each example, and what the model should write after it.
    """
    calibration = tuple(show_before(other, shown) for other in prompt.calibration)
    if not prompt.messages:
        text = "".join(f"{example.text}{example.prefill}{answer}\n\n" for example, answer in shown)
        return dataclasses.replace(prompt, text=text + prompt.text, calibration=calibration)
    # Instructions and earlier turns are given once: of an example only its question is taken.
    turns = [
        turn
        for example, answer in shown
        for turn in (example.messages[-1], Message("assistant", example.prefill + answer))
    ]
    system = 1 if prompt.messages[0].role == "system" else 0
    messages = (*prompt.messages[:system], *turns, *prompt.messages[system:])
    return dataclasses.replace(prompt, messages=messages, calibration=calibration)
