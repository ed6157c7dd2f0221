"""A job's fingerprint: all that its results depend on, and nothing else, such as threads, engine, host or paths.

A job is resumed only under the same fingerprint. Model, adapter and tokenizer are identified by the sha256 of
their files, never by name.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.batch.storage import canonical
from nlpsuite.data.tables import Table
from nlpsuite.errors import JobRefusedError
from nlpsuite.options import make_options
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.batch.request import ScoreRequest
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.override import PromptOverride

__all__ = ["check_same", "effective_options", "job_keys", "worker_keys"]

_CHUNK_ROWS = {True: 256, False: 32}  # rows of a chunk, by whether the task chooses among labels


def job_keys(
    request: ScoreRequest,
    task: Task[Any],
    override: PromptOverride,
    table: Table,
    input_sha256: str,
    bundle: Bundle,
) -> dict[str, Any]:
    """The keys of the fingerprint as JSON values.

    ``text_columns`` are the requested ones; the others are known once the table has been read.

    Raises:
        NlpsuiteError: the model or an option can't be used.
    """
    from nlpsuite.runtime.device import choose_device

    options = {**(table.options or {}), **request.options}
    keys = {
        "task": task.name,
        **worker_keys(task, override, bundle, options, request.guard),
        "options": options,
        "option_columns": {**table.option_columns, **request.option_columns},
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
    plain: dict[str, Any] = json.loads(canonical(keys))  # as read from a manifest: lists in place of tuples
    return plain


def effective_options(
    task: Task[Any], override: PromptOverride, bundle: Bundle, options: Mapping[str, Any]
) -> Any:
    """A task's options: those given, over those that the adapter and the few-shot examples bring."""
    from nlpsuite.tasks.pipeline import default_options

    defaults, _ = default_options(task, bundle, override)
    return make_options(task.options, {**defaults, **options})


def worker_keys(
    task: Task[Any], override: PromptOverride, bundle: Bundle, options: Mapping[str, Any], guard: str | None
) -> dict[str, Any]:
    """The keys that depend on what is installed and loaded; each worker compares them with the manifest.

    Args:
        options: as given; they override those that the adapter and the few-shot examples bring.
    """
    import onnxruntime

    from nlpsuite.plugins import find_task
    from nlpsuite.plugins.registry import find_plugin

    plugin = find_task(task.name)
    screens = find_plugin("guard", "guard") if guard else None
    keys = {
        "task_version": task.version,
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        "prompt": {
            name: {key: value for key, value in report.items() if key != "path"}
            for name, report in override.report.items()
        },
        "effective_options": dataclasses.asdict(effective_options(task, override, bundle, options)),
        "guard_plugin": screens and {"distribution": screens.distribution, "version": screens.version},
        "model": {
            "sha256": bundle.fingerprint,
            "adapter": bundle.adapter and bundle.adapter.get("sha256"),
            "end_token_ids": list(bundle.end_token_ids),
            "context_length": bundle.context_length,
        },
        "onnxruntime": onnxruntime.__version__,
    }
    plain: dict[str, Any] = json.loads(canonical(keys))
    return plain


def check_same(existing: Mapping[str, Any], requested: Mapping[str, Any], directory: Path) -> None:
    """Raises JobRefusedError, naming the keys that differ, unless a job's keys are the requested ones."""
    if differences := _differences("", existing, requested):
        raise JobRefusedError(
            "\n".join([f"{directory} belongs to a different run. Differences:", *differences]),
            hint="Use the job's own settings to resume it, name another output, or start over with --overwrite.",
        )


def _differences(key: str, existing: Any, requested: Any) -> list[str]:
    if existing == requested:
        return []
    if isinstance(existing, Mapping) and isinstance(requested, Mapping):
        return [
            line
            for name in {**existing, **requested}
            for line in _differences(
                f"{key}.{name}" if key else name, existing.get(name), requested.get(name)
            )
        ]
    return [f"  {key}: {_shown(existing)} in the job, {_shown(requested)} requested"]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"
