"""Predictions by a model: a job scores the rows, so that an evaluation that was interrupted goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.job import Job, canonical, job_directory
from nlpsuite.batch.score import ScoreRequest, score
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.rows import EvaluatedRow, predicted
from nlpsuite.paths import cache_dir

if TYPE_CHECKING:
    from nlpsuite.batch.run import JobReporter
    from nlpsuite.tasks.base import Task

__all__ = ["model_of", "predict", "unnamed_output"]


def predict(
    task: Task[Any], rows: Sequence[EvaluatedRow], request: ScoreRequest, reporter: JobReporter
) -> tuple[list[EvaluatedRow], dict[str, Any]]:
    """The rows with a model's answers, and what is known of the model.

    Args:
        rows: of the table that the request names.

    Raises:
        As ``nlpsuite.batch.score.score``; what was scored until then is kept.
    """
    kept = request.output.parent == _evaluations()
    if kept:
        request.output.parent.mkdir(parents=True, exist_ok=True)
    score(request, reporter)
    job = Job.open(job_directory(request.output))
    scored = list(job.rows())
    if len(scored) != len(rows):
        raise InputInvalidError(
            f"The job {job.path} has {len(scored):,} rows, the data set {len(rows):,}.",
            hint="The data changed meanwhile: begin again with --overwrite.",
        )
    done = []
    for row, came in zip(rows, scored):
        prediction = None if came.output is None else predicted(task, came.output)
        error = came.error["message"] if came.error else ""
        done.append(dataclasses.replace(row, id=came.id, prediction=prediction, error=error))
    model = model_of(job)
    if kept:  # nobody asked for the predictions: only an interrupted job stays
        request.output.unlink(missing_ok=True)
        shutil.rmtree(job.path, ignore_errors=True)
    return done, model


def unnamed_output(request: ScoreRequest) -> Path:
    """Where the job of an evaluation is kept that writes no predictions: the same for the same request."""
    values = {name: str(value) for name, value in dataclasses.asdict(request).items() if name != "output"}
    return _evaluations() / f"{hashlib.sha256(canonical(values)).hexdigest()[:16]}.jsonl"


def _evaluations() -> Path:
    return cache_dir() / "evaluations"


def model_of(job: Job) -> dict[str, Any]:
    """Name and sha256 of the model that a job was scored with."""
    model = job.manifest["keys"]["model"]
    return {"name": job.manifest["model"], "sha256": model["sha256"], "adapter_sha256": model["adapter"]}
