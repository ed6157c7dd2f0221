"""OpenAI's endpoints: /v1/models, /v1/chat/completions, /v1/completions.

Source: the reference of OpenAI's API, platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nlpsuite.errors import ModelNotServedError, RequestError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion, ScoredToken, TokenPiece
from nlpsuite.serve.openai_request import CompletionRequest, read_chat, read_completion
from nlpsuite.serve.responses import body_of, event_stream, unless_gone
from nlpsuite.serve.runner import Cancelled
from nlpsuite.serve.service import Service

__all__ = ["openai_routes"]

_FINISHED = {"stop": "stop", "sentence": "stop", "choice": "stop", "length": "length", "context": "length"}


@dataclass(frozen=True)
class _Kind:
    """The two kinds of completions, which differ in the form of their answers.

    Attributes:
        prefix: of ids.
        object, chunk: names of a whole answer and of a piece in a stream.
    """

    chat: bool
    prefix: str
    object: str
    chunk: str

    def choice(
        self, index: int, text: str, finished: str | None, logprobs: Any, *, piece: bool
    ) -> dict[str, Any]:
        choice = {"index": index, "finish_reason": finished, "logprobs": logprobs}
        if not self.chat:
            return {**choice, "text": text}
        message = {"content": text} if piece else {"role": "assistant", "content": text, "refusal": None}
        return {**choice, "delta" if piece else "message": message}

    def logprobs(self, tokens: Sequence[ScoredToken], offset: int = 0) -> Any:
        """The log-probabilities of tokens, the first of which begins at an offset of the text."""
        if self.chat:
            return {"content": [_chat_token(token) for token in tokens], "refusal": None}
        text, offsets = b"", []
        for token in tokens:
            offsets.append(offset + len(text.decode("utf-8", "ignore")))
            text += token.bytes
        return {
            "tokens": [_text_token(token) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                {_text_token(other): other.logprob for other in token.alternatives} or None
                for token in tokens
            ],
            "text_offset": offsets,
        }


_CHAT = _Kind(True, "chatcmpl", "chat.completion", "chat.completion.chunk")
_TEXT = _Kind(False, "cmpl", "text_completion", "text_completion")


def _chat_token(token: ScoredToken) -> dict[str, Any]:
    def entry(token: ScoredToken) -> dict[str, Any]:
        return {"token": _shown(token), "logprob": token.logprob, "bytes": list(token.bytes)}

    return {**entry(token), "top_logprobs": [entry(other) for other in token.alternatives]}


def _text_token(token: ScoredToken) -> str:
    shown = _shown(token)
    return shown if shown == token.text else f"bytes:{shown}"


def _shown(token: ScoredToken) -> str:
    """A token's text, or the bytes of a part of a character, so that different tokens look different."""
    try:
        return token.bytes.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in token.bytes)


def openai_routes(service: Service) -> list[Route]:
    """The endpoints of the module."""

    # Starlette runs these two in threads: the first may build a model.
    def models(request: Request) -> Response:
        names = service.models.names()
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    def model(request: Request) -> Response:
        name = request.path_params["model"]
        if name not in service.models.names():
            raise ModelNotServedError(f"The model {name!r} is not served.", hint="GET /v1/models lists them.")
        return JSONResponse(_model(name))

    async def chat(request: Request) -> Response:
        return await _complete(service, request, _CHAT)

    async def text(request: Request) -> Response:
        return await _complete(service, request, _TEXT)

    return [
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", model, methods=["GET"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", text, methods=["POST"]),
    ]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "nlpsuite"}


async def _complete(service: Service, request: Request, kind: _Kind) -> Response:
    body = await body_of(request)
    name = body.get("model") or ""
    if not isinstance(name, str):
        raise RequestError("model must be a text.", param="model")
    head = {"id": f"{kind.prefix}-{uuid.uuid4().hex}", "created": int(time.time())}
    if body.get("stream") is True:
        chunks = service.started(lambda cancelled: _chunks(service, name, body, kind, head, cancelled))
        return event_stream(await unless_gone(request, chunks), _data, _data)

    def work(cancelled: Cancelled) -> Generator[dict[str, Any], None, None]:
        with service.models.base(name) as model:
            asked = _read(service, model, body, kind)
            yield {**head, **_answer(service, model, asked, kind, cancelled)}

    return JSONResponse(await unless_gone(request, service.runner.first(work)))


def _data(event: Any) -> str:
    return f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n"


def _read(service: Service, model: LanguageModel, body: Mapping[str, Any], kind: _Kind) -> CompletionRequest:
    settings = service.settings
    if kind.chat:
        return read_chat(body, model, settings.max_tokens)
    return read_completion(body, settings.max_tokens, settings.max_batch)


def _answer(
    service: Service, model: LanguageModel, asked: CompletionRequest, kind: _Kind, cancelled: Cancelled
) -> dict[str, Any]:
    with closing(model.stream(asked.prompts, cancelled)) as events:
        done = {i: event for i, event in events if isinstance(event, Completion)}
    choices, read, written = [], 0, 0
    for i, prompt in enumerate(asked.prompts):
        completion = done[i]
        text = prompt.text + completion.text if asked.echo else completion.text
        logprobs = kind.logprobs(completion.tokens) if asked.logprobs is not None else None
        choices.append(kind.choice(i, text, _FINISHED[completion.finish_reason], logprobs, piece=False))
        read += completion.prompt_tokens if i % asked.n == 0 else 0
        written += completion.completion_tokens
    service.metrics.tokens(read, written)
    usage = _usage(read, written)
    return {**_about(model), "object": kind.object, "choices": choices, "usage": usage}


def _chunks(
    service: Service,
    name: str,
    body: Mapping[str, Any],
    kind: _Kind,
    head: Mapping[str, Any],
    cancelled: Cancelled,
) -> Generator[dict[str, Any] | str, None, None]:
    with service.models.base(name) as model:
        asked = _read(service, model, body, kind)
        common = {**head, **_about(model), "object": kind.chunk}
        if asked.usage:
            common["usage"] = None
        if kind.chat:
            for i in range(len(asked.prompts)):
                first = kind.choice(i, "", None, None, piece=True)
                first["delta"]["role"] = "assistant"
                yield {**common, "choices": [first]}
        elif asked.echo:
            for i, prompt in enumerate(asked.prompts):
                yield {**common, "choices": [kind.choice(i, prompt.text, None, None, piece=True)]}
        read = written = 0
        sent = [0] * len(asked.prompts)  # tokens
        length = [len(prompt.text) if asked.echo else 0 for prompt in asked.prompts]
        with closing(model.stream(asked.prompts, cancelled)) as events:
            for i, event in events:
                if isinstance(event, str):
                    tokens = event.tokens if isinstance(event, TokenPiece) else ()
                    logprobs = kind.logprobs(tokens, length[i]) if asked.logprobs is not None else None
                    yield {**common, "choices": [kind.choice(i, event, None, logprobs, piece=True)]}
                    sent[i] += len(tokens)
                    length[i] += len(event)
                    continue
                # A choice comes as a whole.
                text = event.text if event.finish_reason == "choice" else ""
                rest = event.tokens[sent[i] :]
                logprobs = kind.logprobs(rest, length[i]) if asked.logprobs is not None and rest else None
                last = kind.choice(i, text, _FINISHED[event.finish_reason], logprobs, piece=True)
                if kind.chat and not text:
                    last["delta"] = {}
                yield {**common, "choices": [last]}
                read += event.prompt_tokens if i % asked.n == 0 else 0
                written += event.completion_tokens
        service.metrics.tokens(read, written)
        if asked.usage:
            yield {**common, "choices": [], "usage": _usage(read, written)}
    yield "[DONE]"


def _about(model: LanguageModel) -> dict[str, Any]:
    """The model's name, and what of it a seed's answer depends on."""
    return {"model": model.bundle.name, "system_fingerprint": model.bundle.path.name}


def _usage(read: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
