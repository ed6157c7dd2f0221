"""A user's own prompt for a task: a text with placeholders. docs/prompts.md describes the format.

A template is parsed once, before any text is inserted, so nothing in a text is ever read as a placeholder
or a section line.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nlpsuite.data.record import Record, check_unicode
from nlpsuite.data.text import read_text
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.files import sha256_file
from nlpsuite.options import find_option, option_specs
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.tasks.base import Task

__all__ = ["PromptTemplate", "Section"]

Role = Literal["system", "user", "assistant", "text"]
_SECTION = re.compile(r"--- (\w+) ---[ \t]*")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}|\{([^\W\d]\w*)\}")
_FORMAT = "docs/prompts.md describes the format."


@dataclass(frozen=True)
class Section:
    """One part of a template: what stands under a section line, or a whole file without one.

    Attributes:
        role: who says it; ``text`` is text that the model continues; None where no line says.
        pieces: literal text and names of placeholders in turn, a text first and last.
    """

    role: Role | None
    pieces: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the placeholders, in their order."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        return "".join(values[piece] if i % 2 else piece for i, piece in enumerate(self.pieces))

    def after(self, name: str) -> Section:
        """What follows the placeholder of that name."""
        return Section(self.role, self.pieces[2 * self.names.index(name) + 2 :])


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt with placeholders. Make one with ``PromptTemplate.read`` or ``.parse``.

    Attributes:
        sha256: of the file's bytes, or of the text.
        path: of the file; empty where there is none.
    """

    sections: tuple[Section, ...]
    sha256: str
    path: str = ""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PromptTemplate:
        """The template in a text file.

        Raises:
            InputNotFoundError: no such file, or not readable.
            InputInvalidError: not UTF-8, empty, without ``{text}``, or its sections are in disorder.
        """
        file = Path(path).expanduser()
        return cls._parse(read_text(file), sha256_file(file), os.fspath(path))

    @classmethod
    def parse(cls, text: str) -> PromptTemplate:
        """The template that ``text`` is. Raises InputInvalidError as ``read`` does."""
        check_unicode(text, "The prompt template")
        return cls._parse(text, hashlib.sha256(text.encode()).hexdigest(), "")

    @classmethod
    def _parse(cls, text: str, sha256: str, path: str) -> PromptTemplate:
        origin = _origin(path)
        if not text.strip():
            raise InputInvalidError(f"{origin} is empty.", hint=f"It must have {{text}} in it. {_FORMAT}")
        template = cls(_sections(text.replace("\r\n", "\n"), origin), sha256, path)
        _check_order(template.sections, origin)
        if "text" not in template.names:
            raise InputInvalidError(
                f"{origin} has no {{text}}.", hint="Write {text} where the text to work on belongs."
            )
        _check_shots(template)
        return template

    @property
    def names(self) -> tuple[str, ...]:
        """Of all placeholders, in their order."""
        return tuple(name for section in self.sections for name in section.names)

    @property
    def origin(self) -> str:
        """What messages call it."""
        return _origin(self.path)

    @property
    def takes_shots(self) -> bool:
        """Whether the template says where few-shot examples go, with ``{shots}``."""
        return "shots" in self.names

    def check(self, task: Task[Any]) -> None:
        """Raises InputInvalidError if a placeholder isn't an option of the task, or the task's
        conversations have no place in the template."""
        options = option_specs(task.options)
        known = ["text", "shots", *(spec.public_name for spec in options)]
        for name in self.names:
            if name not in known and name not in [spec.name for spec in options]:
                close = difflib.get_close_matches(name, known, n=1)
                meant = f"Did you mean {{{close[0]}}}? " if close else ""
                raise InputInvalidError(
                    f"{self.origin}: {task.name} has no option for the placeholder {{{name}}}.",
                    hint=f"{meant}Placeholders: {', '.join(f'{{{n}}}' for n in known)}. "
                    f"For the characters {{{name}}} themselves write {{{{{name}}}}}.",
                )
        if task.conversational and self.sections[0].role == "text":
            raise InputInvalidError(
                f"{self.origin} is plain text, which has no place for the turns of a conversation.",
                hint=f"Use the sections --- system --- and --- user --- for {task.name}.",
            )

    def fill(
        self,
        own: Prompt,
        task: Task[Any],
        record: Record,
        options: Any,
        shots: Sequence[tuple[str, str]] = (),
    ) -> Prompt:
        """The template's prompt in place of the task's own, whose choices, limits and sampling stay.

        Args:
            own: the task's own prompt for the record.
            shots: texts and answers that stand where ``{shots}`` is.

        Raises:
            OptionError: a placeholder's option has no value.
        """
        values = self._values(task, options)
        tail = self.question.after("shots") if self.takes_shots else self.question
        values["shots"] = "".join(
            _joined(tail.fill({**values, "text": _content(text, task), "shots": ""}), answer) + "\n\n"
            for text, answer in shots
        )

        def prompt(text: str, history: Sequence[Message]) -> Prompt:
            given = {**values, "text": _content(text, task)}
            return self._prompt(own, [section.fill(given) for section in self.sections], history)

        # Calibration compares the record's text with content-free ones in the same frame.
        texts = task.content_free_texts if own.calibration else ()
        calibration = tuple(
            dataclasses.replace(prompt(text, ()), choices=(), calibration=()) for text in texts
        )
        return dataclasses.replace(prompt(record.text, record.history), calibration=calibration)

    @property
    def question(self) -> Section:
        """The section that the model answers."""
        return next(section for section in reversed(self.sections) if section.role != "assistant")

    def _values(self, task: Task[Any], options: Any) -> dict[str, str]:
        values = {}
        for name in set(self.names) - {"text", "shots"}:
            spec = find_option(task.options, name)
            value = getattr(options, spec.name)
            if value is None:
                flag = spec.public_name.replace("_", "-")
                raise OptionError(
                    f"{self.origin} uses {{{name}}}, which has no value.", hint=f"Give one with --{flag}."
                )
            values[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return values

    def _prompt(self, own: Prompt, contents: Sequence[str], history: Sequence[Message]) -> Prompt:
        """The prompt of the sections' contents."""
        role = self.sections[0].role
        if role == "text" or (role is None and not own.messages):
            return dataclasses.replace(own, messages=(), text=contents[0])
        turns = [Message(s.role or "user", text) for s, text in zip(self.sections, contents)]  # type: ignore[arg-type]
        prefill = turns.pop().content if turns[-1].role == "assistant" else own.prefill
        system = [turns.pop(0)] if turns[0].role == "system" else []
        if history and history[0].role == "system":
            # A conversation may bring its own instructions, as files of examples do.
            system, history = [history[0]], history[1:]
        messages = (*system, *turns[:-1], *history, turns[-1])
        return dataclasses.replace(own, messages=messages, text="", prefill=prefill)


def _content(text: str, task: Task[Any]) -> str:
    return text.strip() if task.strips else text


def _joined(question: str, answer: str) -> str:
    """An example's text: after a text without white space at its end the answer brings its own."""
    apart = not question or question[-1].isspace() or answer[:1].isspace()
    return f"{question}{'' if apart else ' '}{answer}"


def _origin(path: str) -> str:
    return f"The prompt file {path}" if path else "The prompt template"


# From a file's text to sections.


def _sections(text: str, origin: str) -> tuple[Section, ...]:
    parts: list[tuple[Role | None, list[str]]] = [(None, [])]
    for line in text.splitlines(keepends=True):
        match = _SECTION.fullmatch(line.rstrip("\n"))
        if match is None:
            parts[-1][1].append(line)
            continue
        role = match[1].lower()
        if role not in get_args(Role):
            close = difflib.get_close_matches(role, get_args(Role), n=1)
            raise InputInvalidError(
                f"{origin} has an unknown section --- {match[1]} ---.",
                hint=(f"Did you mean --- {close[0]} ---? " if close else "")
                + "Sections: system, user, assistant, text.",
            )
        parts.append((role, []))  # type: ignore[arg-type]
    bodies = [(role, "".join(lines)) for role, lines in parts]
    if len(bodies) == 1:
        return (Section(None, _pieces(bodies[0][1].removesuffix("\n"))),)
    if bodies[0][1].strip():
        raise InputInvalidError(
            f"{origin} has text before its first section.", hint="Begin it with --- user ---."
        )
    return tuple(
        Section(role, _pieces(body.removesuffix("\n") if role == "text" else body.strip("\n")))
        for role, body in bodies[1:]
    )


def _pieces(text: str) -> tuple[str, ...]:
    pieces = [""]
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        pieces[-1] += text[at : match.start()]
        at = match.end()
        if match[1]:
            pieces[-1] += f"{{{match[1]}}}"
        else:
            pieces += [match[2], ""]
    pieces[-1] += text[at:]
    return tuple(pieces)


def _check_order(sections: Sequence[Section], origin: str) -> None:
    roles = [section.role for section in sections]
    if roles in ([None], ["text"]):
        return
    turns = roles[1:] if roles[0] == "system" else roles
    wanted = ["user", "assistant"] * len(turns)
    if not turns or turns != wanted[: len(turns)]:
        raise InputInvalidError(
            f"{origin} has its sections in the order {', '.join(map(str, roles))}.",
            hint="Write system first, if any, then user and assistant in turn. A text section stands alone.",
        )


def _check_shots(template: PromptTemplate) -> None:
    count, names = template.names.count("shots"), template.question.names
    if count and (count > 1 or "shots" not in names or "text" not in names[names.index("shots") :]):
        raise InputInvalidError(
            f"{template.origin}: {{shots}} must occur once, in the last question and before its {{text}}.",
            hint="What follows it there is repeated for each example.",
        )
