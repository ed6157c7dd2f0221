"""How a task cuts its texts and what it does with long ones, as JSON values."""

from __future__ import annotations

from typing import Any

from nlpsuite.tasks.base import Divides, Piece
from nlpsuite.tasks.export.subject import Subject
from nlpsuite.tasks.export.template import NotATemplateError
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.probabilities import mean_probabilities
from nlpsuite.tasks.result import Output
from nlpsuite.tasks.solve import answer_tokens

__all__ = ["derive_limits", "derive_unit"]

_LINES = ("The red house is old. It has two floors.", "Nobody lives there.")
_UNITS = {
    "text": ("\n".join(_LINES),),
    "line": _LINES,
    "sentence": ("The red house is old.", "It has two floors.", "Nobody lives there."),
}


def derive_unit(subject: Subject) -> str:
    """What each prompt is about: ``text``, ``line`` or ``sentence``.

    Raises:
        NotATemplateError: something else.
    """
    texts = tuple(unit.text for unit in subject.units("\n".join(_LINES)))
    for name, units in _UNITS.items():
        if texts == units:
            return name
    raise NotATemplateError("it asks the model several questions about a text")


def derive_limits(subject: Subject) -> dict[str, Any]:
    """The entry ``long_text`` of a task file."""
    task = subject.task
    prompt = subject.prompt(subject.units("a" * 100_000)[0])
    most = subject.bundle.context_length - answer_tokens(prompt)
    if task.max_prompt_tokens is not None:
        most = min(most, task.max_prompt_tokens + subject.solver.shot_tokens)
    policy: str = task.long_input
    merge = _merge(subject, bool(prompt.choices)) if policy == "split" else None
    if policy == "split" and merge is None:
        policy = "error"
    return {"max_prompt_tokens": most, "policy": policy, "merge": merge}


def _merge(subject: Subject, chooses: bool) -> str | None:
    """How the parts' outputs become one; None if in a way of the task's own."""
    task, options = subject.task, subject.options
    if not chooses and task.merging == "map_reduce":
        return "map_reduce"
    parts: list[Part] = [Part("aa bb", " "), Part("cc", "\n")]
    if isinstance(task, Divides):
        parts = [Piece(part.text, separator=part.separator) for part in parts] if not chooses else parts
    if not chooses:
        joined = task.join([Output("AA BB"), Output("CC")], parts, options)
        return "concat" if joined.text == "AA BB CC" else None
    labels = list(task.labels.values()) or ["a", "b"]
    names = list(dict.fromkeys(labels))
    shares = [[1 / (i + 2 + k) for i in range(len(names))] for k in range(2)]
    outputs = [
        Output("", names[0], {name: share / sum(row) for name, share in zip(names, row)}) for row in shares
    ]
    merged = task.join(outputs, parts, options).probabilities or {}
    mean = mean_probabilities(outputs, parts)
    alike = merged.keys() == mean.keys() and all(abs(merged[n] - mean[n]) < 1e-9 for n in mean)
    return "average" if alike else None
