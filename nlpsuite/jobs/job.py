"""A job on disk: its manifest, the rows it was given, what has been scored so far, and who works on it.

OUT.job/
  manifest.json          what the job is; written once, before any row is scored
  lock                   held by the process that works on it
  input/000017.jsonl     rows [17·C, 18·C) of the input, as they were read
  shards/000017.jsonl    what came of them; immutable, and only there when whole
  quarantine/            shards that can't be read
  report.json            how the last run ended
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.errors import InputInvalidError, InputNotFoundError, JobRefusedError, JobStorageError
from nlpsuite.files import atomic_write_text, fsync_directory, remove_stale
from nlpsuite.jobs.values import from_json, to_json
from nlpsuite.tasks.base import Output

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Job",
    "JobRow",
    "canonical",
    "canonical_sha256",
    "job_directory",
    "job_errors",
    "locked",
    "write_manifest",
    "write_staged",
]

FORMAT = "nlpsuite-job"
FORMAT_VERSION = 1
_INPUT, _SHARDS, _QUARANTINE = "input", "shards", "quarantine"


@dataclass(frozen=True)
class JobRow:
    """A row of a job and what came of it.

    Attributes:
        index: from 0, in the input's order.
        id: value of the id column; else the index.
        values: of the input, by column; empty for a row that could not be read.
        output: None for a row that failed.
        error: ``type``, ``message`` and ``hint`` of a row that failed.
        usage: ``prompt_tokens`` and ``completion_tokens``.
    """

    index: int
    id: Any
    values: Mapping[str, Any]
    output: Output | None
    error: Mapping[str, str] | None
    usage: Mapping[str, int]


def job_directory(output: Path) -> Path:
    """Where the job of an output file is kept: beside it, ``OUT.job``."""
    return output.with_suffix(".job")


def canonical(values: Any) -> bytes:
    """JSON values as bytes: equal values give equal bytes."""
    return json.dumps(
        values, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def canonical_sha256(values: Any) -> str:
    """Hexadecimal sha256 of JSON values."""
    return hashlib.sha256(canonical(values)).hexdigest()


@contextmanager
def job_errors(path: Path) -> Iterator[None]:
    """Turn an OSError on a job's file into a JobStorageError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "no space is left" if full else error.strerror or str(error)
        raise JobStorageError(
            f"{path}: {reason}.",
            hint="What was scored is kept. Free some space or mend the permissions, then give the same command again.",
        ) from error


class Job:
    """A job's directory. ``Job.open`` reads one that is there.

    Attributes:
        path: of the directory.
        manifest: what is in ``manifest.json``.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path) -> Job:
        """Read the manifest.

        Raises:
            InputNotFoundError: there is no job.
            InputInvalidError: its manifest is damaged, or of a later version.
        """
        file = path / "manifest.json"
        try:
            manifest = json.loads(file.read_bytes())
            known = manifest["format"] == FORMAT
        except (FileNotFoundError, NotADirectoryError):
            raise InputNotFoundError(
                f"There is no job in {path}.",
                hint="`nlpsuite jobs list DIRECTORY` shows those that are there.",
            ) from None
        except OSError as error:
            raise JobStorageError(f"{file}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise InputInvalidError(
                f"{file} is not the manifest of a job.", hint="Remove the directory and begin again."
            )
        if manifest["version"] > FORMAT_VERSION:
            raise InputInvalidError(
                f"{path} is a job of version {manifest['version']}; this nlpsuite knows {FORMAT_VERSION}.",
                hint="Upgrade nlpsuite.",
            )
        return cls(path, manifest)

    @property
    def rows_total(self) -> int:
        return int(self.manifest["rows"])

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk; the last may have fewer."""
        return int(self.manifest["keys"]["chunk_rows"])

    @property
    def chunks(self) -> int:
        return -(-self.rows_total // self.chunk_rows)

    def rows_of(self, chunk: int) -> int:
        """Rows of a chunk."""
        return min(self.chunk_rows, self.rows_total - chunk * self.chunk_rows)

    # The input.

    def staged(self, chunk: int) -> list[dict[str, Any]]:
        """The chunk's rows as they were read: ``line``, ``id``, and ``values`` or ``error``.

        Raises:
            JobStorageError: they can't be read, or are damaged.
        """
        file = self.path / _INPUT / _name(chunk)
        with job_errors(file):
            data = file.read_bytes()
        try:
            rows = [json.loads(line) for line in data.splitlines()]
        except ValueError:
            rows = []
        if len(rows) != self.rows_of(chunk):
            raise JobStorageError(
                f"{file} is damaged.", hint="Begin the job again with --overwrite; its input is not whole."
            )
        if self.manifest["typed"]:
            for row in rows:
                row["values"] = from_json(row["values"])
        return rows

    # What was scored.

    def shard_path(self, chunk: int) -> Path:
        return self.path / _SHARDS / _name(chunk)

    def commit(self, chunk: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a chunk's shard so that it is there whole or not at all, whatever happens.

        Raises:
            JobStorageError: it can't be written.
        """
        body = b"".join(canonical(row) + b"\n" for row in rows)
        end = {"chunk": chunk, "rows": body.count(b"\n"), "sha256": hashlib.sha256(body).hexdigest()}
        target = self.shard_path(chunk)
        with job_errors(target):
            _write_whole(target, body + canonical(end) + b"\n")

    def shard(self, chunk: int) -> list[dict[str, Any]] | None:
        """The rows of a chunk's shard; None if it is missing or not whole."""
        file = self.shard_path(chunk)
        with job_errors(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return None
        body, _, end = data.removesuffix(b"\n").rpartition(b"\n")
        body += b"\n"
        try:
            told = json.loads(end)
            rows = [json.loads(line) for line in body.split(b"\n")[:-1]]
        except ValueError:
            return None
        expected = {"chunk": chunk, "rows": self.rows_of(chunk), "sha256": hashlib.sha256(body).hexdigest()}
        whole = data.endswith(b"\n") and told == expected and len(rows) == self.rows_of(chunk)
        return rows if whole else None

    def shards_there(self) -> list[int]:
        """Numbers of the chunks that have a shard, whole or not."""
        directory = self.path / _SHARDS
        with job_errors(directory):
            names = [entry.name for entry in os.scandir(directory)]
        numbers = (name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def quarantine(self, chunk: int) -> Path:
        """Move a shard that can't be used out of the way; returns where it is now."""
        directory = self.path / _QUARANTINE
        with job_errors(directory):
            directory.mkdir(exist_ok=True)
            target = directory / _name(chunk)
            number = 1
            while target.exists():
                number += 1
                target = directory / f"{_name(chunk)}.{number}"
            os.replace(self.shard_path(chunk), target)
            fsync_directory(directory)
            fsync_directory(self.path / _SHARDS)
        return target

    def rows(self) -> Iterator[JobRow]:
        """All rows with what came of them, in the input's order; of a job that is complete.

        Raises:
            InputInvalidError: a chunk has not been scored yet.
            JobStorageError: a file can't be read.
        """
        for chunk in range(self.chunks):
            shard = self.shard(chunk)
            if shard is None:
                raise InputInvalidError(
                    f"The job {self.path} is not complete: chunk {chunk:,} of {self.chunks:,} is missing.",
                    hint=f"Go on with it: nlpsuite jobs resume {self.path}",
                )
            for given, scored in zip(self.staged(chunk), shard):
                output = scored.get("output")
                yield JobRow(
                    scored["index"],
                    scored["id"],
                    given.get("values") or {},
                    None if output is None else Output(**output),
                    scored.get("error"),
                    scored.get("usage") or {},
                )

    # How it ended, and who works on it.

    def report(self) -> dict[str, Any]:
        """How the last run ended; empty if none has yet."""
        try:
            report: dict[str, Any] = json.loads((self.path / "report.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return report

    def write_report(self, report: Mapping[str, Any]) -> None:
        with job_errors(self.path):
            atomic_write_text(
                self.path / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process that works on a job; what a killed one left half-written is removed.

    Raises:
        JobRefusedError: another process works on it.
        JobStorageError: the directory can't be written.
    """
    with job_errors(directory):
        file = (directory / "lock").open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "an unknown one"
            raise JobRefusedError(
                f"Another process works on {directory}: {holder}.", hint="Wait for it, or end it first."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
        file.flush()
        for place in (directory, directory / _SHARDS, directory / _INPUT):
            remove_stale(place)
        yield


def write_staged(directory: Path, chunk: int, rows: Iterable[Mapping[str, Any]], typed: bool) -> None:
    """Write a chunk's rows as ``Job.staged`` reads them. Raises JobStorageError."""
    lines = []
    for row in rows:
        if typed:
            row = {**row, "values": to_json(row.get("values") or {})}
        # A lone surrogate, as JSON can have one, is written as the escape that it came as.
        lines.append(json.dumps(row, ensure_ascii=True, allow_nan=typed) + "\n")
    file = directory / _INPUT / _name(chunk)
    with job_errors(file):
        file.parent.mkdir(exist_ok=True)
        _write_whole(file, "".join(lines).encode())


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> Job:
    """Write the manifest, which makes the directory a job. Raises JobStorageError."""
    with job_errors(directory):
        (directory / _SHARDS).mkdir(exist_ok=True)
        fsync_directory(directory)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        _write_whole(directory / "manifest.json", text.encode())
    return Job(directory, manifest)


def _name(chunk: int) -> str:
    return f"{chunk:06d}.jsonl"


def _write_whole(target: Path, data: bytes) -> None:
    """Write, sync and rename; a short write, which is how a full disk shows first, is gone on with."""
    temporary = target.with_name(f".incomplete-{os.getpid()}-{target.name}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        os.unlink(temporary)
        raise
    os.close(fd)
    os.replace(temporary, target)
    fsync_directory(target.parent)
