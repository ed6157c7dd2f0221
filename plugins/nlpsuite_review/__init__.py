"""Review code or a diff: bugs that ruff finds, with line numbers, and a summary by the model.

Python code, notebooks and the changed lines of diffs are checked by ruff (the extra ``review``), with rules
that point at bugs and security holes. Text in any language is checked for secrets, conflict markers and work
left unfinished. The findings don't depend on the model: the default one has 135 million parameters and can't
review code. Its summary repeats docstrings and otherwise guesses; its remarks on functions
(``--depth model``) rarely name a real fault. Both are marked as the model's.

Of a diff only added lines are judged. A hunk is checked by itself, so that rules about the whole module
(unused imports, undefined names) apply only to new files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import Columns, Part, Piece
from nlpsuite_review.checks import SEVERITIES, Finding
from nlpsuite_review.reading import Reading, Unit, read

_MAX_REMARKS = 12
_OPINION = "model-opinion"
_Place = tuple[str | None, int]


@dataclass(frozen=True)
class ReviewOptions(GenerationOptions):
    severity: Literal["info", "warning", "error"] = option("info", "Least severe findings to show.")
    language: Literal["auto", "python", "other"] = option(
        "auto", "Language of the code; auto goes by file names and the text."
    )
    depth: Literal["checks", "model"] = option("checks", "model adds the model's opinion of each function.")
    select: str = option("", "Ruff rules to check in place of the default ones, such as F,B or ALL.")


@dataclass(frozen=True)
class _Piece(Piece):
    """What the model is asked about.

    Attributes:
        reading: of the whole record.
        unit: the function or section to remark on; None asks for a summary of the whole.
    """

    reading: Reading | None = None
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
        reading = _read(record, options)
        pieces = [_Piece(reading.excerpt, reading=reading)]
        if options.depth == "model":
            for unit in reading.units[:_MAX_REMARKS]:
                pieces.append(_Piece(unit.text, reading=reading, unit=unit))
        return pieces

    def prompt(self, record: Record, options: ReviewOptions) -> Prompt:
        unit = record.unit if isinstance(record, _Piece) else None
        if unit is not None:
            prompt = Prompt(
                messages=(
                    Message("system", "You are a careful code reviewer."),
                    Message("user", f"Review this code in one sentence.\n\n{record.text}"),
                ),
                prefill=f"The function {unit.name}" if unit.name else "This change",
                max_tokens=70,
                sentence_end_after=8,
                stop=("\n\n", "```"),
                sampling=Sampling(repetition_penalty=1.05, copy_bias=1.0),
            )
            return options.apply(prompt)
        # A piece's text may have been shortened to fit the model.
        shown = record.text if isinstance(record, _Piece) else _read(record, options).excerpt
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
            remark = Finding(unit.line, "info", f"model's opinion: {said}", _OPINION, unit.file, unit.cell)
            return _output("", [remark] if said else [])
        reading = _read(record, options)
        least = SEVERITIES.index(options.severity)
        shown = [f for f in reading.findings if SEVERITIES.index(f.severity) >= least]
        return _output(_summary(reading, said, options), shown)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: ReviewOptions) -> Output:
        found = [Finding(**finding) for output in outputs for finding in output.data["findings"]]
        files = list(dict.fromkeys(finding.file for finding in found))
        # By line, the files in the diff's order; opinions after facts.
        found.sort(key=lambda f: (files.index(f.file), f.cell or 0, f.line or 0, f.rule == _OPINION))
        return _output(outputs[0].data["summary"], found)

    def reference(self, value: str) -> str:
        """Lines where something should be found, ``3, 12`` or ``a.py:3``; empty for none. Or JSON:
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
                "A reference without a summary can't be trained on: lines are found without the model.",
                hint='Give {"summary": "…", "lines": […]}.',
            )
        return summary

    def evaluate(
        self, outputs: Sequence[Output], references: Sequence[str], options: ReviewOptions
    ) -> dict[str, float]:
        """Precision, recall and F1 of the lines found, against those of the references, over all texts.

        Raises:
            InputInvalidError: no outputs, not one reference for each, or one that names no lines.
        """
        from nlpsuite.plugins import check_lengths

        check_lengths([output.text for output in outputs], references)
        right = given = wanted = 0
        for output, reference in zip(outputs, references):
            found, (_, expected) = _found(output), _expected(reference)
            right, given, wanted = right + len(found & expected), given + len(found), wanted + len(expected)
        precision = right / given if given else float(not wanted)
        recall = right / wanted if wanted else 1.0
        f1 = 2 * right / (given + wanted) if given or wanted else 1.0
        return {"precision": precision, "recall": recall, "f1": f1}


def _read(record: Record, options: ReviewOptions) -> Reading:
    if isinstance(record, _Piece) and record.reading:
        return record.reading
    return read(record.text, options.language, options.select)


def _summary(reading: Reading, said: str, options: ReviewOptions) -> str:
    """The facts, then what the model says, marked as such."""
    counts = Counter(finding.severity for finding in reading.findings)
    words = {"error": "error", "warning": "warning", "info": "hint"}
    figures = [f"{counts[s]} {word}{'s' * (counts[s] > 1)}" for s, word in words.items() if counts[s]]
    lines = [f"{reading.facts}: {', '.join(figures) or 'nothing found by the checks'}."]
    if said:
        lines.append(f"The model's words, unchecked: {said}")
    left = len(reading.units) - _MAX_REMARKS
    if options.depth == "model" and left > 0:
        lines.append(f"The model was asked about the first {_MAX_REMARKS} functions; {left} more weren't.")
    return "\n".join(lines)


def _output(summary: str, found: Sequence[Finding]) -> Output:
    """The findings as text: a line each, under the name of their file if it has one."""
    lines = [summary]
    places = [
        (f"cell {f.cell} " if f.cell else "") + (f"line {f.line}" if f.line is not None else "file")
        for f in found
    ]
    width = max(map(len, places), default=0)
    file: str | None = None
    for place, finding in zip(places, found):
        if lines == [summary] or finding.file != file:
            file = finding.file
            lines += ["", file] if file else [""]
        lines.append(f"{place:<{width}}  {finding.severity:<7}  {finding.message} ({finding.rule})")
    data = {"summary": summary, "findings": [asdict(finding) for finding in found]}
    return Output("\n".join(lines), data=data)


def _found(output: Output) -> set[_Place]:
    # An opinion is about a function, not a fault.
    findings: Any = output.data.get("findings", ())
    return {(f["file"], f["line"]) for f in findings if f["line"] is not None and f["rule"] != _OPINION}


def _expected(reference: str) -> tuple[str, set[_Place]]:
    """The summary (or an empty string) and the places that a reference answer names.

    Raises:
        InputInvalidError: it isn't a reference of this task.
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
