"""Golden examples: texts with the tokens and answers that the exported graph gives, so that a client can prove itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError, OptionError, TaskNotExportableError
from nlpsuite.runtime.plain_model import PlainModel, Trace
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.readers import Logits, Reader
from nlpsuite.runtime.sampling import log_softmax
from nlpsuite.tasks.export.subject import Subject
from nlpsuite.tasks.export.template import history_of
from nlpsuite.tasks.result import Output

__all__ = ["make_goldens"]

# White space of all kinds, numbers, control tokens, what looks like a placeholder or a pattern.
_ODD = "  It's \u201cfine\u201d\u00a0\u2014 it cost $1,234.50,\t{text} and $& {0}, <|im_end|>\r\n naïve 🙂 "
_PROSE = (
    "The staff were friendly and the room was clean, so we will come back.",
    "It broke after two days, and nobody answers my messages.",
    "\n The ferry to Skarn sails again from Monday,\neleven weeks after a storm broke the island's pier.  Repairs cost "
    "2.4\u00a0million crowns, a third more than planned, because the old piles had rotted below the water line.\tUntil "
    "the autumn the ferry will take 40 cars instead of 60, and lorries have to book a day ahead.\n",
    _ODD,
)
_TO_WRITE = (
    "What is the capital of France?",
    "def mean(values):\n    return sum(values) /",
    "def median(values):\n    ",
)
_TURNS = (("What is the capital of France?", "Paris."), ("And of Italy?", "Rome, since 1871."))
_NEXT = "And of Spain?"
_MOST_TOKENS = 64
_LEAST_LOGPROB, _LEAST_MARGIN = 1e-3, 1e-2
_MOST_MARGIN = 1e3  # for infinity, which JSON hasn't: where one token only may come
# Other machines round otherwise than this one does in two ways of computing the same.
_CAUTION = 2


def make_goldens(subject: Subject, model: PlainModel, texts: Sequence[str] = ()) -> dict[str, Any]:
    """The entries ``golden`` and ``tolerance`` of a task file.

    Of the usual texts those are left out that the task answers without the model, refuses or cuts.

    Args:
        texts: in place of the usual ones.

    Raises:
        OptionError: one of ``texts`` can't be used.
        TaskNotExportableError: none of the usual ones can.
    """
    goldens, differences, exact = [], [0.0], model.exact_reader()
    records = [Record(text) for text in texts or _usual_texts(subject)]
    if subject.task.conversational:
        records.append(Record(_NEXT, history_of(*_TURNS)))
    for record in records:
        solved = _solve(subject, model, record)
        if solved is None and texts:
            raise OptionError(
                f"The golden text {record.text!r} can't be used: {subject.task.name} answers it without the model, "
                "refuses it or works on several parts of it.",
                hint="Give a text that makes one prompt.",
            )
        if solved is None:
            continue
        prompt, trace, output = solved
        golden: dict[str, Any] = {"text": record.text}
        if record.history:
            golden["turns"] = [list(turn) for turn in _TURNS]
        golden["prompt_ids"] = list(trace.prompt_ids)
        if prompt.choices:
            golden |= _choice(trace, output)
            differences.append(_choice_difference(model, exact, trace))
        else:
            golden |= _written(subject, model, prompt, trace, output)
            differences.append(_margin_difference(model, exact, trace))
        goldens.append(golden)
    if not goldens:
        raise TaskNotExportableError(
            f"No golden examples can be made for {subject.task.name}: the usual texts are too long for this model, or "
            "the task refuses them.",
            hint="Give texts of your own: --golden-text.",
        )
    found = _CAUTION * max(differences)
    chooses = "logprobs" in goldens[0]
    tolerance = (
        {"logprob": _rounded(max(_LEAST_LOGPROB, found))}
        if chooses
        else {"margin": _rounded(max(_LEAST_MARGIN, found))}
    )
    return {"tolerance": tolerance, "golden": goldens}


def _usual_texts(subject: Subject) -> list[str]:
    chooses = bool(subject.prompt(subject.units("a")[0]).choices)
    return [*(text for text, _ in subject.task.samples), *_PROSE, *(() if chooses else _TO_WRITE)]


def _solve(subject: Subject, model: PlainModel, record: Record) -> tuple[Prompt, Trace, Output] | None:
    solving = subject.solver.solve(record, subject.options)
    try:
        step = next(solving)
    except (StopIteration, NlpsuiteError):
        return None
    if len(step.prompts) != 1:
        return None
    [prompt] = step.prompts
    if not record.history and _is_cut(subject, record, prompt):
        return None
    prompt = dataclasses.replace(
        prompt,
        max_tokens=min(prompt.max_tokens, _MOST_TOKENS),
        sampling=dataclasses.replace(prompt.sampling, temperature=0.0),
    )
    trace = model.trace(prompt)
    try:
        solving.send([trace.completion.at_temperature(subject.temperature)])
    except StopIteration as stop:
        return prompt, trace, stop.value
    return None


def _is_cut(subject: Subject, record: Record, prompt: Prompt) -> bool:
    """Whether the prompt has only a part of its text, because that is too long."""
    units = subject.units(record.text)
    whole = subject.prompt(units[0] if len(units) == 1 else record)
    return (whole.messages, whole.text) != (prompt.messages, prompt.text)


def _choice(trace: Trace, output: Output) -> dict[str, Any]:
    golden: dict[str, Any] = {
        "choice_ids": [list(ids) for ids in trace.choice_ids],
        "logprobs": [round(score, 5) for score in trace.completion.logprobs],
    }
    if output.probabilities is not None:
        golden["probabilities"] = {name: round(p, 5) for name, p in output.probabilities.items()}
    return golden | {"label": output.text if output.label is None else output.label}


def _written(
    subject: Subject, model: PlainModel, prompt: Prompt, trace: Trace, output: Output
) -> dict[str, Any]:
    needs = []
    if (
        prompt.numbers_of is not None
        and model.trace(dataclasses.replace(prompt, numbers_of=None)).ids != trace.ids
    ):
        needs.append("numbers_from_text")
    if subject.tokenizer.split_space(prompt)[1]:
        needs.append("token_healing")
    return {
        "max_new_tokens": prompt.max_tokens,
        "ids": list(trace.ids),
        "margins": [round(min(margin, _MOST_MARGIN), 3) for margin in trace.margins],
        "finish_reason": trace.completion.finish_reason,
        "output": output.text,
        "needs": needs,
    }


def _choice_difference(model: PlainModel, exact: Reader, trace: Trace) -> float:
    """How far a choice's log-probability changes if the tokens are read one by one, or by the exact reader."""
    before = list(trace.prompt_ids)

    def change(steps: Logits, choice: int) -> float:
        ids = trace.choice_ids[choice]
        again = float(log_softmax(steps)[np.arange(len(ids)), ids].sum())
        return abs(again - trace.completion.logprobs[choice])

    model.reader.restart()
    read = [model.reader.read([token])[0] for token in [*before, *trace.choice_ids[0][:-1]]]
    found = [change(np.stack(read[len(before) - 1 :]), 0)]
    if exact is not model.reader:
        for number, ids in enumerate(trace.choice_ids):
            exact.restart()
            found.append(change(exact.read([*before, *ids[:-1]])[len(before) - 1 :], number))
    return max(found)


def _margin_difference(model: PlainModel, exact: Reader, trace: Trace) -> float:
    """How far the lead of a logit changes if prompt and answer are read at once instead of token by token, by the exact
    reader if there is one."""
    model.reader.restart()
    steps = [
        model.reader.read(trace.prompt_ids)[-1],
        *(model.reader.read([token])[0] for token in trace.ids[:-1]),
    ]
    found = 0.0
    for reader in {id(each): each for each in (model.reader, exact)}.values():
        reader.restart()
        whole = reader.read([*trace.prompt_ids, *trace.ids[:-1]])[len(trace.prompt_ids) - 1 :]
        found = max([found, *(_lead_change(a, b) for a, b in zip(steps, whole))])
    return found


def _lead_change(one: Any, other: Any) -> float:
    second, first = np.argpartition(one, -2)[-2:]
    return abs(float((one[first] - one[second]) - (other[first] - other[second])))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
