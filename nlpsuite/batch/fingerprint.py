"""What a job's results depend on, and nothing else: threads, engine, host and paths are not in it.

A job is gone on with only under the same fingerprint. Model, adapter and tokenizer count by their files'
sha256, never by their names.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.storage import canonical
from nlpsuite.data.tables import Table
from nlpsuite.errors import JobRefusedError
from nlpsuite.options import make_options
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.batch.score import ScoreRequest
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.override import PromptOverride

__all__ = ["check_same", "job_keys", "request_values", "worker_keys"]

_CHUNK_ROWS = {True: 256, False: 32}  # rows whose answers are chosen, and rows whose answers are generated


def job_keys(
    request: ScoreRequest,
    task: Task[Any],
    override: PromptOverride,
    table: Table,
    input_sha256: str,
    bundle: Bundle,
) -> dict[str, Any]:
    """The keys of the fingerprint as JSON values.

    ``text_columns`` are those asked for; which they are otherwise shows when the table is read.

    Raises:
        NlpsuiteError: the model or an option can't be used.
    """
    from nlpsuite.runtime.device import choose_device

    options = {**(table.options or {}), **request.options}
    keys = {
        "task": task.name,
        **worker_keys(task, override, bundle, options, request.guard),
        "options": options,
        "option_columns": dict(request.option_columns),
        "max_parts": request.max_parts,
        "guard": request.guard,
        "device": choose_device(request.device).kind,  # type: ignore[arg-type]
        "input_sha256": input_sha256,
        "reader": dict(table.reader),
        "text_columns": list(request.text_columns),
        "id_column": request.id_column or table.id,
        "limit": request.limit,
        "chunk_rows": request.chunk_rows or _CHUNK_ROWS[bool(task.labels)],
        "prefix": request.prefix,
    }
    plain: dict[str, Any] = json.loads(canonical(keys))  # as they come out of a manifest: lists for tuples
    return plain


def worker_keys(
    task: Task[Any], override: PromptOverride, bundle: Bundle, options: Mapping[str, Any], guard: str | None
) -> dict[str, Any]:
    """Those keys that what is installed and loaded decides, which each worker compares with the manifest.

    Args:
        options: as given, over those that the model and the examples ask for.
    """
    from nlpsuite.plugins import find_task
    from nlpsuite.plugins.discovery import find_plugin
    from nlpsuite.tasks.pipeline import default_options

    defaults, _ = default_options(task, bundle, override)
    plugin = find_task(task.name)
    screens = find_plugin("guard", "guard") if guard else None
    keys = {
        "task_version": task.version,
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        "prompt": {
            name: {key: value for key, value in report.items() if key != "path"}
            for name, report in override.report.items()
        },
        "effective_options": dataclasses.asdict(make_options(task.options, {**defaults, **options})),
        "guard_plugin": screens and {"distribution": screens.distribution, "version": screens.version},
        "model": {
            "sha256": bundle.fingerprint,
            "adapter": bundle.adapter and bundle.adapter.get("sha256"),
            "end_token_ids": list(bundle.end_token_ids),
            "context_length": bundle.context_length,
        },
        "onnxruntime": _onnxruntime_version(),
    }
    plain: dict[str, Any] = json.loads(canonical(keys))
    return plain


def check_same(there: Mapping[str, Any], asked: Mapping[str, Any], directory: Path) -> None:
    """Raises JobRefusedError, with the keys that differ, unless a job is the one that is asked for."""
    differing = [
        line for key in {**there, **asked} for line in _differing(key, there.get(key), asked.get(key))
    ]
    if not differing:
        return
    raise JobRefusedError(
        "\n".join([f"{directory} is the job of something else. What differs:", *differing]),
        hint="Give the job's own options to go on with it, name another output, or use --overwrite to begin anew.",
    )


def _differing(key: str, there: Any, asked: Any) -> list[str]:
    if there == asked:
        return []
    if isinstance(there, dict) and isinstance(asked, dict):
        names = {**there, **asked}
        return [line for n in names for line in _differing(f"{key}.{n}", there.get(n), asked.get(n))]
    return [f"  {key}: {_shown(there)} there, {_shown(asked)} now"]


def request_values(request: ScoreRequest) -> dict[str, Any]:
    """A request as JSON values, with absolute paths: what a job needs to be gone on with."""
    values = dataclasses.asdict(request)
    for name in ("prompt_file", "shots"):
        if values[name] is not None:
            values[name] = os.path.abspath(values[name])
    values["output"] = os.path.abspath(request.output)
    values["overwrite"] = False  # to go on is not to begin anew
    values["text_columns"] = list(request.text_columns)
    return values


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"
