"""How the model decides: probabilities of tokens, what each sentence contributes to a label, where a summary is from."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Generator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nlpsuite.data.record import Record
from nlpsuite.errors import RequestError
from nlpsuite.runtime.prompt import ScoredToken
from nlpsuite.serve.responses import body_of, unless_gone
from nlpsuite.serve.runner import Cancelled
from nlpsuite.serve.service import Service
from nlpsuite.serve.tasks import TaskRequest
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Output
from nlpsuite.tasks.sentences import split_sentences

__all__ = ["contributions", "explain_routes", "sources"]

_ALTERNATIVES = 5
_MOST_SENTENCES = 64
_LEAST_PROBABILITY = 1e-6
_LEAST_OVERLAP = 0.4  # on average
_WORD = re.compile(r"\w+")


def explain_routes(service: Service) -> list[Route]:
    """``/v1/tasks/{task}/explain``."""

    async def explain(request: Request) -> Response:
        asked = TaskRequest.read(request.path_params["task"], await body_of(request), 1)
        if asked.batch or asked.stream:
            raise RequestError("One text is explained at a time.", param="input")

        def work(cancelled: Cancelled) -> Generator[dict[str, Any], None, None]:
            with asked.pipeline(service) as pipeline:
                yield explanation(pipeline, asked.records[0], cancelled)

        return JSONResponse(await unless_gone(request, service.runner.first(work)))

    return [Route("/v1/tasks/{task}/explain", explain, methods=["POST"])]


def explanation(pipeline: Pipeline, record: Record, cancelled: Cancelled | None = None) -> dict[str, Any]:
    """The result, and what of the following applies: ``sentences``, ``tokens``, ``sources``."""
    result = pipeline.run(record, cancelled=cancelled)
    found: dict[str, Any] = {"result": result.to_json()}
    output = result.output
    if output.probabilities:
        found["sentences"] = contributions(pipeline, record, output, cancelled)
        return found
    if tokens := _tokens(pipeline, record, output):
        found["tokens"] = tokens
    if output.text and pipeline.task.prose and not pipeline.task.conversational:
        origins = sources(record.text, output.text)
        # A translation shares few words with its text, and none of them says anything.
        if sum(origin["overlap"] for origin in origins) >= _LEAST_OVERLAP * len(origins):
            found["sources"] = origins
    return found


def contributions(
    pipeline: Pipeline, record: Record, output: Output, cancelled: Cancelled | None = None
) -> list[dict[str, Any]]:
    """For each sentence of a text by how much it raises the log-odds of the label that was chosen: those of the
    text less those of the text without the sentence (Li et al. 2016, arXiv:1612.08220).
    """
    sentences = split_sentences(record.text)[:_MOST_SENTENCES]
    label = output.label
    if len(sentences) < 2 or not output.probabilities or label is None or label not in output.probabilities:
        return []
    places = [(sentence.start, sentence.end) for sentence in sentences]
    without = [dataclasses.replace(record, text=record.text[:a] + record.text[b:]) for a, b in places]
    whole = _log_odds(output.probabilities, label)
    found = []
    for (a, b), result in zip(places, pipeline.run_each(without, cancelled=cancelled)):
        probabilities = getattr(getattr(result, "output", None), "probabilities", None)
        change = whole - _log_odds(probabilities, label) if probabilities else 0.0
        found.append({"text": record.text[a:b], "start": a, "end": b, "contribution": round(change, 4)})
    return found


def sources(text: str, summary: str) -> list[dict[str, Any]]:
    """For each sentence of a summary the sentence of the text that has most of its words.

    ``exact`` says that it stands there word for word; ``overlap`` is the share of its words that the source has.
    """
    originals = split_sentences(text)
    found = []
    for sentence in split_sentences(summary):
        words = set(_WORD.findall(sentence.text.casefold()))
        overlaps = [
            len(words & set(_WORD.findall(original.text.casefold()))) / max(1, len(words))
            for original in originals
        ]
        if not overlaps or max(overlaps) == 0:
            found.append({"text": sentence.text, "exact": False, "overlap": 0.0})
            continue
        best = max(range(len(overlaps)), key=overlaps.__getitem__)
        original = originals[best]
        found.append(
            {
                "text": sentence.text,
                "start": original.start,
                "end": original.end,
                "exact": sentence.text in original.text,
                "overlap": round(overlaps[best], 3),
            }
        )
    return found


def _tokens(pipeline: Pipeline, record: Record, output: Output) -> list[dict[str, Any]]:
    """The tokens of an output that one prompt generates as it is; none if it is made otherwise."""
    if not pipeline.task.streams:
        return []
    prompt = dataclasses.replace(pipeline.prompt(record), logprobs=_ALTERNATIVES)
    if (
        prompt.choices
        or pipeline.model.count_tokens(prompt) + prompt.max_tokens > pipeline.model.context_length
    ):
        return []
    [completion] = pipeline.model.complete([prompt])
    if output.text.strip() not in completion.text:
        return []
    return [
        {
            "text": token.text,
            "probability": _probability(token),
            "alternatives": [
                {"text": other.text, "probability": _probability(other)} for other in token.alternatives
            ],
        }
        for token in completion.tokens
    ]


def _probability(token: ScoredToken) -> float:
    assert token.logprob is not None  # as only a prompt's first token has none
    return round(math.exp(token.logprob), 6)


def _log_odds(probabilities: Mapping[str, float], label: str) -> float:
    p = min(max(probabilities.get(label, 0.0), _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return math.log(p / (1 - p))
