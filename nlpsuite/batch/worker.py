"""What a worker does with a chunk: read its rows, run the task on them, commit their results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.engine import Beat, Done, OnBeat, RunChunk
from nlpsuite.batch.job import Job
from nlpsuite.batch.storage import canonical, canonical_sha256
from nlpsuite.data.columns import Selection
from nlpsuite.data.examples import record_of, row_options
from nlpsuite.data.tables import OPENAI_BATCH
from nlpsuite.data.values import to_json
from nlpsuite.errors import InputInvalidError, NlpsuiteError, PluginError
from nlpsuite.tasks.result import Result

if TYPE_CHECKING:
    from nlpsuite.data.record import Record
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["FACTORY", "input_sha256", "open_job"]

FACTORY = "nlpsuite.batch.worker:open_job"


def open_job(job: str, bundle: str, prompt_file: str | None, shots: str | None, threads: int) -> RunChunk:
    """Load the task and the model of a job; see ``nlpsuite.batch.engine.Work``.

    Args:
        job: its directory.
        bundle, prompt_file, shots: paths, whose contents are checked against the manifest.

    Raises:
        JobRefusedError: model, prompt, examples or plugin have changed since the job started.
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
    found = worker_keys(
        pipeline.task, pipeline.override, pipeline.model.bundle, keys["options"], keys["guard"]
    )
    check_same({key: keys[key] for key in found}, found, opened.path)
    return _Worker(opened, pipeline).run


class _Worker:
    def __init__(self, job: Job, pipeline: Pipeline) -> None:
        self._job, self._pipeline = job, pipeline
        keys = job.manifest["keys"]
        self._selection = Selection(
            tuple(keys["text_columns"]),
            keys.get("messages_column", ""),
            options=keys["option_columns"],
            requests=keys["reader"].get("format") == OPENAI_BATCH,
        )

    def run(self, chunk: int, on_beat: OnBeat) -> Done:
        """Score a chunk and commit it.

        Of a chunk that is committed already, failed rows are retried first. Only if one of them succeeds is
        the whole chunk scored again, so that its bytes equal those of a run without failures; it is committed
        only if fewer rows fail.
        """
        started = time.perf_counter()
        staged = self._job.staged(chunk)
        before = self._job.shard(chunk)
        if before is not None:
            failed = [i for i, row in enumerate(before) if row["status"] == "error"]
            retried = self._score(
                [staged[i] for i in failed], [before[i]["index"] for i in failed], lambda _: None
            )
            if _errors(retried) == len(retried):
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
        failed: dict[int, NlpsuiteError] = {}  # rows that gave no record
        for i, row in enumerate(staged):
            try:
                if "error" in row:
                    raise InputInvalidError(row["error"]["message"], hint=row["error"]["hint"])
                record = record_of(row["values"], self._selection)
                own = row_options(row["values"], self._selection, self._pipeline.task.options)
            except NlpsuiteError as error:
                failed[i] = error
            else:
                records.append(record)
                options.append(own)
        # A chunk's result must not depend on the chunks that this worker ran before.
        self._pipeline.model.reset()
        results = iter(self._pipeline.run_each(records, options, lambda result: on_beat(_beat(result))))
        return [
            _shard_row(index, row, failed.get(i) or next(results))
            for i, (index, row) in enumerate(zip(indices, staged))
        ]


def input_sha256(staged: Mapping[str, Any]) -> str:
    """Hexadecimal sha256 of a row's input: its id and its values."""
    return canonical_sha256([staged["id"], to_json(staged.get("values"))])


def _shard_row(index: int, staged: Mapping[str, Any], outcome: Result | NlpsuiteError) -> dict[str, Any]:
    result = outcome if isinstance(outcome, Result) else Result.failed(outcome)
    row = {"index": index, "id": staged["id"], "input_sha256": input_sha256(staged)}
    try:
        canonical(values := result.to_json())
    except (TypeError, ValueError) as error:
        fault = PluginError(
            f"The task's output can't be stored: {error}.", hint="This is a bug in its plugin."
        )
        values = Result.failed(fault).to_json()
    return row | values


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
