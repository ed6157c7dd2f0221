"""Conversations in a column: lists of messages, as chat files, ShareGPT exports and the OpenAI API have them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from nlpsuite.data.lines import shortened
from nlpsuite.data.record import Record, check_unicode
from nlpsuite.errors import InputInvalidError
from nlpsuite.runtime.prompt import Message

__all__ = ["answered_turns", "last_answer", "open_question", "read_messages", "refused"]

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
_HINT = 'A conversation is [{"role": "system" | "user" | "assistant", "content": "…"}, …].'


def refused(name: str, value: Any, why: str, hint: str = _HINT) -> InputInvalidError:
    """The error of a value that can't be used, by its path in the row."""
    return InputInvalidError(f"{name} is {shortened(value)}; it {why}.", hint=hint)


def read_messages(value: Any, place: str = "messages") -> list[Message]:
    """The messages of a list, also of one in JSON as files without types have it.

    Args:
        place: of the list in the row, for messages.

    Raises:
        InputInvalidError: it isn't a list of messages with a role and a text each.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list) or not value:
        raise refused(place, value, "must be a list of messages")
    messages = []
    for i, entry in enumerate(value):
        at = f"{place}[{i}]"
        if not isinstance(entry, dict):
            raise refused(at, entry, "must be an object with role and content")
        role = entry.get("role", entry.get("from"))
        if not isinstance(role, str) or role not in _ROLES:
            raise refused(f"{at}.role", role, f"must be one of {', '.join(_ROLES)}")
        content = _content(entry.get("content", entry.get("value")), f"{at}.content")
        check_unicode(content, f"{at}.content")
        messages.append(Message(_ROLES[role], content))  # type: ignore[arg-type]
    return messages


def _content(value: Any, place: str) -> str:
    """A message's text, which may come in pieces."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise refused(place, value, "must be a text")
    texts = []
    for i, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else part
        if kind != "text" or not isinstance(part.get("text"), str):
            raise refused(f"{place}[{i}].type", kind, 'is not supported; only "text" is')
        texts.append(part["text"])
    return "".join(texts)


def open_question(messages: Sequence[Message], place: str = "messages") -> Record:
    """The record of a conversation: the user's last message, with what came before it as its history. An
    answer at the end is left out, so that it can be compared with the model's.
    """
    turns = messages[:-1] if messages[-1].role == "assistant" else messages
    if not turns or turns[-1].role != "user":
        raise refused(place, messages[-1].role, "must end with a message of the user's, or an answer to one")
    if not turns[-1].content.strip():
        raise refused(place, turns[-1].content, "must end with a message that is not empty")
    return Record(turns[-1].content, tuple(turns[:-1]))


def last_answer(messages: Sequence[Message], place: str = "messages") -> str:
    """The answer that a conversation ends with."""
    if messages[-1].role != "assistant":
        raise refused(place, messages[-1].role, "must end with an answer of the assistant's")
    return messages[-1].content


def answered_turns(messages: Sequence[Message], place: str = "messages") -> Iterator[tuple[Record, str]]:
    """Each answer in a conversation, with the record that it answers."""
    ends = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if not ends:
        raise refused(place, messages[-1].role, "has no answer of the assistant's")
    for i in ends:
        yield open_question(messages[: i + 1], place), messages[i].content
