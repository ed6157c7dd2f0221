"""What every client is asked, and what nlpsuite itself answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.bundle import Bundle, Graph
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.readers import PortableReader
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["MODES", "TEXTS", "Choices", "Job", "Reference", "make_job"]

Logits = npt.NDArray[np.float32]

MODES = ("single", "left", "right")
"""One text at a time; all in one batch, padded on that side."""

TEXTS = (
    "I love it.",
    "It broke after a week, and nobody answered my mails.",
    "The museum opens at nine. On Mondays it is closed, but the garden isn't.",
    "Not bad at all!",
    "Deux billets pour Paris, s'il vous plaît.",
    "Ein Mann in einer roten Jacke steht neben einem Hund.",
    "def mean(values):\n    return sum(values) / len(values)",
    "In 2024 sales rose by 3.5 % to 1,204,000 units; in 2025 they fell to 998,750.",
    "👍🏽 Great service 😀",
    "東京は日本の首都です。",
    "  leading and trailing spaces  ",
    "A\ttab, a line\nbreak, and a blank\n\nline.",
    "it's what they'd've said, isn't it",
    "UPPER CASE AND lower case and CamelCase_and_snake",
    '<b>Bold</b> &amp; "quoted" – with a dash…',
    "The committee met on Tuesday to discuss the budget for the coming year. After two hours it agreed to close the "
    "library on Sundays, to repair the bridge over the mill stream and to plant forty trees along the main road.",
    "0123456789 -1e-9 0x1F 3.14159",
    "e\u0301 and é; ﬁne; Ⅷ; \u200bzero width",
    "Once upon a time there was a lighthouse keeper who had never seen the sea in daylight.",
    "x",
)
"""Short and long, in several scripts."""

_TOKENS = 24  # generated for each
_WATCHED = 8  # logits that are compared
# Other builds of onnxruntime add in another order.
_LEAST_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Job:
    """A graph and the texts to continue.

    Attributes:
        texts: complete prompts, control tokens spelled out.
        tokens: most tokens to generate.
        ends: ids that end a text.
        watch: for each text the ids whose logits after the prompt are asked for.
    """

    bundle: str
    graph: str
    dtype: str
    texts: tuple[str, ...]
    tokens: int
    ends: tuple[int, ...]
    watch: tuple[tuple[int, ...], ...]
    modes: tuple[str, ...] = MODES

    def text(self) -> str:
        """As a program reads it from stdin."""
        return json.dumps(vars(self))


@dataclass(frozen=True)
class Choices:
    """How a label follows from the logits of the choices' first tokens, which are the first that a job watches.

    Attributes:
        ids: these tokens; empty unless they tell the choices apart and the likeliest label wins.
        calibration: what is subtracted from each one's logit.
        labels: for each label the places of its choices.
    """

    ids: tuple[int, ...] = ()
    calibration: tuple[float, ...] = ()
    labels: tuple[tuple[int, ...], ...] = ()

    def label(self, logits: Sequence[float]) -> tuple[int, float]:
        """The number of the label, and the lead of its score."""
        means = [np.mean([logits[i] - self.calibration[i] for i in places]) for places in self.labels]
        *_, second, first = np.sort(means)
        return int(np.argmax(means)), float(first - second)


@dataclass(frozen=True)
class Reference:
    """What nlpsuite gives, one text after the other.

    Attributes:
        ids: the tokens of each text.
        generated: its greedy continuation, without the token that ends it.
        margins: by how much the logit of each exceeded the next largest; one more for the token after these.
        continuations: the generated tokens as text.
    logits: of the ids that the job watches.
    tolerance: twice the largest difference that it makes to the logit of a likely token if all is read at once in place
        of token by token, and activations aren't rounded.
    choices: of a task that chooses.
    """

    ids: list[list[int]]
    generated: list[list[int]]
    margins: list[list[float]]
    continuations: list[str]
    logits: list[list[float]]
    tolerance: float
    choices: Choices = Choices()


# transformers.js's names of the precisions.
_DTYPES = {"fp32": "fp32", "fp16": "fp16", "int8": "q8", "int4": "q4"}


def make_job(bundle: Bundle, graph: Graph, texts: Sequence[str] = TEXTS) -> tuple[Job, Reference]:
    """The job for one of a portable bundle's graphs, and the answers to expect.

    With a task.json beside the graph each text stands in the task's prompt. Texts for which the context has no room are
    left out.
    """
    tokenizer = Tokenizer.open(bundle.path)
    prompts, choices = _prompts(bundle, graph, tokenizer, texts)
    prompts = [each for each in prompts if len(each[1]) + _TOKENS <= bundle.context_length]
    path = bundle.path / graph.path
    reader = PortableReader(path, Device("cpu"))
    exact = PortableReader(path, Device("cpu"), exact=True) if graph.precision in ("int8", "int4") else reader
    answers = [_answer(reader, exact, row, bundle.end_token_ids) for _, row in prompts]
    watch = [
        (*choices.ids, *(int(i) for i in _likeliest(answer.first) if i not in choices.ids))
        for answer in answers
    ]
    job = Job(
        str(bundle.path.resolve()),
        graph.path,
        _DTYPES[graph.precision],
        tuple(text for text, _ in prompts),
        _TOKENS,
        bundle.end_token_ids,
        tuple(watch),
    )
    return job, Reference(
        ids=[row for _, row in prompts],
        generated=[answer.drawn for answer in answers],
        margins=[answer.leads for answer in answers],
        continuations=[tokenizer.decode(answer.drawn) for answer in answers],
        logits=[answer.first[list(ids)].tolist() for answer, ids in zip(answers, watch)],
        tolerance=max(_LEAST_TOLERANCE, 2 * max(answer.difference for answer in answers)),
        choices=choices,
    )


class _Answer(NamedTuple):
    """A greedy continuation.

    Attributes:
        first: logits after the prompt.
        leads: of the tokens drawn, and of the one that would come next or ended the text.
        difference: largest of a likely token's logit if all is read at once and exactly.
    """

    drawn: list[int]
    leads: list[float]
    first: Logits
    difference: float


def _answer(reader: PortableReader, exact: PortableReader, row: list[int], ends: Sequence[int]) -> _Answer:
    reader.restart()
    steps = [reader.read(row)[-1]]
    drawn: list[int] = []
    while (token := int(steps[-1].argmax())) not in ends and len(drawn) < _TOKENS:
        drawn.append(token)
        steps.append(reader.read([token])[-1])
    exact.restart()
    whole = exact.read([*row, *drawn])[len(row) - 1 :]
    likely = [(step, again, _likeliest(step)) for step, again in zip(steps, whole)]
    leads = [float(step[ids[0]] - step[ids[1]]) for step, _, ids in likely]
    difference = max(float(np.abs(step[ids] - again[ids]).max()) for step, again, ids in likely)
    return _Answer(drawn, leads, steps[0], difference)


def _likeliest(logits: Logits) -> npt.NDArray[np.intp]:
    found: npt.NDArray[np.intp] = np.argsort(-logits, kind="stable")[:_WATCHED]
    return found


def _prompts(
    bundle: Bundle, graph: Graph, tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[list[tuple[str, list[int]]], Choices]:
    """Each prompt as a string and as tokens, and the task's choices."""
    try:
        file: dict[str, Any] = json.loads((bundle.path / "task.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [(text, tokenizer.encode_text(text)) for text in texts], Choices()
    prompts = [_filled(tokenizer, file["prompt"], text.strip()) for text in texts]
    if file["kind"] != "choose" or file["choose"]["rule"]["kind"] != "softmax":
        return prompts, Choices()
    choose = file["choose"]
    for variant in file.get("variants", []):
        if variant["model"]["graph"] == graph.path:
            choose = choose | variant["choose"]
    _, before = prompts[0]
    rows = [_filled(tokenizer, file["prompt"], texts[0].strip(), each)[1] for each in choose["choices"]]
    first = [row[len(before)] for row in rows if row[: len(before)] == before and len(row) > len(before)]
    if len(set(first)) < len(rows):
        return prompts, Choices()
    calibration = choose["calibration"] or [0.0] * len(rows)
    labels = tuple(tuple(each["choices"]) for each in choose["labels"])
    return prompts, Choices(tuple(first), tuple(calibration), labels)


def _filled(
    tokenizer: Tokenizer, prompt: dict[str, Any], text: str, choice: str = ""
) -> tuple[str, list[int]]:
    """A task's prompt for a text, with a choice after it, as a string and as tokens."""
    ids: list[int] = []
    spelled, waiting = "", ""
    for part in [*prompt["parts"], {"text": choice}]:
        if "id" in part:
            ids += [*tokenizer.encode_text(waiting), int(part["id"])]
            spelled += waiting + part["token"]
            waiting = ""
        else:
            waiting += part["text"].replace(prompt["placeholder"], text)
    return spelled + waiting, ids + tokenizer.encode_text(waiting)
