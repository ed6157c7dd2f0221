"""A language model without weights, for tests: it gives scripted replies or repeats its prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.bundle import Bundle, Graph
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion, FinishReason, Prompt

__all__ = ["EchoModel"]

# A token is up to five letters or one other character, with the white space before it.
_TOKEN = re.compile(r"\s*\w{1,5}|\s*[^\w\s]|\s+")
_TOKENS_A_MESSAGE = 4  # what a chat template puts around it
_CHOSEN = 0.9  # probability of the choice that a reply names


class EchoModel(LanguageModel):
    """Answers prompts with scripted replies; nothing is loaded, so a test takes milliseconds.

    pipeline = Pipeline(Keywords(), EchoModel(["crab, maze"]))
    assert pipeline("A crab learns a maze.").data["keywords"] == ["crab", "maze"]

    Like a real model it begins a completion with the prompt's ``prefill``, ends it before a stop
    string, at its boundary and after ``max_tokens``, and refuses a prompt longer than its context. Among choices it
    takes the one that the reply names, or else the first.

    Attributes:
        prompts: those it was sent, in order.

    Args:
        replies: the generated texts, one for each prompt; the last one is repeated. Or a function from
            prompt to text. Without any, the model repeats the prompt's text or last message.
        context_length: tokens of prompt and completion together.
        adapter: what the bundle's manifest says of an adapter (docs/bundle.md); None for a base.
    """

    def __init__(
        self,
        replies: Sequence[str] | Callable[[Prompt], str] = (),
        *,
        context_length: int = 2048,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        # Not LanguageModel's own __init__: there is no session and no tokenizer to give it.
        self.bundle = Bundle(
            path=Path("echo"),
            name="echo",
            context_length=context_length,
            end_token_ids=(0,),
            graphs=(Graph("slots", "fp32", "none.onnx"),),
            files={},
            adapter=dict(adapter) if adapter else None,
        )
        self.device = Device("cpu")
        self.prompts: list[Prompt] = []
        self._replies = replies
        self._answered = 0
        self._verification = None

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Tokens of a prompt or a text: about four letters each, and four more per message."""
        if isinstance(prompt, str):
            return len(_tokens(prompt))
        messages = sum(len(_tokens(m.content)) + _TOKENS_A_MESSAGE for m in prompt.messages)
        return messages + sum(len(_tokens(t)) for t in (prompt.text, prompt.suffix, prompt.prefill))

    def stream(
        self, prompts: Sequence[Prompt], cancelled: Callable[[], bool] | None = None
    ) -> Generator[tuple[int, str | Completion], None, None]:
        """Yield each reply token by token, then its completion.

        Raises:
            concurrent.futures.CancelledError: ``cancelled`` said yes.
            InputTooLongError: a prompt leaves no room in the context for an answer.
        """
        for index, prompt in enumerate(prompts):
            if cancelled and cancelled():
                raise CancelledError
            for asked in (prompt, *prompt.calibration_prompts()):
                self._check_length(asked)
            self.prompts.append(prompt)
            reply = self._reply(prompt)
            if prompt.choices:
                yield index, self._scored(prompt, reply)
                continue
            text, finish = _bounded(prompt, *self._ended(prompt, reply))
            pieces = [prompt.prefill, *_tokens(text)]
            yield from ((index, piece) for piece in pieces if piece)
            count, length = self.count_tokens(prompt), len(_tokens(text))
            yield index, Completion(prompt.prefill + text, finish, count, length, first_token_seconds=0.0)

    def token_logprobs(self, text: str) -> npt.NDArray[np.float64]:
        """Every token after the first has a probability of one half."""
        return np.full(max(0, len(_tokens(text)) - 1), math.log(0.5))

    def _check_length(self, prompt: Prompt) -> None:
        tokens = self.count_tokens(prompt)
        tokens += max((len(_tokens(choice)) for choice in prompt.choices), default=1)
        if tokens > self.context_length:
            raise InputTooLongError(
                f"The prompt has {tokens:,} tokens; the model's context is {self.context_length:,}.",
                hint="Shorten the input.",
            )

    def _reply(self, prompt: Prompt) -> str:
        self._answered += 1
        if callable(self._replies):
            return self._replies(prompt)
        if self._replies:
            return self._replies[min(self._answered, len(self._replies)) - 1]
        return prompt.messages[-1].content if prompt.messages else prompt.text

    def _ended(self, prompt: Prompt, reply: str) -> tuple[str, FinishReason]:
        """The reply up to the first stop string or the last token that fits."""
        ends = [at for stop in prompt.stop if (at := reply.find(stop)) >= 0]
        text = reply[: min(ends)] if ends else reply
        tokens = _tokens(text)
        room = min(prompt.max_tokens, self.context_length - self.count_tokens(prompt))
        if len(tokens) <= room:
            return text, "stop"
        return "".join(tokens[:room]), "length" if room == prompt.max_tokens else "context"

    def _scored(self, prompt: Prompt, reply: str) -> Completion:
        named = [choice.strip().casefold() for choice in prompt.choices]
        wanted = reply.strip().casefold()
        chosen = named.index(wanted) if wanted in named else 0
        others = math.log((1 - _CHOSEN) / max(1, len(named) - 1))
        return Completion(
            text=prompt.choices[chosen],
            finish_reason="choice",
            prompt_tokens=self.count_tokens(prompt),
            logprobs=tuple(math.log(_CHOSEN) if i == chosen else others for i in range(len(named))),
            calibration_logprobs=(-math.log(len(named)),) * len(named) if prompt.calibration else (),
        )


def _bounded(prompt: Prompt, text: str, finish: FinishReason) -> tuple[str, FinishReason]:
    """A text up to where the prompt's boundary ends it."""
    if prompt.boundary is None:
        return text, finish
    at = 0
    for token in _tokens(text):
        at += len(token)
        settled, ended = prompt.boundary(text[:at], None)
        if ended:
            return text[:settled], "stop"
    return text[: prompt.boundary(text, finish)[0]], finish


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)
