"""What stands before every endpoint: hosts, origins, tokens, sizes, the log and the counts. Plain ASGI."""

from __future__ import annotations

import hmac
import json
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlpsuite.serve.metrics import Metrics
from nlpsuite.serve.responses import BadRequest, error_response
from nlpsuite.serve.settings import ServeSettings

__all__ = ["Guard"]

logger = logging.getLogger("nlpsuite.serve")

_OPEN = ("/health",)


class Guard:
    """Refuses what it must, counts and logs the rest."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        state: dict[str, Any] = {"log": {}}
        scope["state"] = state

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                await error_response(refused)(scope, receive, note)
            else:
                await self._app(scope, self._limited(receive), note)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(_route(scope), status, seconds)
            line = {"method": scope["method"], "path": scope["path"], "status": status, **state["log"]}
            self._log({**line, "seconds": round(seconds, 3)})

    def _refusal(self, scope: Scope) -> BadRequest | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        settings, path = self._settings, scope["path"]
        host = _host_name(headers.get("host", ""))
        # With a token a page that rebinds its name to this machine can't do anything.
        if not settings.token and settings.host != "0.0.0.0" and host not in settings.hosts:
            return BadRequest(
                f"The host {host!r} isn't served.", hint="Allow it with --allow-host.", status=403
            )
        origin = headers.get("origin", "")
        own = origin.partition("://")[2] == headers.get("host", "")
        if origin and not own and origin.rstrip("/") not in settings.origins:
            return BadRequest(
                f"Pages of {origin} may not use this server.", hint="Allow them with --cors.", status=403
            )
        if headers.get("content-length", "0").isdigit():
            size = int(headers.get("content-length", "0"))
            if size > settings.max_body:
                return _too_large(settings.max_body)
        needs_token = path.startswith(("/v1/", "/metrics", "/openapi.json")) and scope["method"] != "OPTIONS"
        if settings.token and needs_token:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {settings.token}".encode()):
                return BadRequest(
                    "A bearer token is needed.", hint="Send `Authorization: Bearer TOKEN`.", status=401
                )
        return None

    def _limited(self, receive: Receive) -> Receive:
        """``receive`` that fails once a body without a length is too large."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._settings.max_body:
                    raise _too_large(self._settings.max_body)
            return message

        return limited

    def _log(self, line: dict[str, Any]) -> None:
        if line["path"] in _OPEN:
            return
        if self._settings.log_format == "json":
            logger.info(json.dumps(line))
        else:
            logger.info("%s", " ".join(f"{value}" for value in line.values()))


def _route(scope: Scope) -> str:
    """The path with its variable parts as placeholders, so that there are few of them."""
    if "endpoint" not in scope:
        return "other"
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path if path.startswith("/v1/") or path in ("/health", "/metrics", "/openapi.json") else "page"


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _too_large(most: int) -> BadRequest:
    return BadRequest(
        f"The body is larger than {most:,} bytes.", hint="Send less, or raise --max-body.", status=413
    )
