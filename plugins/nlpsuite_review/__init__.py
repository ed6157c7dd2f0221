"""Review code or a diff: exact checks with line numbers, and a summary by the model.

What is found is found without the model, by reading the text and Python's syntax tree: it is as sure as
its rules. The default model has 135 million parameters and can't review code. Its summary repeats names
and docstrings, and where there are none it guesses; its remarks on functions (``--depth model``) mostly say
what a function is about, often wrongly, and hardly ever name a true fault. Both are marked as the model's.

No check follows values or types through a program, looks into other files, or knows a project's rules.
Languages other than Python get the checks of single lines: conflict markers, secrets, open work,
indentation. In a diff only added lines are judged; a hunk that makes no sense by itself (it begins inside
a string, say) gets fewer checks.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nlpsuite import (
    Completion,
    GenerationOptions,
    Message,
    Output,
    Prompt,
    Record,
    Sampling,
    Task,
    hookimpl,
    option,
)
from nlpsuite.data.record import Columns
from nlpsuite.errors import InputInvalidError
from nlpsuite.tasks.base import Piece
from nlpsuite.tasks.long_text import Part
from nlpsuite_review.checks import SEVERITIES, Finding
from nlpsuite_review.reading import Reading, Unit, read

_MOST_REMARKS = 12
_OPINION = "model-opinion"
_Place = tuple[str | None, int]


@dataclass(frozen=True)
class ReviewOptions(GenerationOptions):
    severity: Literal["info", "warning", "error"] = option("info", "the least grave findings to show")
    language: Literal["auto", "python", "other"] = option("auto", "of the code; auto looks at names and text")
    depth: Literal["checks", "model"] = option("checks", "model adds the model's opinion of each function")


@dataclass(frozen=True)
class _Piece(Piece):
    """What the model is asked about: an excerpt of ``whole``, or one function of it."""

    whole: str = ""
    unit: Unit | None = None


class Review(Task[ReviewOptions]):
    name = "review"
    options = ReviewOptions
    long_input = "window"  # of what the model is shown; the checks read all of a text
    max_prompt_tokens = 1_000  # a small model loses the thread of longer texts
    samples: ClassVar = (
        ("def f(a=[]):\n    return a", '{"summary": "f returns its argument.", "lines": [1]}'),
        ("a = 1\nif a == None:\n    a = 2", '{"summary": "Sets a.", "lines": [2]}'),
    )
    columns = Columns(text=("code", "diff", "patch", "text"), reference=("lines", "findings"))

    def divide(self, record: Record, options: ReviewOptions) -> Sequence[Piece]:
        reading = read(record.text, options.language)
        pieces = [_Piece(reading.excerpt, whole=record.text)]
        if options.depth == "model":
            for unit in reading.units[:_MOST_REMARKS]:
                pieces.append(_Piece(unit.text, whole=record.text, unit=unit))
        return pieces

    def prompt(self, record: Record, options: ReviewOptions) -> Prompt:
        unit = record.unit if isinstance(record, _Piece) else None
        if unit is not None:
            prompt = Prompt(
                messages=(
                    Message("system", "You are a careful code reviewer."),
                    Message("user", f"Review this code in one sentence.\n\n{record.text}"),
                ),
                prefill=f"The function {unit.name}" if unit.named else "This change",
                max_tokens=70,
                sentence_end_after=8,
                stop=("\n\n", "```"),
                sampling=Sampling(repetition_penalty=1.05, copy_bias=1.0),
            )
            return options.apply(prompt)
        shown = record.text
        if not isinstance(record, _Piece):
            shown = read(record.text, options.language).excerpt
        prompt = Prompt(
            messages=(
                Message("system", "You write short, faithful summaries. Use only facts from the text."),
                Message("user", f"Summarize in one sentence what the following code does.\n\n{shown}"),
            ),
            max_tokens=90,
            sentence_end_after=12,
            stop=("\n\n", "```"),
            sampling=Sampling(repetition_penalty=1.05, copy_bias=3.0),
        )
        return options.apply(prompt)

    def parse(self, completion: Completion, record: Record, options: ReviewOptions) -> Output:
        said = " ".join(completion.text.split())
        if isinstance(record, _Piece) and record.unit is not None:
            unit = record.unit
            remark = Finding(unit.line, "info", f"model's opinion: {said}", _OPINION, unit.file)
            return _output("", [remark] if said else [])
        whole = record.whole if isinstance(record, _Piece) else record.text
        reading = read(whole, options.language)
        least = SEVERITIES.index(options.severity)
        shown = [f for f in reading.findings if SEVERITIES.index(f.severity) >= least]
        return _output(_summary(reading, said, options), shown)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: ReviewOptions) -> Output:
        found = [Finding(**finding) for output in outputs for finding in output.data["findings"]]
        files = list(dict.fromkeys(finding.file for finding in found))
        # Sorted by lines, each file where the diff has it; an opinion stands behind what is known.
        found.sort(key=lambda f: (files.index(f.file), f.line or 0, f.rule == _OPINION))
        return _output(outputs[0].data["summary"], found)

    def reference(self, value: str) -> str:
        """Lines where something should be found, ``3, 12`` or ``a.py:3``, none if it is empty; or JSON:
        ``{"summary": "…", "lines": [3, "a.py:12"]}``.

        Raises:
            InputInvalidError: anything else.
        """
        _expected(value)
        return value

    def target(self, reference: str, record: Record, options: ReviewOptions) -> str:
        summary, _ = _expected(reference)
        if not summary:
            raise InputInvalidError(
                "A reference without a summary teaches nothing: lines are found without the model.",
                hint='Give {"summary": "…", "lines": […]}.',
            )
        return summary

    def evaluate(
        self, outputs: Sequence[Output], references: Sequence[str], options: ReviewOptions
    ) -> dict[str, float]:
        """Precision, recall and F1 of the lines found, against those of the references, all texts together.

        Raises:
            InputInvalidError: none at all, not as many references as outputs, one that names no lines.
        """
        from nlpsuite.evaluation.metrics.lengths import check_lengths

        check_lengths([output.text for output in outputs], references)
        right = given = wanted = 0
        for output, reference in zip(outputs, references):
            found, (_, expected) = _found(output), _expected(reference)
            right, given, wanted = right + len(found & expected), given + len(found), wanted + len(expected)
        precision = right / given if given else float(not wanted)
        recall = right / wanted if wanted else 1.0
        f1 = 2 * right / (given + wanted) if given or wanted else 1.0
        return {"precision": precision, "recall": recall, "f1": f1}


def _summary(reading: Reading, said: str, options: ReviewOptions) -> str:
    """What is known, then what the model says, marked as such."""
    counts = Counter(finding.severity for finding in reading.findings)
    words = {"error": "error", "warning": "warning", "info": "hint"}
    figures = [f"{counts[s]} {word}{'s' * (counts[s] > 1)}" for s, word in words.items() if counts[s]]
    lines = [f"{reading.facts}: {', '.join(figures) or 'nothing found by the checks'}."]
    if said:
        lines.append(f"The model's words, unchecked: {said}")
    left = len(reading.units) - _MOST_REMARKS
    if options.depth == "model" and left > 0:
        lines.append(f"The model was asked about the first {_MOST_REMARKS} functions; {left} more are left.")
    return "\n".join(lines)


def _output(summary: str, found: Sequence[Finding]) -> Output:
    """The findings as text: a line each, under the name of their file if there are names."""
    lines = [summary]
    places = [f"line {f.line}" if f.line is not None else "file" for f in found]
    width = max(map(len, places), default=0)
    file: str | None = None
    for place, finding in zip(places, found):
        if lines == [summary] or finding.file != file:
            file = finding.file
            lines += ["", file] if file else [""]
        lines.append(f"{place:<{width}}  {finding.severity:<7}  {finding.message} ({finding.rule})")
    data = {"summary": summary, "findings": [finding.as_json() for finding in found]}
    return Output("\n".join(lines), data=data)


def _found(output: Output) -> set[_Place]:
    # An opinion names a function, not a fault.
    findings: Any = output.data.get("findings", ())
    return {(f["file"], f["line"]) for f in findings if f["line"] is not None and f["rule"] != _OPINION}


def _expected(reference: str) -> tuple[str, set[_Place]]:
    """The summary (or an empty string) and the places that a reference answer names.

    Raises:
        InputInvalidError: it is something else.
    """
    reference = reference.strip()
    try:
        if not reference.startswith("{"):
            return "", {_place(entry) for entry in re.split(r"[,\s]+", reference) if entry}
        content = json.loads(reference)
        return str(content.get("summary", "")).strip(), {_place(str(e)) for e in content["lines"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputInvalidError(
            f"{reference[:60]!r} names no lines.", hint="References of review are lines: 3, 12 or a.py:3."
        ) from None


def _place(entry: str) -> _Place:
    file, _, line = entry.rpartition(":")
    return file or None, int(line)


@hookimpl
def nlpsuite_task() -> Review:
    return Review()
