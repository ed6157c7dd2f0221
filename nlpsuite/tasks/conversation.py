"""Conversations with a task: their turns, fitting them into the context, and saving them to files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpsuite.data.record import Record, check_unicode
from nlpsuite.errors import InputInvalidError, InputNotFoundError, OptionError, StorageError
from nlpsuite.files import atomic_write_text
from nlpsuite.options import make_options, option_specs
from nlpsuite.runtime.prompt import Message
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Result

__all__ = ["Conversation", "Turn"]

_FORMAT, _VERSION = "nlpsuite-conversation", 1


@dataclasses.dataclass(frozen=True)
class Turn:
    """A message and its answer."""

    question: str
    answer: str


class Conversation:
    """The turns of a conversation and what comes next, independent of a terminal.

    When the turns no longer fit into the model's context, the oldest are no longer shown to it; the
    instructions always are. All turns remain available to ``save`` and ``undo``.

    Attributes:
        turns: oldest first.
        options: of the task, in place of the pipeline's; a loaded conversation brings its own.
        hidden: how many of the oldest turns the model no longer sees.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._system: str | None = None
        self._tries = 0  # answers asked for again in a row
        self.turns: list[Turn] = []
        self.options: dict[str, Any] = {}
        self.hidden = 0

    @property
    def system(self) -> str:
        """The instructions that hold for the whole conversation: its own, else the task's."""
        if self._system is not None:
            return self._system
        own = getattr(self._pipeline.options, "system", "")
        return own if isinstance(own, str) else ""

    @system.setter
    def system(self, text: str) -> None:
        check_unicode(text, "The instructions")
        self._system = text

    def ask(
        self,
        text: str,
        on_text: Callable[[str], None] = lambda piece: None,
        on_notice: Callable[[str], None] = lambda notice: None,
    ) -> Result:
        """Answer a message; both become a turn, unless it fails or is interrupted.

        Args:
            on_text: called with pieces of the answer as they come.
            on_notice: called each time turns drop out of what the model sees.

        Raises:
            InputTooLongError: the message is too long by itself.
            NlpsuiteError: see ``Pipeline.run``.
        """
        result = self._answer(text, self.turns, self.options, on_text, on_notice)
        self.turns.append(Turn(text, result.output.text))
        self._tries = 0
        return result

    def retry(
        self,
        on_text: Callable[[str], None] = lambda piece: None,
        on_notice: Callable[[str], None] = lambda notice: None,
    ) -> Result:
        """Answer the last message again, with other random draws; see ``ask``.

        The old answer stays until the new one is there. A temperature of 0 draws nothing, so the answer
        will be the same.

        Raises:
            InputInvalidError: nothing has been asked.
        """
        last = self._last()
        options = dict(self.options)
        if self._has_option("seed"):
            seed = options.get("seed", getattr(self._pipeline.options, "seed", None)) or 0
            options["seed"] = seed + self._tries + 1
        result = self._answer(last.question, self.turns[:-1], options, on_text, on_notice)
        self.turns[-1] = Turn(last.question, result.output.text)
        self._tries += 1
        return result

    def undo(self) -> Turn:
        """Take back the last turn. Raises InputInvalidError if there is none."""
        self._last()
        # Turns that were hidden to make room for it may be visible again.
        self.hidden = self._tries = 0
        return self.turns.pop()

    def clear(self) -> None:
        """Forget all turns; instructions and options stay."""
        self.turns = []
        self.hidden = self._tries = 0

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the conversation to a JSON file, whole or not at all.

        Raises:
            StorageError: the file exists and ``overwrite`` is false, or can't be written.
        """
        if path.is_dir():
            raise StorageError(f"{path} is a directory.", hint="Name a file.")
        if path.exists() and not overwrite:
            raise StorageError(f"{path} exists.", hint="Use /save! to replace it, or another name.")
        bundle = self._pipeline.model.bundle
        options = {**dataclasses.asdict(self._pipeline.options), **self.options}
        options.pop("system", None)  # it is the first message
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "task": self._pipeline.task.name,
            "model": {"name": bundle.name, "fingerprint": bundle.fingerprint},
            "options": options,
            "messages": [dataclasses.asdict(m) for m in (*self._instructions(), *_messages(self.turns))],
        }
        atomic_write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    def load(self, path: Path) -> list[str]:
        """Resume a saved conversation in place of this one, which stays if that fails.

        Returns:
            What the user should know: another model, other options than before.

        Raises:
            InputNotFoundError: the file can't be read.
            InputInvalidError: it is damaged or holds something else.
        """
        content = _read(path)
        if content["task"] != self._pipeline.task.name:
            raise InputInvalidError(
                f"{path} is a conversation with {content['task']}, not with {self._pipeline.task.name}.",
                hint=f"Start `nlpsuite run {content['task']}` and load it there.",
            )
        system, turns = _turns(content["messages"], path)
        options = {name: value for name, value in content["options"].items() if name != "system"}
        try:
            make_options(self._pipeline.task.options, options)
        except OptionError as error:
            raise InputInvalidError(f"{path} is damaged: {error.message}") from None
        notices = []
        model = self._pipeline.model.bundle
        if content["model"].get("fingerprint") != model.fingerprint:
            notices.append(
                f"It was held with {content['model'].get('name')} and continues with {model.name}."
            )
        now = {**dataclasses.asdict(self._pipeline.options), **self.options}
        changed = [f"{k}={v}" for k, v in options.items() if now.get(k) != v]
        if changed:
            notices.append(f"Its options apply from here: {', '.join(changed)}.")
        self._system, self.turns, self.options = system, turns, options
        self.hidden = self._tries = 0
        return notices

    def _last(self) -> Turn:
        if not self.turns:
            raise InputInvalidError("Nothing has been said yet.", hint="Type a message first.")
        return self.turns[-1]

    def _instructions(self) -> tuple[Message, ...]:
        return (Message("system", self.system),) if self.system else ()

    def _answer(
        self,
        text: str,
        turns: list[Turn],
        options: dict[str, Any],
        on_text: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> Result:
        if self._has_option("system"):
            options = {**options, "system": self.system}
        hidden = self._fitting(text, turns, options)
        if hidden is None:
            turns = []  # the message is too long by itself: the task decides what happens
        else:
            if dropped := max(0, hidden - self.hidden):
                oldest = "oldest turn" if dropped == 1 else f"oldest {dropped} turns"
                on_notice(
                    f"The conversation is longer than the model's context; it no longer sees the {oldest}."
                )
            self.hidden, turns = hidden, turns[hidden:]
        return self._pipeline.run(self._record(text, turns), on_text, on_notice, **options)

    def _fitting(self, text: str, turns: list[Turn], options: dict[str, Any]) -> int | None:
        """How many of the oldest turns to hide so that the rest fits; None if the message alone doesn't."""
        task, model = self._pipeline.task, self._pipeline.model
        for hidden in range(min(self.hidden, len(turns)), len(turns) + 1):
            prompt = self._pipeline.prompt(self._record(text, turns[hidden:]), **options)
            room = model.context_length - prompt.max_tokens
            if model.count_tokens(prompt) <= min(room, task.max_prompt_tokens or room):
                return hidden
        return None

    def _record(self, text: str, turns: list[Turn]) -> Record:
        own = () if self._has_option("system") else self._instructions()
        return Record(text, (*own, *_messages(turns)))

    def _has_option(self, name: str) -> bool:
        return any(spec.name == name for spec in option_specs(self._pipeline.task.options))


def _messages(turns: list[Turn]) -> list[Message]:
    return [m for t in turns for m in (Message("user", t.question), Message("assistant", t.answer))]


def _read(path: Path) -> dict[str, Any]:
    """A conversation's file as JSON, its outer form checked."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputNotFoundError(f"There is no file {path}.", hint="Check the name.") from None
    except OSError as error:
        raise InputNotFoundError(f"Can't read {path}: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise InputInvalidError(
            f"{path} is not a saved conversation: it is not JSON.", hint="/save writes one."
        ) from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputInvalidError(f"{path} is not a saved conversation.", hint="/save writes one.")
    if content.get("version") != _VERSION:
        raise InputInvalidError(
            f"{path} has version {content.get('version')!r} of the format; this nlpsuite reads {_VERSION}.",
            hint="Load it with the nlpsuite that saved it, or a newer one.",
        )
    kinds = {"task": str, "model": dict, "options": dict, "messages": list}
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            raise InputInvalidError(f"{path} is damaged: {key!r} is missing or of the wrong kind.")
    return content


def _turns(messages: list[Any], path: Path) -> tuple[str, list[Turn]]:
    """The instructions and the turns of a list of messages.

    Raises:
        InputInvalidError: not messages, or questions and answers don't alternate.
    """
    for number, message in enumerate(messages, 1):
        good = isinstance(message, dict) and all(isinstance(message.get(k), str) for k in ("role", "content"))
        if not good:
            raise InputInvalidError(f"{path} is damaged: message {number} has no role and content.")
        check_unicode(message["content"], f"Message {number} of {path}")
    begins = bool(messages) and messages[0]["role"] == "system"
    system = messages[0]["content"] if begins else ""
    said = messages[1:] if begins else messages
    if [m["role"] for m in said] != ["user", "assistant"] * (len(said) // 2):
        raise InputInvalidError(f"{path} is damaged: its questions and answers don't alternate.")
    return system, [Turn(q["content"], a["content"]) for q, a in zip(said[::2], said[1::2])]
