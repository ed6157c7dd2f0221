"""What every client is asked, and what nlpsuite itself answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlpsuite.runtime.bundle import Bundle, Graph
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.readers import PortableReader
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["MODES", "TEXTS", "Job", "Reference", "make_job"]

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
class Reference:
    """What nlpsuite gives, one text after the other.

    Attributes:
        ids: the tokens of each text.
        generated: its greedy continuation, without the token that ends it.
        margins: by how much the logit of each exceeded the next largest, with that of an ending token.
        logits: of the ids that the job watches.
        labels: for a task that chooses, the places of its choices' first tokens among these; empty otherwise.
    """

    ids: list[list[int]]
    generated: list[list[int]]
    margins: list[list[float]]
    logits: list[list[float]]
    labels: range = range(0)


# transformers.js's names of the precisions.
_DTYPES = {"fp32": "fp32", "fp16": "fp16", "int8": "q8", "int4": "q4"}


def make_job(bundle: Bundle, graph: Graph, texts: Sequence[str] = TEXTS) -> tuple[Job, Reference]:
    """The job for one of a portable bundle's graphs, and the answers to expect.

    With a task.json beside the graph each text stands in the task's prompt. Texts for which the context has no room are
    left out.
    """
    tokenizer = Tokenizer.open(bundle.path)
    prompts, choices = _prompts(bundle, tokenizer, texts)
    prompts = [each for each in prompts if len(each[1]) + _TOKENS <= bundle.context_length]
    reader = PortableReader(bundle.path / graph.path, Device("cpu"))
    ends = bundle.end_token_ids
    ids: list[list[int]] = []
    generated: list[list[int]] = []
    margins: list[list[float]] = []
    logits: list[list[float]] = []
    watch: list[tuple[int, ...]] = []
    for _, row in prompts:
        reader.restart()
        last = reader.read(row)[-1]
        likeliest = [int(i) for i in np.argsort(-last, kind="stable")[:_WATCHED] if i not in choices]
        watch.append((*choices, *likeliest))
        logits.append([float(last[i]) for i in watch[-1]])
        drawn: list[int] = []
        leads: list[float] = []
        while len(drawn) < _TOKENS:
            second, first = np.partition(last, -2)[-2:]
            leads.append(float(first - second))
            token = int(last.argmax())
            if token in ends:
                break
            drawn.append(token)
            last = reader.read([token])[-1]
        ids.append(row)
        generated.append(drawn)
        margins.append(leads)
    job = Job(
        str(bundle.path.resolve()),
        graph.path,
        _DTYPES[graph.precision],
        tuple(text for text, _ in prompts),
        _TOKENS,
        tuple(ends),
        tuple(watch),
    )
    return job, Reference(ids, generated, margins, logits, range(len(choices)))


def _prompts(
    bundle: Bundle, tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[list[tuple[str, list[int]]], list[int]]:
    """Each prompt as a string and as tokens, and the first tokens of the task's choices if they tell these apart."""
    try:
        file: dict[str, Any] = json.loads((bundle.path / "task.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [(text, tokenizer.encode_text(text)) for text in texts], []
    prompts = [_filled(tokenizer, file["prompt"], text.strip()) for text in texts]
    choices = file["choose"]["choices"] if file.get("choose") else []
    _, before = prompts[0]
    rows = [_filled(tokenizer, file["prompt"], texts[0].strip(), choice)[1] for choice in choices]
    first = [row[len(before)] for row in rows if row[: len(before)] == before and len(row) > len(before)]
    return prompts, first if len(set(first)) == len(choices) else []


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
