"""The server as an ASGI application, which other applications can mount, and its start from the command line."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nlpsuite import __version__
from nlpsuite.errors import NlpsuiteError, OptionError, RequestError
from nlpsuite.models.spec import Reporter
from nlpsuite.options import make_options
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.serve.explain import explain_routes
from nlpsuite.serve.guard import Guard
from nlpsuite.serve.jobs import job_routes
from nlpsuite.serve.log import set_up_log
from nlpsuite.serve.models import ModelPool
from nlpsuite.serve.openai import openai_routes
from nlpsuite.serve.openapi import openapi_document
from nlpsuite.serve.responses import error_response
from nlpsuite.serve.runner import Runner
from nlpsuite.serve.service import Service
from nlpsuite.serve.settings import ServeSettings
from nlpsuite.serve.tasks import task_routes

__all__ = ["create_app", "serve"]

logger = logging.getLogger("nlpsuite.serve")

_PAGE = Path(__file__).with_name("page")
_SHUTDOWN_SECONDS = 30.0
_BACKLOG = 2048
# The page loads nothing from elsewhere and runs no inline scripts. Reports have inline styles; they are shown in a
# frame without scripts, which inherits this policy.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(*, open_model: Callable[[Path], LanguageModel] | None = None, **values: Any) -> Starlette:
    """The server as an ASGI application, to run under any ASGI server or to mount in another application.

    Args:
        open_model: opens a bundle; by default ``LanguageModel.load``.
        values: settings, those of ``nlpsuite serve``.

    Raises:
        OptionError: a setting is wrong.
    """
    settings = make_options(ServeSettings, values)
    runner = Runner(settings.concurrency, settings.queue, settings.timeout)
    service = Service(settings, ModelPool(settings, open_model), runner)
    metrics = service.metrics
    metrics.watch("running", "Requests that run.", lambda: runner.running)
    metrics.watch("waiting", "Requests that wait for a thread.", lambda: runner.waiting)
    in_memory = service.models.in_memory
    metrics.watch("model_bytes", "Bytes of the models in memory.", lambda: sum(in_memory().values()))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(preload))
        yield
        await runner.close(_SHUTDOWN_SECONDS)
        await loading
        for close in service.on_close:
            await asyncio.to_thread(close)

    def preload() -> None:
        try:
            service.models.preload()
        except Exception as error:  # requests will say so too
            logger.error("The models can't be loaded: %s", error)

    async def health(request: Request) -> Response:
        models = list(service.models.in_memory())
        return JSONResponse({"status": "ok", "version": __version__, "models_in_memory": models})

    async def counts(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    def document(request: Request) -> Response:
        return JSONResponse(openapi_document(service))

    routes: list[Any] = [
        Route("/health", health, methods=["GET"]),
        Route("/metrics", counts, methods=["GET"]),
        Route("/openapi.json", document, methods=["GET"]),
        *openai_routes(service),
        *explain_routes(service),
        *task_routes(service),
        *job_routes(service),
        Mount("/", _Page(directory=_PAGE, html=True)),
    ]
    middleware = [Middleware(Guard, settings=settings, metrics=metrics)]
    if settings.origins:
        cors = Middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=["*"], allow_headers=["*"]
        )
        middleware.insert(0, cors)
    handlers: dict[Any, Any] = {
        NlpsuiteError: _failed,
        HTTPException: _http_failed,
        Exception: _failed,
    }
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)
    app.state.models = service.models
    return app


class _Page(StaticFiles):
    """The page's files, with the policy that keeps everything else out."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


async def _failed(request: Request, error: Exception) -> Response:
    return error_response(error)


async def _http_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hints = {404: "GET /openapi.json lists the endpoints.", 405: "GET /openapi.json lists the methods."}
    message = {404: "There is nothing at this path.", 405: "This path doesn't take this method."}
    text = message.get(error.status_code, str(error.detail))
    response = error_response(
        RequestError(text, hint=hints.get(error.status_code, ""), status=error.status_code)
    )
    response.headers.update(error.headers or {})
    return response


def serve(
    *,
    on_started: Callable[[str], None] | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> None:
    """Serve over HTTP until interrupted or terminated.

    Args:
        on_started: called with the server's URL once it listens.
        reporter: receives progress while models are downloaded and built, before the server listens.
        settings: those of ``nlpsuite serve``.

    Raises:
        OptionError: a setting is wrong, or the address can't be listened on.
        NlpsuiteError: a model can't be used.
    """
    import uvicorn

    made = make_options(ServeSettings, settings)
    set_up_log(made.log_format)
    listener = _listen(made)
    with closing(listener):
        app = create_app(**settings)
        app.state.models.prepare(reporter)
        if on_started is not None:
            host = f"[{made.host}]" if ":" in made.host else made.host
            on_started(f"http://{host}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=int(_SHUTDOWN_SECONDS),
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OptionError(
            f"Can't listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            hint="Choose another --port, or 0 for a free one.",
        ) from None
    return listener
