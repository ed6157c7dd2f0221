"""What a worker does with a chunk: read its rows, run the task on them, commit what came of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.engine import Beat, Done, OnBeat, RunChunk
from nlpsuite.batch.job import Job
from nlpsuite.batch.storage import canonical, canonical_sha256
from nlpsuite.data.records import record_of, row_options
from nlpsuite.data.values import to_json
from nlpsuite.errors import InputInvalidError, NlpsuiteError, PluginError

if TYPE_CHECKING:
    from nlpsuite.data.record import Record
    from nlpsuite.tasks.pipeline import Pipeline
    from nlpsuite.tasks.result import Output, Result

__all__ = ["FACTORY", "input_sha256", "open_job"]

FACTORY = "nlpsuite.batch.worker:open_job"


def open_job(job: str, bundle: str, prompt_file: str | None, shots: str | None, threads: int) -> RunChunk:
    """Load what the manifest of a job says; see ``nlpsuite.batch.engine.Work``.

    Args:
        job: its directory.
        bundle, prompt_file, shots: where these are; that they are those of the manifest is checked.

    Raises:
        JobRefusedError: model, prompt, examples or plugin are no longer those of the manifest.
        NlpsuiteError: the model or the plugin can't be loaded.
    """
    from nlpsuite.batch.fingerprint import check_same, worker_keys
    from nlpsuite.tasks.load import load

    opened = Job.open(Path(job))
    keys = opened.manifest["keys"]
    pipeline = load(
        keys["task"],
        model=bundle,
        device=keys["device"],
        threads=threads,
        max_parts=keys["max_parts"],
        prompt_file=prompt_file,
        shots=shots,
        max_shots=opened.manifest["request"]["max_shots"],
        guard=keys["guard"],
        **keys["options"],
    )
    found = worker_keys(pipeline.task, pipeline.override, pipeline.model.bundle, keys["options"], keys["guard"])
    check_same({key: keys[key] for key in found}, found, opened.path)
    return _Worker(opened, pipeline).run


class _Worker:
    def __init__(self, job: Job, pipeline: Pipeline) -> None:
        self._job, self._pipeline = job, pipeline
        keys = job.manifest["keys"]
        self._text_columns, self._option_columns = keys["text_columns"], keys["option_columns"]
        self._format = keys["reader"].get("format", "")

    def run(self, chunk: int, on_beat: OnBeat) -> Done:
        """Score a chunk and commit it.

        If it is committed already, what failed is tried again; only if that mends a row is the whole chunk
        scored anew, so that its bytes are those of a run in which nothing had failed. It is committed only
        if fewer rows fail then.
        """
        started = time.perf_counter()
        staged = self._job.staged(chunk)
        before = self._job.shard(chunk)
        if before is not None:
            failed = [i for i, row in enumerate(before) if row["status"] == "error"]
            again = self._score(
                [staged[i] for i in failed], [before[i]["index"] for i in failed], lambda _: None
            )
            if all(row["status"] == "error" for row in again):
                return _done(chunk, before, started)
        first = chunk * self._job.chunk_rows
        rows = self._score(staged, range(first, first + len(staged)), on_beat)
        if before is not None and _errors(rows) >= _errors(before):
            return _done(chunk, before, started)
        self._job.commit(chunk, rows)
        return _done(chunk, rows, started)

    def _score(self, staged: list[dict[str, Any]], indices: Any, on_beat: OnBeat) -> list[dict[str, Any]]:
        records: list[Record] = []
        options: list[dict[str, Any]] = []
        prepared: list[NlpsuiteError | None] = []  # why a row has no record
        for row in staged:
            try:
                if "error" in row:
                    raise InputInvalidError(row["error"]["message"], hint=row["error"]["hint"])
                record = record_of(row["values"], self._text_columns, self._format)
                own = row_options(
                    row["values"], self._option_columns, self._pipeline.task.options, self._format
                )
            except NlpsuiteError as error:
                prepared.append(error)
            else:
                prepared.append(None)
                records.append(record)
                options.append(own)
        # A chunk's result must not depend on which chunks this worker has run before.
        self._pipeline.model.reset()
        results = iter(self._pipeline.run_each(records, options, lambda result: on_beat(_beat(result))))
        return [
            _row(index, row, next(results) if error is None else error)
            for index, row, error in zip(indices, staged, prepared)
        ]


def input_sha256(staged: Mapping[str, Any]) -> str:
    """Hexadecimal sha256 of what a row was scored from: its id and its values."""
    return canonical_sha256([staged["id"], to_json(staged.get("values"))])


def _row(index: int, staged: Mapping[str, Any], came: Result | NlpsuiteError) -> dict[str, Any]:
    row = {"index": index, "id": staged["id"], "input_sha256": input_sha256(staged)}
    if not isinstance(came, NlpsuiteError):
        try:
            good = row | _came(came)
            canonical(good)
        except (TypeError, ValueError) as fault:
            came = PluginError(
                f"The task's output can't be kept: {fault}.", hint="This is a fault of its plugin."
            )
        else:
            return good
    error = {"type": type(came).__name__, "message": came.message, "hint": came.hint}
    return row | {"status": "error", "error": error}


def _came(result: Result) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": "ok",
        "output": _output(result.output),
        "finish_reason": result.finish_reason,
        "usage": {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens},
    }
    if result.notices:
        values["notices"] = result.notices
    if result.guard is not None:
        values["guard"] = result.guard
    return values


def _output(output: Output) -> dict[str, Any]:
    """The output's fields that say something, as keywords that make it again."""
    values: dict[str, Any] = {"text": output.text}
    if output.label is not None:
        values |= {"label": output.label, "probabilities": dict(output.probabilities or {})}
    if output.data:
        values["data"] = dict(output.data)
    return values


def _beat(result: Result) -> Beat:
    return Beat(1, result.prompt_tokens + result.completion_tokens)


def _errors(rows: list[dict[str, Any]]) -> int:
    return sum(row["status"] == "error" for row in rows)


def _done(chunk: int, rows: list[dict[str, Any]], started: float) -> Done:
    usages = [row["usage"] for row in rows if "usage" in row]
    return Done(
        chunk,
        len(rows),
        _errors(rows),
        sum(usage["prompt_tokens"] for usage in usages),
        sum(usage["completion_tokens"] for usage in usages),
        time.perf_counter() - started,
    )
