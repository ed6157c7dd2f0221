"""Checks of training and evaluation: reference answers, targets, metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError
from nlpsuite.tasks.result import Output
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.subject import Subject, shown

__all__ = ["metrics_are_bounded", "metrics_check_their_rows", "references", "targets"]

_SAMPLES = "declare samples = ((text, reference), …) in the task if the usual ones don't suit it"


def references(subject: Subject) -> str:
    """A reference answer of a file is read, and reading it again changes nothing."""
    place = subject.place("reference")
    for text, value in subject.samples:
        reference = _reference(subject, value)
        if not isinstance(reference, str):
            raise CheckFailed(f"reference of {shown(value)} is {reference!r}, not a string", place)
        if _reference(subject, reference) != reference:
            raise CheckFailed(f"reference of {shown(reference)} is not itself; {_SAMPLES}", place)
        if not text.strip():
            raise CheckFailed("samples has an empty text", subject.place("samples"))
    if subject.task.labels:
        try:
            subject.task.reference("no such label")
        except NlpsuiteError:
            return f"{len(set(subject.task.labels.values()))} labels"
        except Exception as error:
            raise CheckFailed(
                f"an unknown label raises {type(error).__name__}, not InputInvalidError", place
            ) from None
        raise CheckFailed("'no such label' is taken as a reference answer", place)
    return f"{len(subject.samples)} samples"


def targets(subject: Subject) -> str:
    """What an adapter learns to write is read as the reference answer, and no stop string cuts it."""
    for given in (dict(subject.task.adapter_options), {}):
        for text, value in subject.samples:
            record = Record(text)
            prompt, target = subject.prompt(record, given), _target(subject, record, value, given)
            if prompt.choices and target not in prompt.choices:
                raise CheckFailed(
                    f"the target {shown(target)} is none of the choices {list(prompt.choices)}",
                    subject.place("target"),
                )
            if cut := [stop for stop in prompt.stop if stop in target and stop not in value]:
                raise CheckFailed(
                    f"the target {shown(target)} would be cut at the stop string {cut[0]!r}",
                    subject.place("target"),
                )
    return ""


def metrics_are_bounded(subject: Subject) -> str:
    """Figures run from 0 to 1 or from 0 to 100, the more the better; a perfect output has the most."""
    place = subject.place("evaluate")
    wanted = [_reference(subject, value) for _, value in subject.samples]
    best: dict[str, float] = {}
    for given in (dict(subject.task.adapter_options), {}):
        perfect = []
        for text, value in subject.samples:
            record = Record(text)
            target = _target(subject, record, value, given)
            perfect.append(
                subject.parse(subject.completion(subject.prompt(record, given), target), record, given)
            )
        best = _figures(subject, perfect, wanted, given)
        for name, figure in best.items():
            if not any(math.isclose(figure, most, abs_tol=1e-6) for most in (1, 100)):
                raise CheckFailed(
                    f"{name} is {figure:g} for outputs equal to their references, must be 1 or 100 "
                    f"(outputs {shown(str([str(o) for o in perfect]))}, references {shown(str(wanted))}); {_SAMPLES}",
                    place,
                )
        worse = _figures(subject, _wrong(perfect), wanted, given)
        if out := [n for n, figure in worse.items() if not 0 <= figure <= best.get(n, 0)]:
            raise CheckFailed(
                f"{out[0]} is {worse[out[0]]:g} for wrong outputs, must lie from 0 to {best.get(out[0], 1):g}",
                place,
            )
        if all(figure >= best[name] for name, figure in worse.items()):
            raise CheckFailed("no figure is lower for wrong outputs than for perfect ones", place)
    return ", ".join(best)


def metrics_check_their_rows(subject: Subject) -> str:
    """Outputs and references that are not as many, or none, are refused: a cut list looks perfect."""
    place = subject.place("evaluate")
    text, value = subject.samples[0]
    reference = _reference(subject, value)
    prompt, target = subject.prompt(Record(text), {}), _target(subject, Record(text), value, {})
    output = subject.parse(subject.completion(prompt, target), Record(text), {})
    for outputs, wanted in (([output, output], [reference]), ([output], [reference] * 2), ([], [])):
        what = f"{len(outputs)} outputs and {len(wanted)} references"
        try:
            figures = subject.task.evaluate(outputs, wanted, subject.options({}))
        except NlpsuiteError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"evaluate of {what} raised {type(error).__name__}, not InputInvalidError; see "
                "nlpsuite.evaluation.metrics.lengths.check_lengths",
                place,
            ) from None
        raise CheckFailed(
            f"evaluate of {what} gave {figures}; call nlpsuite.evaluation.metrics.lengths.check_lengths first",
            place,
        )
    return ""


def _reference(subject: Subject, value: str) -> str:
    try:
        return subject.call("reference", value, subject.task.reference, value)
    except CheckFailed as failed:
        raise CheckFailed(f"{failed.message}; {_SAMPLES}", failed.where) from None


def _target(subject: Subject, record: Record, value: str, given: dict[str, Any]) -> str:
    target = subject.call("target", value, subject.task.target, value, record, subject.options(given))
    if not isinstance(target, str):
        raise CheckFailed(f"target of {shown(value)} is {target!r}, not a string", subject.place("target"))
    return target


def _figures(
    subject: Subject, outputs: Sequence[Output], wanted: Sequence[str], given: dict[str, Any]
) -> dict[str, float]:
    place = subject.place("evaluate")
    figures = subject.call(
        "evaluate", wanted[0], subject.task.evaluate, outputs, wanted, subject.options(given)
    )
    if not isinstance(figures, dict) or not figures:
        raise CheckFailed(f"evaluate gave {figures!r}, not figures by name", place)
    for name, figure in figures.items():
        if not isinstance(name, str) or not isinstance(figure, (int, float)) or not math.isfinite(figure):
            raise CheckFailed(f"evaluate gave {name!r}: {figure!r}, which is no finite figure", place)
    return figures


def _wrong(perfect: Sequence[Output]) -> list[Output]:
    """Each output in the place of the one before; an only one gives way to nonsense."""
    return [*perfect[1:], perfect[0]] if len(perfect) > 1 else [Output("zzz qqq", "zzz qqq")]
