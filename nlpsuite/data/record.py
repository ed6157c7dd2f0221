"""The record that a task works on, and the columns that files of examples usually have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nlpsuite.errors import InputInvalidError
from nlpsuite.runtime.prompt import Message

__all__ = ["Columns", "Record", "check_unicode"]


@dataclass(frozen=True)
class Record:
    """One input of a task.

    Attributes:
        text: the input text; for a conversation, the newest message.
        history: earlier turns of a conversation, oldest first.
        fields: the texts that the text was made of, by column, where a row of a table has several.
    """

    text: str
    history: tuple[Message, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_unicode(self.text, "The text")


@dataclass(frozen=True)
class Columns:
    """Where files of examples usually keep a task's texts and reference answers.

    Attributes:
        text: names of the column with the input text, the likeliest first.
        reference: of the column with the reference answer.
        messages: of a column with a whole conversation in place of the two; it goes first.
    """

    text: tuple[str, ...] = ("text",)
    reference: tuple[str, ...] = ("target", "reference")
    messages: tuple[str, ...] = ()


def check_unicode(text: str, name: str) -> None:
    """Raises InputInvalidError if ``text`` has a lone surrogate, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputInvalidError(
            f"{name} has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start:,}.",
            hint="It was decoded wrongly: pass valid UTF-8, or use a file and --encoding.",
        ) from None
