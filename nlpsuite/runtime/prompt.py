"""Prompts and completions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from nlpsuite.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Boundary",
    "Completion",
    "Constraint",
    "FinishReason",
    "Message",
    "Prompt",
    "Sampling",
    "ScoredToken",
    "TokenPiece",
]

MOST_BEAMS = 16

FinishReason = Literal["stop", "length", "sentence", "context", "choice"]

Boundary: TypeAlias = Callable[[str, FinishReason | None], tuple[int, bool]]
"""Where a text ends by its own form, as a block of code does.

It is called with the text generated so far, after each token, and with the reason once generating ends otherwise. It
returns how many characters are certain to stay, never fewer than before, and whether the text ends there. What isn't
certain is held back, and dropped when the text ends. Instances must compare equal if they do the same."""


class Constraint(Protocol):
    """Decides which tokens may follow, as a grammar does. One instance serves one text."""

    def mask(self, logits: npt.NDArray[np.float32]) -> None:
        """Set the logits (V,) of tokens that may not follow to -inf, in place. One token at least stays."""

    def advance(self, token: int) -> None:
        """Take the token that was drawn."""


@dataclass(frozen=True)
class ScoredToken:
    """A token with its probability.

    Attributes:
        id: in the model's vocabulary.
        bytes: its text in UTF-8, which may be a part of a character.
        logprob: its natural log-probability given what precedes it, before temperature, penalties and constraints;
            None if nothing does.
        alternatives: the likeliest tokens in its place, likeliest first; it may be among them.
    """

    id: int
    bytes: bytes
    logprob: float | None
    alternatives: tuple[ScoredToken, ...] = ()

    @property
    def text(self) -> str:
        """By itself, with U+FFFD for a part of a character."""
        return self.bytes.decode("utf-8", "replace")


class TokenPiece(str):
    """A piece of generated text with the tokens drawn since the piece before, if they are recorded."""

    tokens: tuple[ScoredToken, ...]

    def __new__(cls, text: str, tokens: tuple[ScoredToken, ...]) -> TokenPiece:
        piece = super().__new__(cls, text)
        piece.tokens = tokens
        return piece


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. ``content`` is data: it can never become a control token."""

    role: Literal["system", "user", "assistant"]
    content: str

    def __post_init__(self) -> None:
        # A chat template writes the role beside control tokens, so it can't be just any text.
        if self.role not in ("system", "user", "assistant"):
            raise OptionError(f"A message has the role {self.role!r}; it must be system, user or assistant.")


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. The default is greedy decoding.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches p
            (Holtzman et al. 2020, arXiv:1904.09751); 1 keeps all.
        min_p: drop tokens less likely than this fraction of the most likely one
            (Nguyen et al. 2024, arXiv:2407.01082); 0 keeps all.
        repetition_penalty: weakens tokens generated before by this factor (Keskar et al.
            2019, arXiv:1909.05858). Tokens of the prompt are not penalised: a summary
            should use its source's words.
        presence_penalty: subtracted from the logits of tokens generated before.
        frequency_penalty: subtracted from them as often as they were generated; both as OpenAI's API has them.
        copy_bias: added to the logits of tokens that would go on copying a passage of the
            prompt, once two tokens in a row agree with it. Keeps a small model's summary
            close to its source; 0 is off.
        seed: of the random generator; the same prompt and seed give the same text,
            whatever else is in the batch.
        beams: texts that are written side by side, the likeliest beginnings of each length; the text with the
            highest mean log-probability of a token is taken (Graves 2012, arXiv:1211.3711). 1 takes token by token.

    Raises:
        OptionError: a value out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    copy_bias: float = 0.0
    seed: int = 0
    beams: int = 1

    def __post_init__(self) -> None:
        checks = {
            "temperature": (0 <= self.temperature <= 100, "between 0 and 100"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "between 0 and 1"),
            "repetition_penalty": (0.1 <= self.repetition_penalty <= 10, "between 0.1 and 10"),
            "presence_penalty": (-2 <= self.presence_penalty <= 2, "between -2 and 2"),
            "frequency_penalty": (-2 <= self.frequency_penalty <= 2, "between -2 and 2"),
            "copy_bias": (0 <= self.copy_bias <= 100, "between 0 and 100"),
            "seed": (self.seed >= 0, "0 or more"),
            "beams": (1 <= self.beams <= MOST_BEAMS, f"between 1 and {MOST_BEAMS}"),
        }
        for name, (good, range_) in checks.items():
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)}, must be {range_}.")
        if self.beams > 1 and self.temperature > 0:
            raise OptionError(
                f"Beam search takes the likeliest text; it has no use for a temperature of {self.temperature}.",
                hint="Use --temperature 0, or --beams 1.",
            )


@dataclass(frozen=True)
class Prompt:
    """One request to the language model: a conversation or plain text, and how to continue it.

    Attributes:
        messages: the conversation, rendered by the model's chat template. Empty for ``text``.
        text: text to continue verbatim, without a chat template.
        suffix: what follows the text that is generated, for models that have tokens for it
            (see ``nlpsuite.runtime.infilling``); goes with ``text`` only.
        prefill: the beginning of the answer, which the model continues; it is part of the
            completion's text.
        thinking: whether a model whose chat template can switch that on thinks aloud before it answers: not at all, or
            its thoughts are left out of the text (``hide``) or part of it (``show``). They count as generated tokens.
        choices: if given, each is scored as a continuation and nothing is generated.
        calibration: prompts without content; the choices' log-probabilities after them, averaged,
            measure the model's bias towards the words themselves (Zhao et al. 2021,
            arXiv:2102.09690).
        max_tokens: maximum number of tokens to generate.
        sentence_end_after: after this many tokens, stop at the next sentence end.
        stop: strings that end the text; they are not part of it.
        numbers_of: a text; no other numbers than its own are generated. None allows all.
        boundary: ends the text by its form.
        constraint: makes what decides which tokens may follow; called once for each text.
        logprobs: record the generated tokens, and this many alternatives of each; None records none.
        score_prompt: record the prompt's own tokens too, before the generated ones, of which there may then be none.
        sampling: how tokens are drawn.
    """

    messages: tuple[Message, ...] = ()
    text: str = ""
    suffix: str = ""
    prefill: str = ""
    thinking: Literal["off", "hide", "show"] = "off"
    choices: tuple[str, ...] = ()
    calibration: tuple[Prompt, ...] = ()
    max_tokens: int = 256
    sentence_end_after: int | None = None
    stop: tuple[str, ...] = ()
    numbers_of: str | None = None
    boundary: Boundary | None = None
    constraint: Callable[[], Constraint] | None = None
    logprobs: int | None = None
    score_prompt: bool = False
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.max_tokens < (0 if self.score_prompt else 1):
            raise OptionError(f"max_tokens is {self.max_tokens}, must be 1 or more.")
        if self.logprobs is not None and self.logprobs < 0:
            raise OptionError(f"logprobs is {self.logprobs}, must be 0 or more.")
        if self.score_prompt and (self.logprobs is None or self.choices):
            raise OptionError("score_prompt needs logprobs, and goes with no choices.")
        if self.sampling.beams > 1 and (self.constraint or self.logprobs is not None):
            raise OptionError("Beam search goes with no constraint and records no log-probabilities.")
        if self.thinking != "off" and (self.prefill or self.choices or not self.messages):
            raise OptionError(
                "Only an answer in a conversation, written freely, can be preceded by thoughts."
            )
        if any(not s for s in self.stop):
            raise OptionError("A stop string is empty; it would end every text at once.")
        if any(not c.strip() for c in self.choices):
            raise OptionError("A choice is empty.")

    def calibration_prompts(self) -> list[Prompt]:
        """The prompts without content, asked about this prompt's choices."""
        return [replace(prior, choices=self.choices, calibration=()) for prior in self.calibration]


@dataclass(frozen=True)
class Completion:
    """The model's answer to one prompt.

    Attributes:
        text: prefill and generated text, or the likeliest choice.
        finish_reason: why it ended: ``stop`` (end token or stop string), ``sentence`` (see
            ``Prompt.sentence_end_after``), ``length`` (``max_tokens``), ``context`` (the
            model's context is full) or ``choice`` (choices were scored).
        prompt_tokens: tokens read, the prefill's included.
        completion_tokens: tokens generated (0 for choices).
        logprobs: natural log-probability of each choice, in the order of the prompt's.
        calibration_logprobs: the mean of the same after the prompt's calibration prompts; empty without.
        first_token_seconds: from the start of the call to the first generated token.
        tokens: those that ``Prompt.logprobs`` and ``Prompt.score_prompt`` ask for.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int = 0
    logprobs: tuple[float, ...] = ()
    calibration_logprobs: tuple[float, ...] = ()
    first_token_seconds: float | None = None
    tokens: tuple[ScoredToken, ...] = ()

    def at_temperature(self, temperature: float) -> Completion:
        """With the log-probabilities of choices divided by a temperature and normalised over the choices
        (Guo et al. 2017, arXiv:1706.04599). The likeliest choice stays the likeliest. 1 changes nothing.
        """
        if temperature == 1 or not self.logprobs:
            return self
        scaled, calibration = (
            tuple(score / temperature for score in scores)
            for scores in (self.logprobs, self.calibration_logprobs)
        )
        most = max(scaled)
        total = most + math.log(sum(math.exp(score - most) for score in scaled))
        return replace(
            self,
            logprobs=tuple(score - total for score in scaled),
            calibration_logprobs=calibration,
        )
