"""A result with everything it depends on, as JSON values: what ``nlpsuite run --json`` prints."""

from __future__ import annotations

from typing import Any

from nlpsuite import __version__
from nlpsuite.plugins.registry import find_plugin
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Result

__all__ = ["run_report"]


def run_report(pipeline: Pipeline, result: Result, *, source: str, load_seconds: float) -> dict[str, Any]:
    """The output, what it took, and the versions of model and plugin.

    Args:
        source: where the text came from: a path, ``-`` or ``--text``.
        load_seconds: time it took to load the model.
    """
    task, output, bundle = pipeline.task, result.output, pipeline.model.bundle
    model: dict[str, Any] = {
        "name": bundle.name,
        "precision": bundle.graph("slots").precision,
        "fingerprint": bundle.fingerprint,
        "device": pipeline.model.device.kind,
    }
    if bundle.adapter:
        model["adapter"] = {key: bundle.adapter[key] for key in ("task", "sha256")}
    report: dict[str, Any] = {"task": task.name, "source": source, "text": output.text}
    if output.label is not None:
        report |= {"label": output.label, "probabilities": dict(output.probabilities or {})}
    report |= {
        **output.data,
        "finish_reason": result.finish_reason,
        "usage": {
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "parts": result.parts,
        },
        "timings": _timings(result, load_seconds),
        "notices": result.notices,
        "model": model,
        "plugin": _plugin("task", task.name) | {"task_version": task.version},
        "nlpsuite": __version__,
    }
    if result.guard is not None:
        report["guard"] = {**result.guard, "plugin": _plugin("guard", "guard")}
    return report | pipeline.override.report


def _timings(result: Result, load_seconds: float) -> dict[str, float | None]:
    first = result.first_token_seconds
    generating = result.seconds - (first or 0)
    rate = (result.completion_tokens - 1) / generating if generating > 0 else 0
    return {
        "load_seconds": round(load_seconds, 3),
        "first_token_seconds": None if first is None else round(first, 6),
        "total_seconds": round(result.seconds, 3),
        "tokens_per_second": round(rate, 6) if rate > 0 else None,
    }


def _plugin(kind: str, name: str) -> dict[str, str]:
    plugin = find_plugin(kind, name)
    return {"distribution": plugin.distribution, "version": plugin.version}
