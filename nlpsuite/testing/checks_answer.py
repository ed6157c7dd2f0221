"""Checks of the way from a record to an output: prompts, parsing, long texts, streaming."""

from __future__ import annotations

import copy
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import InputTooLongError, NlpsuiteError
from nlpsuite.options import GenerationOptions
from nlpsuite.runtime.prompt import Completion, Message, Prompt
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing.echo import EchoModel
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.fuzz import fuzz_texts, fuzz_with_hypothesis, score_rows
from nlpsuite.testing.subject import ODD_TEXTS, SAMPLES, Subject, check_output, shown

__all__ = ["CHECKS"]

_CONTEXT = 2048  # tokens: what a small model has


def prompts(subject: Subject) -> str:
    """There is a prompt for every value of the options, with the text in it; general options have an effect."""
    variants = list(subject.variants())
    for given in variants:
        first, second = (subject.prompt(Record(text), given) for text, _ in SAMPLES)
        expect(first != second, f"two texts have the same prompt (options {given}): the text is not in it")
    if issubclass(subject.task.options, GenerationOptions) and not first.choices:
        length = subject.prompt(Record(SAMPLES[0][0]), {"max_tokens": 7}).max_tokens
        message = f"--max-tokens 7 has no effect, the prompt has max_tokens={length}"
        expect(length == 7, f"{message}: return options.apply(prompt)")
    return f"{len(variants)} sets of options"


def prompts_are_pure(subject: Subject) -> None:
    """The same arguments give the same prompt, whatever was asked before; nothing is changed."""
    for given in subject.variants():
        record = Record(SAMPLES[0][0], (Message("user", "Hello."), Message("assistant", "Good morning.")))
        options = subject.options(given)
        before = (*copy.deepcopy((record, options)), dict(vars(subject.task)))
        first = subject.call("prompt", record.text, subject.task.prompt, record, options)
        expect(record == before[0], "prompt changes the record it is given; use dataclasses.replace")
        expect(options == before[1], "prompt changes the options it is given")
        subject.prompt(Record(SAMPLES[1][0]), given)
        again = subject.call("prompt", record.text, subject.task.prompt, record, options)
        message = f"the same record and options ({given}) gave two prompts: {_difference(first, again)}"
        expect(first == again, f"{message}; a prompt may not depend on chance, time or earlier calls")
        message = "prompt changes the task; one task serves many threads and holds no state"
        expect(vars(subject.task) == before[2], message)


def odd_texts(subject: Subject) -> str:
    """Empty text, Unicode, control characters, braces and control tokens each give a prompt and an output.

    A task may refuse one with an error of ``nlpsuite.errors``, except the empty text, which serves to
    measure the rest of a prompt.
    """
    for text in ODD_TEXTS:
        record = Record(text)
        try:
            prompt = subject.prompt(record, {})
            _run(subject, text)
        except CheckFailed as failed:
            if text and isinstance(failed.__cause__, NlpsuiteError):
                continue
            raise
        answer = prompt.choices[0] if prompt.choices else text
        subject.parse(subject.completion(prompt, answer), record, {})
    return f"{len(ODD_TEXTS)} texts"


def long_texts(subject: Subject) -> str:
    """A text longer than the model's context is treated as ``long_input`` says, and never cut silently."""
    task = subject.task
    for text, _ in SAMPLES:  # a short text must have room in a small model's context, with the answer
        if not isinstance(refusal := _try(subject, text), InputTooLongError):
            continue
        message = f"no room for a text of {len(text)} characters in a context of {_CONTEXT:,} tokens"
        raise CheckFailed(f"{message}: {refusal.message}", subject.place("prompt"))
    text = "\n\n".join(f"{n}. {SAMPLES[n % 2][0]}" for n in range(150))
    # A model that repeats its prompt makes joined outputs as long as the text; a terse one doesn't.
    for model in (EchoModel(context_length=_CONTEXT), EchoModel([SAMPLES[0][1]], context_length=_CONTEXT)):
        tokens = model.count_tokens(text)
        about = f"a text of {tokens:,} tokens (model: {_CONTEXT:,}, long_input: {task.long_input!r})"
        result = _try(subject, text, model)
        if isinstance(result, InputTooLongError):
            expect(task.long_input == "error", f"{about} was refused: {result.message}")
            return "refused, with both lengths"
        check_output(result.output, subject.place("long_input"), f"the output of {about}")
        message = (
            f"{about} was cut to {result.prompt_tokens:,} tokens without a notice; leave that to long_input"
        )
        reported = result.parts > 1 or (task.long_input != "error" and result.notices)
        expect(reported, message, subject.place("prompt"))
    return f"{result.parts} parts" if task.long_input == "split" else "shortened, with a notice"


def _try(subject: Subject, text: str, model: EchoModel | None = None) -> Any:
    """The result of a text, or the InputTooLongError that refused it."""
    try:
        return _run(subject, text, model)
    except CheckFailed as failed:
        if isinstance(failed.__cause__, InputTooLongError):
            return failed.__cause__
        raise


def _run(subject: Subject, text: str, model: EchoModel | None = None) -> Any:
    pipeline = _pipeline(subject, model or EchoModel(context_length=_CONTEXT))
    return subject.call("prompt", text, pipeline.run, Record(text))


def _pipeline(subject: Subject, model: EchoModel) -> Pipeline:
    return Pipeline(subject.task, model, **subject.task.sample_options)


def parses_anything(subject: Subject) -> str:
    """parse takes any text that a model may write, and any scores, and gives an output fit for JSON."""
    records = [Record(text) for text in (SAMPLES[0][0], SAMPLES[1][0], "", "{x} <|im_end|> \x00")]
    texts = fuzz_texts(SAMPLES[0][0])
    count = 0
    for given in ({}, dict(subject.task.adapter_options)):
        prompts = [subject.prompt(record, given) for record in records]
        for index, text in enumerate(texts):
            which = index % len(records)
            _parse(subject, prompts[which], records[which], text, index, given)
        count += len(texts)
    if subject.thorough:
        prompt = subject.prompt(records[0], {})
        count += fuzz_with_hypothesis(lambda text: _parse(subject, prompt, records[0], text, len(text), {}))
    return f"{count} answers"


def _parse(
    subject: Subject, prompt: Prompt, record: Record, text: str, index: int, given: dict[str, Any]
) -> None:
    completion = Completion(prompt.prefill + text, "length" if index % 2 else "stop", 1, 1)
    if prompt.choices:
        rows = score_rows(len(prompt.choices))
        scores = rows[index % len(rows)]
        best = prompt.choices[scores.index(max(scores))]
        calibration = rows[(index // len(rows)) % len(rows)] if prompt.calibration else ()
        completion = Completion(best, "choice", 1, logprobs=scores, calibration_logprobs=calibration)
    first, again = (subject.parse(completion, record, given) for _ in range(2))
    expect(first == again, f"parse read {shown(text)} in two ways")


def joins(subject: Subject) -> str:
    """join makes one output of the outputs of one, two or more parts of a text."""
    if subject.task.long_input != "split" and type(subject.task).join is Task.join:
        return "not needed"
    text, wanted = subject.samples[0]
    prompt = subject.prompt(Record(text), {})
    answers = list(prompt.choices) or [wanted, "", "\x00", '{"a": [', SAMPLES[1][1]]
    outputs = [subject.parse(subject.completion(prompt, answer), Record(text), {}) for answer in answers]
    for count in (1, 2, 5):
        some = [outputs[i % len(outputs)] for i in range(count)]
        parts = [Part(text[: 9 + i], "\n\n" if i % 2 else " ") for i in range(count)]
        joined = subject.call("join", f"{count} parts", subject.task.join, some, parts, subject.options({}))
        check_output(joined, subject.place("join"), f"join of {count} outputs")
    return "1, 2 and 5 parts"


def works_silently(subject: Subject) -> None:
    """Nothing is printed while a text is processed; standard output is for results."""
    subject.printed.truncate(0)
    subject.printed.seek(0)
    for text, wanted in SAMPLES:
        _run(subject, text, EchoModel([wanted], context_length=_CONTEXT))
    printed = subject.printed.getvalue().strip()
    expect(not printed, f"it prints {shown(printed)} while it processes a text")


def streams(subject: Subject) -> str:
    """What is shown while a text is generated is exactly the output's text."""
    for reply in ("One answer.", "  spaced \n\n out \n", "- a\n- b\n", '{"a": 1}', ""):
        pieces: list[str] = []
        pipeline = _pipeline(subject, EchoModel([reply]))
        result = subject.call("parse", reply, pipeline.run, Record(SAMPLES[0][0]), pieces.append)
        check_output(result.output, subject.place("parse"), f"parse of {shown(reply)}")
        streamed, declared = (
            "".join(pieces),
            f"streams is {subject.task.streams}, strips {subject.task.strips}",
        )
        message = f"{declared}, but {shown(streamed)} was shown and the output is {shown(result.output.text)}"
        expect(streamed == result.output.text, message)
    return "as it comes" if subject.task.streams else "once it is complete"


def _difference(one: Any, other: Any) -> str:
    """Where two prompts first differ."""
    a, b = repr(one), repr(other)
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"…{a[max(0, at - 20) : at + 20]}… and …{b[max(0, at - 20) : at + 20]}…"


CHECKS = {
    prompts: "prompt", prompts_are_pure: "prompt", odd_texts: "prompt", long_texts: "long_input",
    parses_anything: "parse", joins: "join", works_silently: "", streams: "streams",
}  # fmt: skip
