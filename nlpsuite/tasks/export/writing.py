"""How a task's answers are generated, as JSON values: what its prompts say beside their text."""

from __future__ import annotations

import dataclasses
from typing import Any

from nlpsuite.runtime.number_limit import numbers_of
from nlpsuite.runtime.prompt import Completion, Prompt, Sampling
from nlpsuite.tasks.export.subject import Subject
from nlpsuite.tasks.export.template import CLEANING, PROBES, NotATemplateError, clean

__all__ = ["derive_writing", "same_apart_from_text"]

_SAID = " \n Said,  with\tspaces.\n"
# Of the settings those that the format has.
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "copy_bias", "seed")
_LENGTHS = (1, 11, 101, 100_000)


def same_apart_from_text(subject: Subject) -> list[tuple[str, Prompt]]:
    """The prompts for probes, whose settings are all the same, each with the text of its unit.

    Raises:
        NotATemplateError: the settings depend on the text.
    """
    prompts = [(unit.text, subject.prompt(unit)) for probe in PROBES for unit in subject.units(probe)]
    first = prompts[0][1]
    names = ("suffix", "prefill", "choices", "calibration", "sentence_end_after", "stop", "sampling")
    for _, prompt in prompts:
        for name in names:
            if getattr(prompt, name) != getattr(first, name):
                raise NotATemplateError(f"its {_WORDS.get(name, name)} depend on the text")
        if prompt.boundary is not None:
            raise NotATemplateError("where its answers end is decided by a program")
        if prompt.constraint is not None:
            raise NotATemplateError("which tokens may follow is decided by a program")
        if prompt.suffix:
            raise NotATemplateError("it reads the text behind a gap")
    return prompts


_WORDS = {"stop": "stop strings", "sampling": "settings of sampling"}


def derive_writing(subject: Subject, cleaning: tuple[str, ...]) -> dict[str, Any]:
    """The entry ``generate`` of a task file.

    Args:
        cleaning: of the template.

    Raises:
        NotATemplateError: a setting depends on the text, or the answer isn't what the model writes.
    """
    prompts = same_apart_from_text(subject)
    prompt = prompts[0][1]
    limited = prompt.numbers_of is not None
    for text, each in prompts:
        own = numbers_of(clean(text, cleaning)) if limited else None
        if (each.numbers_of is None) == limited or (limited and numbers_of(each.numbers_of or "") != own):
            raise NotATemplateError("the numbers that it allows aren't those of the text")
    return {
        "prefix": prompt.prefill,
        "max_new_tokens": _most_tokens(subject),
        "stop": list(prompt.stop),
        "end_token_ids": list(subject.bundle.end_token_ids),
        "sentence_end_after": prompt.sentence_end_after,
        "sampling": _sampling(prompt.sampling),
        "numbers_from_text": limited,
        "token_healing": bool(
            not prompt.messages
            and not prompt.prefill
            and "strip_end" not in cleaning
            and subject.prompt(subject.units("a ")[0]).text.endswith(" ")
        ),
        "clean": _answer_cleaning(subject),
    }


def _sampling(sampling: Sampling) -> dict[str, Any]:
    for field in dataclasses.fields(Sampling):
        if field.name not in _SAMPLING and getattr(sampling, field.name) != field.default:
            raise NotATemplateError(f"it sets {field.name}")
    return {name: getattr(sampling, name) for name in _SAMPLING}


def _most_tokens(subject: Subject) -> dict[str, int]:
    def most(length: int) -> int:
        [unit] = subject.units("a" * length)
        return subject.prompt(unit).max_tokens

    one, eleven, hundred, longest = map(most, _LENGTHS)
    each = (eleven - one) // 10
    found = {"base": one - each, "per_character": each, "most": longest}
    if hundred != min(longest, found["base"] + each * 101):
        raise NotATemplateError("how long its answers may be depends on the text in a way of its own")
    return found


def _answer_cleaning(subject: Subject) -> list[str]:
    """The steps that make the output's text of what the model writes."""
    record = subject.units(PROBES[0])[0]
    completions = [Completion(text, "stop", 1, 1) for text in (_SAID, f"Plain{_SAID}words", "{}", "")]
    outputs = [subject.task.parse(each, record, subject.options) for each in completions]
    plain = all(output.label is None and not output.data for output in outputs)
    for steps in [(), *((step,) for step in CLEANING)]:
        if plain and all(clean(c.text, steps) == o.text for c, o in zip(completions, outputs)):
            return list(steps)
    raise NotATemplateError("its output is more than the text that the model writes")
