"""What a job's results depend on, and nothing else: threads, engine, host and paths are not in it.

A job is gone on with only under the same fingerprint. Model, adapter and tokenizer count by their files'
sha256, never by their names.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import JobRefusedError
from nlpsuite.jobs.tables import Table
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.options import make_options

if TYPE_CHECKING:
    from nlpsuite.export.store import Reporter
    from nlpsuite.jobs.score import ScoreRequest
    from nlpsuite.tasks.base import Task

__all__ = ["check_same", "job_keys", "request_values"]

_CHUNK_ROWS = {True: 256, False: 32}  # rows whose answers are chosen, and rows whose answers are generated


def job_keys(
    request: ScoreRequest, task: Task[Any], table: Table, input_sha256: str, reporter: Reporter
) -> tuple[Bundle, dict[str, Any]]:
    """The bundle that is used, built if need be, and the keys of the fingerprint as JSON values.

    ``text_columns`` are those asked for; which they are otherwise shows when the table is read.

    Raises:
        NlpsuiteError: the model can't be had or used.
    """
    from nlpsuite.api import resolve_bundle
    from nlpsuite.plugins import find_task
    from nlpsuite.plugins.discovery import find_plugin
    from nlpsuite.runtime.device import choose_device
    from nlpsuite.tasks.pipeline import preset_options

    path, _ = resolve_bundle(
        task, model=request.model, adapter=request.adapter, precision=request.precision, reporter=reporter
    )
    bundle = Bundle.open(path)
    preset, _ = preset_options(task, bundle)
    plugin = find_task(task.name)
    adjusted = {
        name: {key: value for key, value in report.items() if key != "path"}
        for name, report in task.adjusted.report.items()
    }
    guard = find_plugin("guard", "guard") if request.guard else None
    keys = {
        "task": task.name,
        "task_version": task.version,
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        "prompt": adjusted,
        "options": dict(request.options),
        "effective_options": dataclasses.asdict(
            make_options(task.options, {**preset, **dict(request.options)})
        ),
        "option_columns": dict(request.option_columns),
        "max_parts": request.max_parts,
        "guard": request.guard,
        "guard_plugin": guard and {"distribution": guard.distribution, "version": guard.version},
        "model": {
            "sha256": bundle.fingerprint,
            "adapter": bundle.adapter and bundle.adapter.get("sha256"),
            "end_token_ids": list(bundle.end_token_ids),
            "context_length": bundle.context_length,
        },
        "device": choose_device(request.device).kind,  # type: ignore[arg-type]
        "onnxruntime": _onnxruntime_version(),
        "input_sha256": input_sha256,
        "reader": dict(table.reader),
        "text_columns": list(request.text_columns),
        "id_column": request.id_column or table.id,
        "limit": request.limit,
        "chunk_rows": request.chunk_rows or _CHUNK_ROWS[bool(task.labels)],
        "prefix": request.prefix,
    }
    return bundle, keys


def check_same(there: Mapping[str, Any], asked: Mapping[str, Any], directory: Path) -> None:
    """Raises JobRefusedError, with the keys that differ, unless a job is the one that is asked for."""
    differing = [key for key in {**there, **asked} if there.get(key) != asked.get(key)]
    if not differing:
        return
    lines = [f"  {key}: {_shown(there.get(key))} there, {_shown(asked.get(key))} now" for key in differing]
    raise JobRefusedError(
        "\n".join([f"{directory} is the job of something else. What differs:", *lines]),
        hint="Give the job's own options to go on with it, name another output, or use --overwrite to begin anew.",
    )


def request_values(request: ScoreRequest) -> dict[str, Any]:
    """A request as JSON values, with absolute paths: what a job needs to be gone on with."""
    values = dataclasses.asdict(request)
    for name in ("prompt_file", "shots"):
        if values[name] is not None:
            values[name] = os.path.abspath(values[name])
    values["output"] = os.path.abspath(request.output)
    values["text_columns"] = list(request.text_columns)
    return values


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"
