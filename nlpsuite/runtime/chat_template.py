"""Chat templates as models bring them: Jinja that writes a conversation as one text.

Templates differ in what they take. Some have no system role, some want the roles to alternate, some let the model
think aloud unless it is switched off, some ignore ``add_generation_prompt``. What a template does is found by trying
it. The rules, helpers and variables are those of transformers' ``apply_chat_template``; tools are never passed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nlpsuite.runtime.prompt import Message
from nlpsuite.runtime.thoughts import CLOSE, OPEN

__all__ = ["ChatTemplate"]

# Names of the switches of Qwen 3, SmolLM3 and others, and of Granite and DeepSeek.
_SWITCHES = ("enable_thinking", "thinking")


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template; see the module's docstring.

    Attributes:
        source: its Jinja.
        variables: what it may use besides the messages, such as ``bos_token``.
        controls: the texts of control tokens.
    """

    source: str
    variables: Mapping[str, str | None]
    controls: Collection[str]

    def render(self, messages: Sequence[Message], *, think: bool = False) -> str:
        """The conversation as text, up to where the model's answer begins.

        Args:
            think: let the model think aloud; if not, one that can is asked not to, since an answer is expected at once.

        Raises:
            Exception: whatever the template raises.
        """
        traits = self._traits
        if not traits.takes_system:
            messages = _without_system(messages)
        try:
            text = self._text(messages, lists=traits.wants_lists, think=think)
        except Exception:  # a template can raise anything
            merged = _alternating(messages)
            if len(merged) == len(messages):
                raise
            text = self._text(merged, lists=traits.wants_lists, think=think)
        text += traits.answer_header
        if text.rstrip().endswith(OPEN) and not think:
            text = f"{text.rstrip()}\n\n{CLOSE}\n\n"
        return text

    @functools.cached_property
    def can_think(self) -> bool:
        """Whether the model thinks aloud if it is let."""
        ask = [Message("user", "question")]
        try:
            return self.render(ask) != self.render(ask, think=True)
        except Exception:  # a template can raise anything; it will again when it is used
            return False

    def _text(
        self, messages: Sequence[Message], *, lists: bool, answer: bool = True, think: bool = False
    ) -> str:
        contents: list[Any] = [
            [{"type": "text", "text": m.content}] if lists else m.content for m in messages
        ]
        turns = [{"role": m.role, "content": content} for m, content in zip(messages, contents)]
        variables = {**self.variables, **dict.fromkeys(_SWITCHES, think)}
        text: str = self._compiled.render(messages=turns, add_generation_prompt=answer, **variables)
        return text

    @functools.cached_property
    def _compiled(self) -> Any:
        return _environment().from_string(self.source)

    @functools.cached_property
    def _traits(self) -> _Traits:
        ask, answer = Message("user", "question"), Message("assistant", "reply")
        traits = _Traits()
        if self._writes([ask], "question") is False and self._writes([ask], "question", lists=True):
            traits = replace(traits, wants_lists=True)
        instruction = [Message("system", "instruction"), ask]
        if not self._writes(instruction, "instruction", lists=traits.wants_lists):
            traits = replace(traits, takes_system=False)
        try:
            asked, closed, answered = (
                self._text(turns, lists=traits.wants_lists, answer=add)
                for turns, add in (([ask], True), ([ask], False), ([ask, answer], False))
            )
        except Exception:  # a template can raise anything; it will again when it is used
            return traits
        # What stands between a question and its answer is the header that the template forgot to add.
        if asked == closed and answered.startswith(closed) and "reply" in answered:
            header = answered[len(closed) : answered.index("reply", len(closed))]
            if any(control in header for control in self.controls):
                return replace(traits, answer_header=header)
        return traits

    def _writes(self, messages: Sequence[Message], word: str, *, lists: bool = False) -> bool | None:
        """Whether the template writes a word of these messages; None if it refuses them."""
        try:
            return word in self._text(messages, lists=lists)
        except Exception:  # a template can raise anything
            return None


@dataclass(frozen=True)
class _Traits:
    """What a template was found to do; ``wants_lists``: contents as lists of typed parts."""

    takes_system: bool = True
    wants_lists: bool = False
    answer_header: str = ""


def _without_system(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation with its system message put before the first user message."""
    if not messages or messages[0].role != "system":
        return messages
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [Message("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:]]
    return [Message("user", system.content), *rest]


def _alternating(messages: Sequence[Message]) -> list[Message]:
    """The conversation with neighbouring messages of one role as one."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = replace(message, content=f"{merged[-1].content}\n\n{message.content}")
        else:
            merged.append(message)
    return merged


@functools.cache
def _environment() -> Any:
    """A sandbox with the helpers that Hugging Face templates use."""
    import datetime

    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks the model's own text for training; here it changes nothing."""

        tags = {"generation"}  # noqa: RUF012  (declared so by jinja2)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment
