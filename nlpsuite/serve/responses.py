"""JSON, events and errors as the endpoints answer them.

Errors have OpenAI's form, {"error": {"message", "type", "param", "code"}}, and the hint of the suite's errors.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from nlpsuite.errors import NlpsuiteError, RequestError

__all__ = ["body_of", "error_object", "error_response", "event_stream", "unless_gone"]

_T = TypeVar("_T")

logger = logging.getLogger("nlpsuite.serve")

# Codes of errors to status codes; others are the server's fault.
_STATUS = {
    "option-invalid": 400,
    "usage": 400,
    "unknown-name": 404,
    "input-invalid": 400,
    "input-not-found": 404,
    "input-too-long": 400,
    "job-refused": 409,
    "server-busy": 429,
    "server-unavailable": 503,
    "model-not-served": 404,
    "request-timeout": 504,
    "model-not-found": 503,
    "model-unavailable": 503,
    "model-damaged": 503,
    "model-unsuitable": 503,
    "model-unsupported": 400,
    "device-unavailable": 503,
}
# Where clients of OpenAI's API expect a code of their own.
_CODES = {"model-not-served": "model_not_found"}
_BODY_SECONDS = 60.0
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_object(error: NlpsuiteError, status: int) -> dict[str, Any]:
    """The body of an error's answer."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    fields = {
        "message": " ".join(filter(None, (error.message, error.hint))),
        "type": kind,
        "param": getattr(error, "param", None),
        "code": _CODES.get(error.code, error.code),
        "hint": error.hint,
    }
    return {"error": fields}


def status_of(error: NlpsuiteError) -> int:
    return getattr(error, "status", None) or _STATUS.get(error.code, 500)


def error_response(error: Exception) -> JSONResponse:
    """The answer to an error; an unexpected one is logged and shows nothing of its inside."""
    known = error if isinstance(error, NlpsuiteError) else _unexpected(error)
    status = status_of(known)
    headers = {"Retry-After": "2"} if known.code in ("server-busy", "server-unavailable") else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_object(known, status), status, headers)


def _unexpected(error: Exception) -> NlpsuiteError:
    logger.error("internal error", exc_info=error)
    return NlpsuiteError("The server failed on this request.", hint="Its log says where.")


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.body()
        value = json.loads(body)
        if b"\\u" in body:  # a half of a surrogate pair is JSON, but no text
            json.dumps(value, ensure_ascii=False).encode()
    except TimeoutError:
        raise RequestError("The body didn't arrive in time.", status=408) from None
    except (ValueError, RecursionError):
        raise RequestError("The body isn't valid JSON.", hint="Send a JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object.")
    return value


async def unless_gone(request: Request, answer: Awaitable[_T]) -> _T:
    """Await an answer, and cancel it when the client goes away."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(answer), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RequestError("The client went away.", status=499)  # as nginx logs it
        return working.result()
    finally:
        watching.cancel()
        working.cancel()


def event_stream(
    events: AsyncGenerator[Any, None], form: Callable[[Any], str], failed: Callable[[Mapping[str, Any]], str]
) -> Response:
    """Server-sent events.

    An error after the first event can't change the status any more, so it becomes an event.

    Args:
        form: an event's text.
        failed: the text of an error's event.
    """

    async def body() -> AsyncIterator[str]:
        async with aclosing(events):
            try:
                async for event in events:
                    yield form(event)
            except Exception as error:
                known = error if isinstance(error, NlpsuiteError) else _unexpected(error)
                yield failed(error_object(known, status_of(known)))

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
