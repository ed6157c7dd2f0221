"""A hub on this machine that speaks the Hugging Face Hub's protocol, as far as its client asks."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class StandInHub:
    """One repository, its files, and what happens to whoever asks for them.

    Attributes:
        repository: owner/name.
        files: name to content.
        token: that is wanted; empty for an open repository.
        revisions: names of the commit.
        refusals: other repositories, and the status with which they are refused.
        break_after: bytes of a file's body after which the connection breaks, once for each entry.
        ranges: the Range headers of requests for files, empty for whole files.
    """

    repository: str
    files: Mapping[str, bytes]
    token: str = ""
    revisions: tuple[str, ...] = ("main", COMMIT)
    refusals: Mapping[str, int] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        refused = next((status for name, status in self.refusals.items() if f"/{name}" in path), None)
        if refused:
            gated = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            _reply(request, refused, b"{}", headers=gated if refused == 403 else {})
        elif not path.startswith((f"/api/models/{self.repository}", f"/{self.repository}/")):
            _reply(request, 404, b"{}", X_Error_Code="RepoNotFound", X_Error_Message="Repository Not Found")
        elif self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            _reply(request, 401, b"{}", X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        elif path.startswith(f"/{self.repository}/resolve/{COMMIT}/"):
            self._send(request, path.removeprefix(f"/{self.repository}/resolve/{COMMIT}/"))
        elif path.startswith(f"/api/models/{self.repository}/tree/{COMMIT}"):
            _json(
                request,
                [{"type": "file", "path": n, "size": len(b), "oid": _oid(b)} for n, b in self.files.items()],
            )
        elif path == f"/api/models/{self.repository}" or any(
            path == f"/api/models/{self.repository}/revision/{name}" for name in self.revisions
        ):
            siblings = [{"rfilename": name, "size": len(body)} for name, body in self.files.items()]
            _json(request, {"id": self.repository, "sha": COMMIT, "siblings": siblings})
        else:
            _reply(request, 404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Revision Not Found")

    def _send(self, request: http.server.BaseHTTPRequestHandler, name: str) -> None:
        body = self.files[name]
        begin, status, more = 0, 200, {}
        wanted = request.headers.get("Range", "")
        if request.command == "GET":
            self.ranges.append(wanted)
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, status = int(first), 206
            more["Content-Range"] = f"bytes {begin}-{last or len(body) - 1}/{len(body)}"
        part = body[begin:]
        broken = request.command == "GET" and self.break_after and len(part) > self.break_after[0]
        sent = part[: self.break_after.pop(0)] if broken else part
        headers = {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", **more}
        _reply(request, status, sent, length=len(part), headers=headers)
        if broken:
            request.wfile.flush()
            request.connection.shutdown(2)


@contextlib.contextmanager
def serving(hub: StandInHub) -> Iterator[StandInHub]:
    """Run the hub; ``url`` is its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        yield hub
    finally:
        httpd.shutdown()
        httpd.server_close()


def _oid(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def _json(request: http.server.BaseHTTPRequestHandler, value: Any) -> None:
    _reply(request, 200, json.dumps(value).encode(), Content_Type="application/json")


def _reply(
    request: http.server.BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    *,
    length: int | None = None,
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in {**(headers or {}), **more}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body)
