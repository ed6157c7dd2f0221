"""OpenAI's requests for completions as prompts of the runtime.

What isn't supported is refused by name: an ignored setting would change results silently.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nlpsuite.errors import NlpsuiteError, RequestError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Message, Prompt, Sampling
from nlpsuite.serve.grammar import constraint_of

__all__ = ["IGNORED", "CompletionRequest", "read_chat", "read_completion"]

_SAMPLING = (
    "temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip
_LIMITS = ("max_tokens", "max_completion_tokens", "n", "stop")
_SHARED = {*_SAMPLING, *_LIMITS, "top_k", "seed", "model", "stream", "stream_options", "logprobs", "user"}
_CHAT = _SHARED | {"messages", "top_logprobs", "response_format"}
_TEXT = _SHARED | {"prompt", "echo", "suffix", "best_of"}
# Without effect on one model that sees one request, or at these values.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "modalities": (["text"],),
}
IGNORED = {
    "store",
    "metadata",
    "service_tier",
    "parallel_tool_calls",
    "safety_identifier",
    "prompt_cache_key",
}
"""Fields that clients send and that change nothing here."""
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_MOST = 2**63 - 1
_MOST_CHOICES, _MOST_ALTERNATIVES, _MOST_STOPS = 128, 20, 16
# Of a conversation's turn, as of the task `chat`; of a text, as OpenAI's.
_TURN_TOKENS, _TEXT_TOKENS = 512, 16


@dataclass(frozen=True)
class CompletionRequest:
    """A request, read.

    Attributes:
        prompts: to be completed, for each text or conversation of the request ``n`` of them.
        n: completions of each.
        logprobs: alternatives of each token to report; None reports no tokens.
        usage: whether a stream ends with the numbers of tokens.
        echo: whether a completion begins with its prompt, and the prompt's own tokens are scored.
    """

    prompts: tuple[Prompt, ...]
    n: int
    logprobs: int | None
    stream: bool
    usage: bool
    echo: bool = False


def read_chat(body: Mapping[str, Any], model: LanguageModel, most_tokens: int) -> CompletionRequest:
    """A request to ``/v1/chat/completions``. Raises RequestError."""
    fields = _Fields(body, _CHAT)
    alternatives: int | None = None
    if fields.boolean("logprobs"):
        alternatives = fields.integer("top_logprobs", 0, 0, _MOST_ALTERNATIVES)
    messages = tuple(_message(item, i) for i, item in enumerate(fields.list("messages", dict)))
    if not messages:
        raise RequestError("messages is empty.", param="messages")
    form = body.get("response_format") or {"type": "text"}
    if not isinstance(form, dict):
        raise RequestError("response_format must be an object.", param="response_format")
    limit = fields.integer("max_tokens", min(_TURN_TOKENS, most_tokens), 1, most_tokens)
    limit = fields.integer("max_completion_tokens", limit, 1, most_tokens)
    settings = {"max_tokens": limit, "logprobs": alternatives, **_settings(fields, model.suggested_sampling)}
    if form.get("type") == "choice":
        choices = form.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, str) and c.strip() for c in choices):
            raise RequestError("choices must be texts.", param="response_format")
        prompt = _prompt(messages=messages, choices=tuple(choices))
    else:
        prompt = _prompt(messages=messages, constraint=constraint_of(form, model), **settings)
    return _request(fields, body, [prompt], alternatives)


def read_completion(body: Mapping[str, Any], most_tokens: int, most_prompts: int) -> CompletionRequest:
    """A request to ``/v1/completions``. Raises RequestError."""
    fields = _Fields(body, _TEXT)
    given = body.get("prompt", "")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError("prompt must be a text or a list of texts.", param="prompt")
    if len(texts) > most_prompts:
        raise RequestError(f"{len(texts):,} prompts are more than {most_prompts:,}.", param="prompt")
    alternatives = None
    if body.get("logprobs") is not None and body["logprobs"] is not False:  # 0 asks for no alternatives
        alternatives = fields.integer("logprobs", 0, 0, _MOST_ALTERNATIVES)
    echo = fields.boolean("echo")
    # With echo the prompt alone may be scored.
    limit = fields.integer("max_tokens", min(_TEXT_TOKENS, most_tokens), 0 if echo else 1, most_tokens)
    score = echo and (alternatives is not None or limit == 0)
    fields.integer("best_of", 1, 1, 1)
    settings = {
        "max_tokens": limit,
        "suffix": fields.string("suffix"),
        "logprobs": alternatives or 0 if score else alternatives,
        "score_prompt": score,
        **_settings(fields),
    }
    return _request(fields, body, [_prompt(text=text, **settings) for text in texts], alternatives, echo=echo)


def _request(
    fields: _Fields, body: Mapping[str, Any], prompts: list[Prompt], logprobs: int | None, **values: Any
) -> CompletionRequest:
    n = fields.integer("n", 1, 1, _MOST_CHOICES)
    seeded = tuple(
        replace(prompt, sampling=replace(prompt.sampling, seed=prompt.sampling.seed + i))
        for prompt in prompts
        for i in range(n)
    )
    stream = fields.boolean("stream")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise RequestError("stream_options must be an object.", param="stream_options")
    usage = bool(options.get("include_usage"))
    return CompletionRequest(seeded, n, logprobs, stream, usage, **values)


def _settings(fields: _Fields, suggested: Sampling | None = None) -> dict[str, Any]:
    """Settings of a prompt; what the request leaves out is as the model's makers suggest, or greedy."""
    default = suggested or Sampling()
    given: dict[str, Any] = {name: value for name in _SAMPLING if (value := fields.number(name)) is not None}
    given["top_k"] = fields.integer("top_k", default.top_k, 0, _MOST)
    # Without a seed, another answer each time.
    given["seed"] = fields.integer("seed", secrets.randbits(32), -_MOST, _MOST) % _MOST
    stop = fields.body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if (
        not isinstance(stops, list)
        or len(stops) > _MOST_STOPS
        or not all(isinstance(s, str) and s for s in stops)
    ):
        raise RequestError(f"stop must be up to {_MOST_STOPS} texts.", param="stop")
    try:
        return {"sampling": replace(default, **given), "stop": tuple(stops)}
    except NlpsuiteError as error:
        raise RequestError(error.message) from None


def _prompt(**values: Any) -> Prompt:
    try:
        return Prompt(**values)
    except NlpsuiteError as error:
        raise RequestError(error.message, hint=error.hint) from None


def _message(item: dict[str, Any], at: int) -> Message:
    where = f"messages[{at}]"
    role = item.get("role")
    if role not in _ROLES:
        raise RequestError(
            f"{where}: role {role!r} is not supported.", hint="Roles: system, user, assistant.", param=where
        )
    content = item.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(content, str):
        raise RequestError(f"{where}: content must be a text.", param=where)
    return Message(_ROLES[role], content)  # type: ignore[arg-type]


class _Fields:
    """Reads a request's fields, and refuses those that would be ignored."""

    def __init__(self, body: Mapping[str, Any], known: set[str]) -> None:
        self.body = body
        for name, value in body.items():
            if name in known or name in IGNORED or value is None or value in _HARMLESS.get(name, ()):
                continue
            raise RequestError(f"{name} is not supported.", hint="Leave it out.", param=name)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.body.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise RequestError(f"{name} must be a whole number from {least:,} to {most:,}.", param=name)
        return value

    def number(self, name: str) -> float | None:
        value = self.body.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise RequestError(f"{name} must be a number.", param=name)
        return value

    def boolean(self, name: str) -> bool:
        value = self.body.get(name) or False
        if not isinstance(value, bool):
            raise RequestError(f"{name} must be true or false.", param=name)
        return value

    def string(self, name: str) -> str:
        value = self.body.get(name) or ""
        if not isinstance(value, str):
            raise RequestError(f"{name} must be a text.", param=name)
        return value

    def list(self, name: str, kind: type) -> list[Any]:
        value = self.body.get(name)
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise RequestError(f"{name} must be a list.", param=name)
        return value
