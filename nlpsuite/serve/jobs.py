"""Files that are scored or evaluated in the background, by the command line's own jobs in a process of their own.

A job goes on when the page is closed, and what it has done is on disk.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from nlpsuite.batch.job import Job
from nlpsuite.errors import NlpsuiteError, RequestError
from nlpsuite.options import find_option
from nlpsuite.serve.service import Service
from nlpsuite.tasks.base import Task

__all__ = ["job_routes"]

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".txt")
_MOST_RUNNING, _MOST_JOBS = 2, 64
_CHUNK_ROWS = "16"  # small, so that progress shows
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class _BackgroundJob:
    """A job and its process."""

    id: str
    name: str
    task: str
    directory: Path
    output: Path
    report: Path | None
    process: subprocess.Popen[bytes]

    def status(self) -> dict[str, Any]:
        code = self.process.poll()
        state = "running" if code is None else "done" if code in (0, 3) else "failed"
        if (code is not None and code < 0) or code in (130, 143):
            state = "cancelled"
        found: dict[str, Any] = {"id": self.id, "name": self.name, "task": self.task, "state": state}
        found |= self._progress()
        if state == "failed":
            found["error"] = self._error()
        found["result"] = state == "done" and self.output.exists()
        found["report"] = state == "done" and self.report is not None and self.report.exists()
        return found

    def _progress(self) -> dict[str, Any]:
        try:
            job = Job.open(self.output.with_suffix(".job"))
            chunks = max(1, job.chunks)
            return {"rows": job.rows_total, "fraction": round(len(job.shards_there()) / chunks, 4)}
        except NlpsuiteError:  # it is reading its input
            return {"rows": None, "fraction": 0.0}

    def _error(self) -> Any:
        lines = (self.directory / "stdout").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in reversed(lines):
            try:
                return json.loads(line)["error"]
            except (ValueError, KeyError, TypeError):
                continue
        return {"code": "internal", "message": "The job failed.", "hint": "The server's log says why."}


class _Jobs:
    """The jobs of one server, in a directory that goes with it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._directory: Path | None = None
        self._jobs: dict[str, _BackgroundJob] = {}
        self._lock = threading.Lock()

    def start(self, task: str, filename: str, content: bytes, form: Mapping[str, str]) -> _BackgroundJob:
        name = Path(filename).name
        suffix = Path(name).suffix.lower()
        if suffix not in _SUFFIXES:
            raise RequestError(
                f"{name or 'The file'} is of no type that is scored.", hint=f"Types: {' '.join(_SUFFIXES)}."
            )
        with self._lock:
            running = sum(job.process.poll() is None for job in self._jobs.values())
            if running >= _MOST_RUNNING or len(self._jobs) >= _MOST_JOBS:
                raise RequestError(
                    f"{running} jobs are running.",
                    hint="Wait for one to end, or delete old ones.",
                    status=429,
                )
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="nlpsuite-jobs-"))
            id = secrets.token_hex(8)
            directory = self._directory / id
            directory.mkdir()
            source = directory / f"input{suffix}"
            source.write_bytes(content)
            output = directory / ("result.jsonl" if suffix == ".txt" else f"result{suffix}")
            report = directory / "report.html" if form.get("reference_column") else None
            command = self._command(task, source, output, report, form)
            with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
                process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
            self._jobs[id] = _BackgroundJob(id, name, task, directory, output, report, process)
            return self._jobs[id]

    def _command(
        self, task: str, source: Path, output: Path, report: Path | None, form: Mapping[str, str]
    ) -> list[str]:
        command = [sys.executable, "-m", "nlpsuite", "score" if report is None else "eval", task, str(source)]
        command += ["--output", str(output), "--json", "--quiet"]
        if report is None:
            command += ["--chunk-rows", _CHUNK_ROWS]
        else:
            command += ["--html", str(report), f"--reference-column={form['reference_column']}"]
        settings, model = self._service.settings, self._service.models.meaning(form.get("model", ""))
        given = {
            "text-column": form.get("text_column"),
            "model": model,
            "precision": settings.precision,
            "device": settings.device,
            "threads": str(settings.threads),
        }
        command += [f"--{flag}={value}" for flag, value in given.items() if value]
        options = _options(form.get("options", ""))
        self._service.check(task, options)
        return command + _flags(self._service.task(task), options)

    def find(self, id: str) -> _BackgroundJob:
        if not _ID.fullmatch(id) or id not in self._jobs:
            raise RequestError(f"There is no job {id!r}.", status=404)
        return self._jobs[id]

    def list(self) -> list[dict[str, Any]]:
        return [job.status() for job in self._jobs.values()]

    def delete(self, id: str) -> None:
        """Cancel a job if it runs, and delete its files."""
        job = self.find(id)
        if job.process.poll() is None:
            job.process.send_signal(signal.SIGTERM)
            job.process.wait()
        shutil.rmtree(job.directory, ignore_errors=True)
        self._jobs.pop(id, None)

    def close(self) -> None:
        for id in list(self._jobs):
            self.delete(id)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise RequestError("options must be a JSON object.", param="options")
    return options


def _flags(task: Task[Any], options: Mapping[str, Any]) -> list[str]:
    """A task's options as flags of the command line."""
    flags = []
    for name, value in options.items():
        spec = find_option(task.options, name)
        flag = spec.public_name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            # A text that begins with @ would be read as the name of a file.
            text = str(value)
            flags.append(f"--{flag}={'@' if spec.file and text.startswith('@') else ''}{text}")
    return flags


def job_routes(service: Service) -> list[Route]:
    """``/v1/jobs``."""
    jobs = _Jobs(service)
    service.on_close.append(jobs.close)

    # Starlette runs those without `async` in threads: they read files, or wait for a process.
    def index(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": jobs.list()})

    async def start(request: Request) -> Response:
        async with request.form() as form:
            upload, task = form.get("file"), str(form.get("task") or "")
            if not isinstance(upload, UploadFile):
                raise RequestError("A file is missing.", hint="Send a form with the fields file and task.")
            service.task(task)
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            content = await upload.read()
            job = await asyncio.to_thread(jobs.start, task, upload.filename or "", content, fields)
        return JSONResponse(job.status(), 201)

    def one(request: Request) -> Response:
        return JSONResponse(jobs.find(request.path_params["job"]).status())

    def delete(request: Request) -> Response:
        jobs.delete(request.path_params["job"])
        return Response(status_code=204)

    def result(request: Request) -> Response:
        job = jobs.find(request.path_params["job"])
        if not job.status()["result"]:
            raise RequestError("The job has no result yet.", status=409)
        stem = Path(job.name).stem
        return FileResponse(job.output, filename=f"{stem}-{job.task}{job.output.suffix}")

    def report(request: Request) -> Response:
        job = jobs.find(request.path_params["job"])
        if not job.status()["report"] or job.report is None:
            raise RequestError("The job has no report.", status=409)
        return FileResponse(
            job.report, media_type="text/html", headers={"Content-Security-Policy": "sandbox"}
        )

    return [
        Route("/v1/jobs", index, methods=["GET"]),
        Route("/v1/jobs", start, methods=["POST"]),
        Route("/v1/jobs/{job}", one, methods=["GET"]),
        Route("/v1/jobs/{job}", delete, methods=["DELETE"]),
        Route("/v1/jobs/{job}/result", result, methods=["GET"]),
        Route("/v1/jobs/{job}/report", report, methods=["GET"]),
    ]
