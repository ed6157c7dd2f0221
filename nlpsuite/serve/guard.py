"""What stands before every endpoint: hosts, origins, tokens, sizes, the log and the counts. Plain ASGI."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlpsuite.errors import RequestError
from nlpsuite.serve.metrics import Metrics
from nlpsuite.serve.responses import error_response
from nlpsuite.serve.settings import ServeSettings

__all__ = ["Guard"]

logger = logging.getLogger("nlpsuite.serve")

_API = ("/v1", "/metrics", "/openapi.json")
_UNLOGGED = ("/health", "/metrics")


class Guard:
    """Refuses what it must, counts and logs the rest."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, id = time.perf_counter(), 500, uuid.uuid4().hex[:16]
        log: dict[str, Any] = {}
        scope["state"] = {**scope.get("state", {}), "log": log}

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", id.encode())]
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
            self._log(scope, {"status": status, "seconds": round(seconds, 3), "request": id, **log})

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        settings = self._settings
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._known(host):
            return RequestError(
                f"The host {host!r} isn't served.", hint="Allow it with --allow-host.", status=403
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = origin.partition("://")[2] == host
        if origin and not own and origin not in settings.origins:
            return RequestError(
                f"Pages of {origin} may not use this server.", hint="Allow them with --cors.", status=403
            )
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > settings.max_body:
            return _too_large(settings.max_body)
        if settings.token and _needs_token(scope):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            right = hmac.compare_digest(given.strip(), settings.token.encode())
            if scheme.lower() != b"bearer" or not right:
                return RequestError(
                    "A bearer token is needed.", hint="Send `Authorization: Bearer TOKEN`.", status=401
                )
        return None

    def _known(self, host: str) -> bool:
        """Whether clients may address the server so. A page can make a name of its own point here (DNS rebinding),
        but not an address; and without the token it can't do anything."""
        allowed, name = self._settings.hosts, _host_name(host)
        return bool(self._settings.token) or "*" in allowed or name in allowed or _is_address(name)

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

    def _log(self, scope: Scope, fields: dict[str, Any]) -> None:
        if _own_path(scope) in _UNLOGGED:
            return
        # A path is anything that a client sends.
        line = {"method": scope["method"], "path": quote(scope["path"], safe="/:@=,"), **fields}
        logger.info(
            "%s %s %s %s",
            line["method"],
            line["path"],
            line["status"],
            line["seconds"],
            extra={"fields": line},
        )


def _needs_token(scope: Scope) -> bool:
    """Whether a request is one to the interface; the page itself has no secrets, and asks for the token."""
    path = _own_path(scope)
    return scope["method"] != "OPTIONS" and any(path == api or path.startswith(f"{api}/") for api in _API)


def _own_path(scope: Scope) -> str:
    """The path within this application, which may be mounted in another."""
    path, root = scope["path"], scope.get("root_path", "")
    own: str = path[len(root) :] if path.startswith(f"{root}/") else path
    return own


def _route(scope: Scope) -> str:
    """The path with its variable parts as placeholders, so that there are few of them."""
    if "endpoint" not in scope:
        return "other"
    path = _own_path(scope)
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path if path.startswith(("/v1/", "/health", *_API[1:])) else "page"


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_large(most: int) -> RequestError:
    return RequestError(
        f"The body is larger than {most:,} bytes.", hint="Send less, or raise --max-body.", status=413
    )
