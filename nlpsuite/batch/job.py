"""A job on disk: its manifest, its input, its results so far, and the lock of the process that works on it.

OUT.job/
  manifest.json          what the job is; written once, before any row is scored
  lock                   held by the process that works on the job
  input/000017.jsonl     rows [17·C, 18·C) of the input, as they were read
  shards/000017.jsonl    their results; immutable, and present only when complete
  quarantine/            corrupt shards
  report.json            how the last run ended
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.batch.storage import (
    INPUT,
    MANIFEST,
    QUARANTINE,
    REPORT,
    SHARDS,
    canonical,
    canonical_sha256,
    job_errors,
    seal,
    unseal,
)
from nlpsuite.data.values import from_json, to_json
from nlpsuite.errors import InputInvalidError, InputNotFoundError, JobStorageError, PluginError
from nlpsuite.files import atomic_write_bytes, atomic_write_text, fsync_directory
from nlpsuite.tasks.result import Result

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Job",
    "JobRow",
    "canonical",
    "job_directory",
    "write_manifest",
    "write_staged",
]

FORMAT = "nlpsuite-job"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class JobRow:
    """A row of a job and its result.

    Attributes:
        index: from 0, in the input's order.
        id: value of the id column; else the index.
        values: of the input, by column; empty for a row that could not be read.
    """

    index: int
    id: Any
    values: Mapping[str, Any]
    result: Result


def job_directory(output: Path) -> Path:
    """The job directory of an output file: ``OUT.job``, beside it."""
    return output.with_suffix(".job")


class Job:
    """A job directory. ``Job.open`` reads an existing one.

    Attributes:
        path: of the directory.
        manifest: contents of ``manifest.json``.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path) -> Job:
        """Read the manifest.

        Raises:
            InputNotFoundError: there is no job.
            InputInvalidError: its manifest is corrupt, or of a later version.
        """
        file = path / MANIFEST
        try:
            manifest = json.loads(file.read_bytes())
            known = manifest["format"] == FORMAT and isinstance(manifest["version"], int)
        except (FileNotFoundError, NotADirectoryError):
            raise InputNotFoundError(
                f"There is no job in {path}.",
                hint="`nlpsuite jobs list DIRECTORY` lists the jobs in a directory.",
            ) from None
        except OSError as error:
            raise JobStorageError(f"{file}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise InputInvalidError(
                f"{file} is not the manifest of a job.", hint="Remove the directory and start again."
            )
        if manifest["version"] > FORMAT_VERSION:
            raise InputInvalidError(
                f"{path} is a job of version {manifest['version']}; this nlpsuite reads up to version {FORMAT_VERSION}.",
                hint="Upgrade nlpsuite.",
            )
        if manifest.pop("sha256", None) != canonical_sha256(manifest):
            raise InputInvalidError(
                f"{file} is corrupt: its checksum doesn't match.",
                hint="Start the job again with --overwrite.",
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

    def staged(self, chunk: int) -> list[dict[str, Any]]:
        """The chunk's rows as they were read: ``line``, ``id``, and ``values`` or ``error``.

        Raises:
            JobStorageError: they can't be read, or are corrupt.
        """
        file = self.path / INPUT / _name(chunk)
        with job_errors(file):
            rows = unseal(chunk, file.read_bytes())
        if rows is None or len(rows) != self.rows_of(chunk):
            raise JobStorageError(
                f"{file} is corrupt.", hint="The job's input is incomplete: start it again with --overwrite."
            )
        if self.manifest["typed"]:
            for row in rows:
                row["values"] = from_json(row["values"])
        return rows

    def shard_path(self, chunk: int) -> Path:
        return self.path / SHARDS / _name(chunk)

    def commit(self, chunk: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a chunk's shard atomically.

        Raises:
            JobStorageError: it can't be written.
        """
        target = self.shard_path(chunk)
        with job_errors(target):
            atomic_write_bytes(target, seal(chunk, map(canonical, rows)))

    def shard(self, chunk: int) -> list[dict[str, Any]] | None:
        """The rows of a chunk's shard; None if it is missing or corrupt."""
        file = self.shard_path(chunk)
        with job_errors(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return None
        rows = unseal(chunk, data)
        return rows if rows is not None and len(rows) == self.rows_of(chunk) else None

    def shards_there(self) -> list[int]:
        """Numbers of the chunks that have a shard, intact or not."""
        directory = self.path / SHARDS
        with job_errors(directory):
            names = [entry.name for entry in os.scandir(directory)]
        numbers = (name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def quarantine(self, chunk: int) -> Path:
        """Move a corrupt shard out of the way; returns its new path."""
        directory = self.path / QUARANTINE
        with job_errors(directory):
            directory.mkdir(exist_ok=True)
            target = directory / _name(chunk)
            number = 1
            while target.exists():
                number += 1
                target = directory / f"{_name(chunk)}.{number}"
            os.replace(self.shard_path(chunk), target)
            fsync_directory(directory)
            fsync_directory(self.path / SHARDS)
        return target

    def scored_rows(self, *, strict: bool = True) -> Iterator[dict[str, Any]]:
        """The rows of all shards, in the input's order.

        Args:
            strict: the job must be complete; else missing shards are skipped.

        Raises:
            InputInvalidError: a chunk hasn't been scored yet.
            JobStorageError: a file can't be read.
        """
        for chunk in range(self.chunks):
            yield from self._complete(chunk) if strict else self.shard(chunk) or []

    def results(self) -> Iterator[Result]:
        """The results of all rows, in the input's order. Raises as ``scored_rows``."""
        return map(Result.from_json, self.scored_rows())

    def rows(self) -> Iterator[JobRow]:
        """All rows with their results, in the input's order. Raises as ``scored_rows``."""
        for chunk in range(self.chunks):
            for given, scored in zip(self.staged(chunk), self._complete(chunk)):
                yield JobRow(
                    scored["index"], scored["id"], given.get("values") or {}, Result.from_json(scored)
                )

    def _complete(self, chunk: int) -> list[dict[str, Any]]:
        shard = self.shard(chunk)
        if shard is None:
            raise InputInvalidError(
                f"The job {self.path} is incomplete: chunk {chunk:,} of {self.chunks:,} is missing.",
                hint=f"Finish it first: nlpsuite jobs resume {self.path}",
            )
        return shard

    def report(self) -> dict[str, Any]:
        """How the last run ended; empty if none has yet."""
        try:
            report: dict[str, Any] = json.loads((self.path / REPORT).read_bytes())
        except (OSError, ValueError):
            return {}
        return report

    def write_report(self, report: Mapping[str, Any]) -> None:
        with job_errors(self.path):
            atomic_write_text(
                self.path / REPORT, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            )


def write_staged(directory: Path, chunk: int, rows: Iterable[Mapping[str, Any]], typed: bool) -> None:
    """Write a chunk's rows as ``Job.staged`` reads them.

    Raises:
        JobStorageError: they can't be written.
        PluginError: a reader returned a value that JSON can't hold.
    """
    if typed:
        rows = ({**row, "values": to_json(row.get("values") or {})} for row in rows)
    file = directory / INPUT / _name(chunk)
    try:
        data = seal(chunk, map(_encoded, rows))
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"A value that was read can't be stored: {error}.", hint="This is a bug in the reader's plugin."
        ) from None
    with job_errors(file):
        file.parent.mkdir(exist_ok=True)
        atomic_write_bytes(file, data, sync_directory=False)


# A lone surrogate, which JSON can have, is written as the escape that it was read from.
_encoder = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


def _encoded(row: Mapping[str, Any]) -> bytes:
    return _encoder.encode(row).encode()


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> Job:
    """Write the manifest, which makes the directory a job. Raises JobStorageError."""
    with job_errors(directory):
        (directory / SHARDS).mkdir(exist_ok=True)
        for place in (directory / INPUT, directory):
            fsync_directory(place)
        summed = {**manifest, "sha256": canonical_sha256(manifest)}
        text = json.dumps(summed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        atomic_write_text(directory / MANIFEST, text)
    return Job(directory, json.loads(canonical(manifest)))


def _name(chunk: int) -> str:
    return f"{chunk:06d}.jsonl"
