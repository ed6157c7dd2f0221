"""Checks of the way from a record to an output: prompts, parsing, long texts, streaming."""

from __future__ import annotations

import copy
from typing import Any

from nlpsuite.data.record import Record
from nlpsuite.errors import InputTooLongError, NlpsuiteError
from nlpsuite.options import GenerationOptions
from nlpsuite.runtime.prompt import Completion, Message
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing.echo import EchoModel
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.fuzz import fuzz_texts, fuzz_with_hypothesis, score_rows
from nlpsuite.testing.subject import ODD_TEXTS, SAMPLES, Subject, check_output, shown

__all__ = [
    "joins",
    "long_texts",
    "odd_texts",
    "parses_anything",
    "prompts",
    "prompts_are_pure",
    "streams",
    "works_silently",
]

CONTEXT = 2048  # tokens: what a small model has


def prompts(subject: Subject) -> str:
    """A prompt for every value of its options, with the text in it; general options reach it."""
    count = 0
    for given in subject.variants():
        first, second = (subject.prompt(Record(text), given) for text, _ in SAMPLES)
        if first == second:
            raise CheckFailed(
                f"two texts have the same prompt (options {given}): the text is not in it",
                subject.place("prompt"),
            )
        count += 1
    if issubclass(subject.task.options, GenerationOptions) and not first.choices:
        short = subject.prompt(Record(SAMPLES[0][0]), {"max_tokens": 7})
        if short.max_tokens != 7:
            raise CheckFailed(
                f"--max-tokens 7 has no effect, the prompt has max_tokens={short.max_tokens}: return "
                "options.apply(prompt)",
                subject.place("prompt"),
            )
    return f"{count} sets of options"


def prompts_are_pure(subject: Subject) -> str:
    """The same arguments give the same prompt, whatever was asked before; nothing is changed."""
    place = subject.place("prompt")
    for given in subject.variants():
        record = Record(SAMPLES[0][0], (Message("user", "Hello."), Message("assistant", "Good morning.")))
        options = subject.options(given)
        before = copy.deepcopy((record, options))
        state = copy.copy(vars(subject.task))
        prompt = subject.call("prompt", record.text, subject.task.prompt, record, options)
        if record != before[0]:
            raise CheckFailed("prompt changes the record it is given; use dataclasses.replace", place)
        if options != before[1]:
            raise CheckFailed("prompt changes the options it is given", place)
        subject.prompt(Record(SAMPLES[1][0]), given)
        again = subject.call("prompt", record.text, subject.task.prompt, record, options)
        if prompt != again:
            raise CheckFailed(
                f"the same record and options ({given}) gave two prompts: {_difference(prompt, again)}; a "
                "prompt may not depend on chance, time or what was asked before",
                place,
            )
        if vars(subject.task) != state:
            raise CheckFailed(
                "prompt changes the task; one task serves many threads and holds no state", place
            )
    return ""


def odd_texts(subject: Subject) -> str:
    """Empty, Unicode, control characters, braces and control tokens as text: a prompt and an output each.

    A task may refuse one with an error of ``nlpsuite.errors``, but for the empty text, which is how the
    length of a prompt's frame is found.
    """
    for text in ODD_TEXTS:
        record = Record(text)
        try:
            prompt = subject.prompt(record, {})
            subject.call("prompt", text, _run, subject.task, EchoModel(context_length=CONTEXT), text)
        except CheckFailed as failed:
            if text and isinstance(failed.__cause__, NlpsuiteError):
                continue
            raise
        answer = prompt.choices[0] if prompt.choices else text
        subject.parse(subject.completion(prompt, answer), record, {})
    return f"{len(ODD_TEXTS)} texts"


def long_texts(subject: Subject) -> str:
    """A text longer than the model's context is treated as ``long_input`` says, and never cut in silence."""
    task, place = subject.task, subject.place("long_input")
    _ordinary(subject)
    text = "\n\n".join(f"{n}. {SAMPLES[n % 2][0]}" for n in range(150))
    # A model that repeats its prompt makes joined outputs as long as the text; a terse one doesn't.
    for model in (EchoModel(context_length=CONTEXT), EchoModel([SAMPLES[0][1]], context_length=CONTEXT)):
        tokens = model.count_tokens(text)
        about = (
            f"a text of {tokens:,} tokens (the model takes {CONTEXT:,}, long_input is {task.long_input!r})"
        )
        try:
            result = subject.call("long_input", about, _run, task, model, text)
        except CheckFailed as failed:
            if not isinstance(failed.__cause__, InputTooLongError):
                raise
            if task.long_input == "error":
                return "refused, with both lengths"
            raise CheckFailed(f"{about} was refused: {failed.__cause__.message}", place) from None
        check_output(result.output, place, f"the output of {about}")
        if result.parts < 2 and (task.long_input == "error" or not result.notices):
            raise CheckFailed(
                f"{about} was taken in silence as a prompt of {result.prompt_tokens:,} tokens: prompt cuts "
                "it; leave that to long_input",
                subject.place("prompt"),
            )
    return f"{result.parts} parts" if task.long_input == "split" else "shortened, with a notice"


def _ordinary(subject: Subject) -> None:
    """A short text must have room, with the answer, in the context of a small model."""
    for text, _ in SAMPLES:
        try:
            subject.call("prompt", text, _run, subject.task, EchoModel(context_length=CONTEXT), text)
        except CheckFailed as failed:
            if not isinstance(failed.__cause__, InputTooLongError):
                raise
            raise CheckFailed(
                f"no room for a text of {len(text)} characters in a context of {CONTEXT:,} tokens: "
                f"{failed.__cause__.message}",
                subject.place("prompt"),
            ) from None


def _run(task: Task[Any], model: EchoModel, text: str) -> Any:
    return Pipeline(task, model).run(Record(text))


def parses_anything(subject: Subject) -> str:
    """parse takes any text a model may write, and any scores, and gives an output fit for JSON."""
    records = [Record(text) for text in (SAMPLES[0][0], SAMPLES[1][0], "", "{x} <|im_end|> \x00")]
    count = 0
    for given in ({}, dict(subject.task.adapter_options)):
        prompts = [subject.prompt(record, given) for record in records]
        for index, text in enumerate(fuzz_texts(SAMPLES[0][0])):
            which = index % len(records)
            _parse(subject, prompts[which], records[which], text, index, given)
            count += 1
    if subject.thorough:
        prompt = subject.prompt(records[0], {})
        count += fuzz_with_hypothesis(lambda text: _parse(subject, prompt, records[0], text, len(text), {}))
    return f"{count} answers"


def _parse(
    subject: Subject, prompt: Any, record: Record, text: str, index: int, given: dict[str, Any]
) -> None:
    completion = Completion(prompt.prefill + text, "length" if index % 2 else "stop", 1, 1)
    if prompt.choices:
        rows = score_rows(len(prompt.choices))
        scores = rows[index % len(rows)]
        best = prompt.choices[scores.index(max(scores))]
        priors = rows[(index // len(rows)) % len(rows)] if prompt.calibration else ()
        completion = Completion(best, "choice", 1, logprobs=scores, calibration_logprobs=priors)
    output = subject.parse(completion, record, given)
    if output != subject.parse(completion, record, given):
        raise CheckFailed(f"parse read {shown(text)} in two ways", subject.place("parse"))


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


def works_silently(subject: Subject) -> str:
    """Nothing is printed while a text is worked on; results have standard output to themselves."""
    subject.printed.truncate(0)
    subject.printed.seek(0)
    for text, wanted in SAMPLES:
        subject.call("prompt", text, _run, subject.task, EchoModel([wanted], context_length=CONTEXT), text)
    if said := subject.printed.getvalue().strip():
        raise CheckFailed(f"it prints {shown(said)} while it works on a text", subject.place())
    return ""


def streams(subject: Subject) -> str:
    """What is shown while a text is generated is exactly the output's text."""
    for reply in ("One answer.", "  spaced \n\n out \n", "- a\n- b\n", '{"a": 1}', ""):
        pieces: list[str] = []
        pipeline = Pipeline(subject.task, EchoModel([reply]))
        result = subject.call("parse", reply, pipeline.run, Record(SAMPLES[0][0]), pieces.append)
        check_output(result.output, subject.place("parse"), f"parse of {shown(reply)}")
        if "".join(pieces) != result.output.text:
            raise CheckFailed(
                f"streams is {subject.task.streams} (strips {subject.task.strips}), yet {shown(''.join(pieces))} "
                f"was shown and the output's text is {shown(result.output.text)}",
                subject.place("streams"),
            )
    return "as it comes" if subject.task.streams else "when it is whole"


def _difference(one: Any, other: Any) -> str:
    """Where two prompts first differ."""
    a, b = repr(one), repr(other)
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"…{a[max(0, at - 20) : at + 20]}… and …{b[max(0, at - 20) : at + 20]}…"
