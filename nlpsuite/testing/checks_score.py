"""Checks of training and evaluation: reference answers, targets, metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError
from nlpsuite.tasks.result import Output
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import Subject, shown

__all__ = ["CHECKS"]

_SAMPLES = "declare samples = ((text, reference), …) in the task if the usual ones don't suit it"


def references(subject: Subject) -> str:
    """A reference answer of a file is accepted, and reading it again changes nothing."""
    for text, value in subject.samples:
        reference = _reference(subject, value)
        expect(isinstance(reference, str), f"reference of {shown(value)} is {reference!r}, not a string")
        same = _reference(subject, reference) == reference
        expect(same, f"reference of {shown(reference)} is not itself; {_SAMPLES}")
        expect(text.strip(), "samples has an empty text", subject.place("samples"))
    if not subject.task.labels:
        return f"{len(subject.samples)} samples"
    try:
        subject.task.reference("no such label")
    except NlpsuiteError:
        return f"{len(set(subject.task.labels.values()))} labels"
    except Exception as error:
        name = type(error).__name__
        raise CheckFailed(f"an unknown label raises {name}, not InputInvalidError") from None
    raise CheckFailed("'no such label' is taken as a reference answer")


def targets(subject: Subject) -> None:
    """What an adapter learns to write is accepted as the answer, and no stop string cuts it off."""
    for given in _variants(subject):
        for text, value in subject.samples:
            record = Record(text)
            prompt, target = subject.prompt(record, given), _target(subject, record, value, given)
            message = f"the target {shown(target)} is not among the choices {list(prompt.choices)}"
            expect(not prompt.choices or target in prompt.choices, message)
            cut = [stop for stop in prompt.stop if stop in target and stop not in value]
            expect(not cut, f"the target {shown(target)} would be cut off at one of the stop strings {cut}")


def metrics_are_bounded(subject: Subject) -> str:
    """Results run from 0 to 1 or from 0 to 100, more being better; a perfect output has the most."""
    wanted = [_reference(subject, value) for _, value in subject.samples]
    best: dict[str, float] = {}
    for given in _variants(subject):
        perfect = [_perfect(subject, Record(text), value, given) for text, value in subject.samples]
        best = _figures(subject, perfect, wanted, given)
        texts = f"outputs {shown(str([str(o) for o in perfect]))}, references {shown(str(wanted))}"
        for name, figure in best.items():
            message = (
                f"{name} is {figure:g} for outputs equal to their references, must be 1 or 100 ({texts})"
            )
            fits = any(math.isclose(figure, most, abs_tol=1e-6) for most in (1, 100))
            expect(fits, f"{message}; {_SAMPLES}")
        worse = _figures(subject, _wrong(perfect), wanted, given)
        for name, figure in worse.items():
            most = best.get(name, 0)
            message = f"{name} is {figure:g} for wrong outputs, must lie between 0 and {most:g}"
            expect(0 <= figure <= most, message)
        lower = any(figure < best[name] for name, figure in worse.items())
        expect(lower, "no figure is lower for wrong outputs than for perfect ones")
    return ", ".join(best)


def metrics_check_their_rows(subject: Subject) -> None:
    """No rows, or not as many references as outputs, are refused: a cut list looks perfect."""
    text, value = subject.samples[0]
    reference = _reference(subject, value)
    output = _perfect(subject, Record(text), value, {})
    for outputs, wanted in (([output, output], [reference]), ([output], [reference] * 2), ([], [])):
        try:
            outcome = f"gave {subject.task.evaluate(outputs, wanted, subject.options({}))}"
        except NlpsuiteError:
            continue
        except Exception as error:
            outcome = f"raised {type(error).__name__}, not InputInvalidError"
        message = f"evaluate of {len(outputs)} outputs and {len(wanted)} references {outcome}"
        raise CheckFailed(f"{message}; call nlpsuite.plugins.check_lengths first")


def _variants(subject: Subject) -> Iterator[dict[str, Any]]:
    yield from (dict(subject.task.adapter_options), {})


def _reference(subject: Subject, value: str) -> str:
    try:
        return subject.call("reference", value, subject.task.reference, value)
    except CheckFailed as failed:
        raise CheckFailed(f"{failed.message}; {_SAMPLES}", failed.where) from None


def _target(subject: Subject, record: Record, value: str, given: dict[str, Any]) -> str:
    target = subject.call("target", value, subject.task.target, value, record, subject.options(given))
    where = subject.place("target")
    expect(isinstance(target, str), f"target of {shown(value)} is {target!r}, not a string", where)
    return target


def _perfect(subject: Subject, record: Record, value: str, given: dict[str, Any]) -> Output:
    """What the task reads from a completion that is exactly the target."""
    target = _target(subject, record, value, given)
    return subject.parse(subject.completion(subject.prompt(record, given), target), record, given)


def _figures(
    subject: Subject, outputs: Sequence[Output], wanted: Sequence[str], given: dict[str, Any]
) -> dict[str, float]:
    arguments = outputs, wanted, subject.options(given)
    figures = subject.call("evaluate", wanted[0], subject.task.evaluate, *arguments)
    expect(isinstance(figures, dict) and figures, f"evaluate gave {figures!r}, not figures by name")
    for name, figure in figures.items():
        fits = isinstance(name, str) and isinstance(figure, (int, float)) and math.isfinite(figure)
        expect(fits, f"evaluate gave {name!r}: {figure!r}, which is not a finite figure")
    return figures


def _wrong(perfect: Sequence[Output]) -> list[Output]:
    """Each output in place of the one before; a single one becomes nonsense."""
    return [*perfect[1:], perfect[0]] if len(perfect) > 1 else [Output("zzz qqq", "zzz qqq")]


CHECKS = {
    references: "reference", targets: "target", metrics_are_bounded: "evaluate", metrics_check_their_rows: "evaluate"
}  # fmt: skip
