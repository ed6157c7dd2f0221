"""task.json: what another program needs to do a task with a bundle. docs/task-file.md and task.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import nlpsuite
from nlpsuite.options import option_specs
from nlpsuite.runtime.plain_model import PlainModel
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.tasks.export.decision import derive_decision
from nlpsuite.tasks.export.goldens import make_goldens
from nlpsuite.tasks.export.limits import derive_limits, derive_unit
from nlpsuite.tasks.export.subject import Segments, Subject
from nlpsuite.tasks.export.template import (
    Template,
    Turns,
    derive_template,
    derive_turns,
    parts_of,
    placeholder_names,
)
from nlpsuite.tasks.export.writing import derive_writing, same_apart_from_text

__all__ = ["FORMAT", "TASK_FILE", "describe_task", "task_file"]

FORMAT = "nlpsuite.task/1"
TASK_FILE = "task.json"


def describe_task(subject: Subject) -> dict[str, Any]:
    """All of a task file that follows from the task, without the model's answers.

    Raises:
        NotATemplateError: the task does more than the format can say.
    """
    prompt = same_apart_from_text(subject)[0][1]
    unit = derive_unit(subject)
    template = derive_template(subject)
    turns = derive_turns(subject, template) if subject.task.conversational else None
    description: dict[str, Any] = {
        "format": FORMAT,
        "created_by": f"nlpsuite {nlpsuite.__version__}",
        "task": {
            "name": subject.task.name,
            "version": subject.task.version,
            "options": _options(subject),
        },
        "kind": "choose" if prompt.choices else "generate",
        "input": {"unit": unit, "clean": list(template.cleaning)},
        "prompt": _prompt(subject, template, turns),
    }
    if prompt.choices:
        description["choose"] = {
            "choices": list(prompt.choices),
            "calibration": None,
            "temperature": subject.temperature,
            **derive_decision(subject, prompt).to_json(),
        }
    else:
        description["generate"] = derive_writing(subject, template.cleaning)
    return description | {"long_text": derive_limits(subject)}


def task_file(subject: Subject, models: Iterable[PlainModel], texts: Sequence[str] = ()) -> str:
    """The text of a task file.

    Args:
        models: of each graph of the bundle, the one to use by default first.
        texts: of the golden examples, in place of the usual ones.

    Raises:
        NotATemplateError: as ``describe_task``.
        OptionError, TaskNotExportableError: as ``make_goldens``.
    """
    described = describe_task(subject)
    head = {name: described.pop(name) for name in ("format", "created_by", "task")}
    bundle = subject.bundle
    first, *others = [_of_graph(subject, each, described["kind"], texts) for each in models]
    choose = {"choose": described["choose"] | first["choose"]} if "choose" in first else {}
    graph = {"name": bundle.name, **first["model"], "context_length": bundle.context_length}
    description = {**head, "model": graph, **described, **choose}
    description |= {"tolerance": first["tolerance"], "golden": first["golden"]}
    if others:
        description["variants"] = others
    return _dumps(description) + "\n"


def _of_graph(subject: Subject, model: PlainModel, kind: str, texts: Sequence[str]) -> dict[str, Any]:
    """What of a task file depends on the graph."""
    graph = model.graph
    found: dict[str, Any] = {
        "model": {"graph": graph.path, "layout": graph.layout, "precision": graph.precision}
    }
    if kind == "choose":
        prompt = subject.prompt(subject.units("a")[0])
        calibration = _calibration(model, prompt) if prompt.calibration else None
        found["choose"] = {"calibration": calibration}
    return found | make_goldens(subject, model, texts)


def _dumps(value: Any, indent: str = "") -> str:
    """JSON with lists of numbers and strings on one line."""
    inner = f"{indent} "
    if isinstance(value, dict) and value:
        rows = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_dumps(each, inner)}"
            for key, each in value.items()
        ]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "[\n" + ",\n".join(inner + _dumps(each, inner) for each in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _options(subject: Subject) -> dict[str, Any]:
    return {
        spec.public_name: getattr(subject.options, spec.name) for spec in option_specs(subject.task.options)
    }


def _prompt(subject: Subject, template: Template, turns: Turns | None) -> dict[str, Any]:
    names = placeholder_names(template, turns)
    token_id = subject.tokenizer.token_id

    def parts(segments: Segments) -> list[Any]:
        return parts_of(segments, names, token_id)

    text, *others = names.values()
    found: dict[str, Any] = {
        "placeholder": text,
        "parts": parts(template.segments),
        "if_empty": subject.tokenizer.first_token(subject.bundle.end_token_ids),
        "turns": None,
    }
    if turns is not None:
        question, answer = others
        found["turns"] = {
            "before_part": turns.at,
            "question": question,
            "answer": answer,
            "parts": parts(turns.segments),
        }
    return found


def _calibration(model: PlainModel, prompt: Prompt) -> list[float]:
    """The choices' mean log-probabilities after texts without content."""
    trace = model.trace(prompt)
    return [round(score, 5) for score in trace.completion.calibration_logprobs]
