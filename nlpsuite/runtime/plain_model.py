"""A model that answers prompts one after the other, as a simple program does, and shows its work.

No batch, no shared prefix, no guessed tokens: what it computes is what other programs should compute with the same
bundle. Prompts, constraints and the ends of texts are those of the whole runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.bundle import Bundle, Graph
from nlpsuite.runtime.device import Device, DeviceChoice, choose_device
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.runtime.readers import PortableReader, Reader, SlotsReader
from nlpsuite.runtime.request import Request
from nlpsuite.runtime.sampling import log_softmax
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["PlainModel", "Trace", "open_reader"]


@dataclass(frozen=True)
class Trace:
    """How a prompt was answered.

    Attributes:
        prompt_ids: the tokens read; with choices, those before the first that differs between them.
        choice_ids: of each choice, the tokens after these.
        ids: the tokens generated.
        margins: by how much the logit of each exceeded the next largest, penalties and constraints included.
    """

    completion: Completion
    prompt_ids: tuple[int, ...]
    choice_ids: tuple[tuple[int, ...], ...] = ()
    ids: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()


def open_reader(bundle: Bundle, device: Device, graph: Graph | None = None, *, exact: bool = False) -> Reader:
    """A reader of a bundle's graph, of whichever layout it has.

    Args:
        graph: by default the first.
        exact: of a portable graph, see ``PortableReader``.
    """
    graph = graph or bundle.graphs[0]
    path = bundle.path / graph.path
    if graph.layout == "portable":
        return PortableReader(path, device, exact=exact)
    return SlotsReader(path, device, bundle.context_length)


class PlainModel:
    """A bundle of either layout. Make one with ``PlainModel.open``."""

    def __init__(self, bundle: Bundle, reader: Reader, tokenizer: Tokenizer, graph: Graph) -> None:
        self.bundle, self.reader, self.tokenizer, self.graph = bundle, reader, tokenizer, graph

    @classmethod
    def open(cls, bundle: Bundle, graph: Graph | None = None, *, device: DeviceChoice = "cpu") -> Self:
        """Load a bundle's graph, by default the first, and tokenizer.

        Raises:
            BundleCorruptError, DeviceUnavailableError.
        """
        graph = graph or bundle.graphs[0]
        tokenizer = Tokenizer.open(bundle.path)
        return cls(bundle, open_reader(bundle, choose_device(device), graph), tokenizer, graph)

    def exact_reader(self) -> Reader:
        """Another reader of a portable int8 or int4 graph, which rounds no activations; otherwise the same reader."""
        if self.graph.layout == "portable" and self.graph.precision in ("int8", "int4"):
            return open_reader(self.bundle, Device("cpu"), self.graph, exact=True)
        return self.reader

    def trace(self, prompt: Prompt) -> Trace:
        """Answer a prompt.

        Raises:
            InputTooLongError: it leaves no room in the context for an answer.
        """
        return self._score(prompt) if prompt.choices else self._generate(prompt)

    def _score(self, prompt: Prompt) -> Trace:
        context, choices, scores = self._logprobs(prompt)
        calibration = [self._logprobs(each)[2] for each in prompt.calibration_prompts()]
        completion = Completion(
            text=prompt.choices[int(np.argmax(scores))],
            finish_reason="choice",
            prompt_tokens=len(context),
            logprobs=scores,
            calibration_logprobs=tuple(np.mean(calibration, axis=0).tolist()) if calibration else (),
        )
        return Trace(completion, tuple(context), tuple(map(tuple, choices)))

    def _logprobs(self, prompt: Prompt) -> tuple[list[int], list[list[int]], tuple[float, ...]]:
        """The context's tokens, each choice's, and their log-probabilities."""
        context, choices = self.tokenizer.encode_choices(prompt)
        before = context or [self.tokenizer.first_token(self.bundle.end_token_ids)]
        if len(before) + max(map(len, choices)) > self.bundle.context_length:
            raise InputTooLongError(
                "The prompt is longer than the model's context.", hint="Shorten the text."
            )
        scores = []
        for choice in choices:
            self.reader.restart()
            logits = self.reader.read([*before, *choice[:-1]])[len(before) - 1 :]
            scores.append(float(log_softmax(logits)[np.arange(len(choice)), choice].sum()))
        return before, choices, tuple(scores)

    def _generate(self, prompt: Prompt) -> Trace:
        request = Request(prompt, self.tokenizer, self.bundle.end_token_ids, self.bundle.context_length)
        self.reader.restart()
        last = self.reader.read(request.ids)[-1].copy()
        request.position = len(request.ids)
        ids: list[int] = []
        margins: list[float] = []
        while True:
            request.accept([], last[None])  # which changes the logits in place
            margins.append(_margin(last))
            if not request.finished or request.events[-1].completion_tokens > len(ids):  # type: ignore[union-attr]
                ids.append(request.token)
            if request.finished:
                break
            last = self.reader.read([request.token])[-1].copy()
            request.position += 1
        completion = request.events[-1]
        assert isinstance(completion, Completion)
        return Trace(completion, tuple(request.ids), (), tuple(ids), tuple(margins))


def _margin(logits: npt.NDArray[np.float32]) -> float:
    second, first = np.partition(logits, -2)[-2:]
    return float(first - second)
