"""Tell whether a text is positive or negative, with probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nlpsuite import Completion, Options, Output, Prompt, Record, Task, hookimpl, option
from nlpsuite.plugins import Columns, Part

_LABELS = ("positive", "negative")
# Two examples of each label, of different things, so that the model sees what is asked.
_EXAMPLES = """\
Review: The food was cold and the staff were rude.
Sentiment: negative

Review: I loved every minute of it.
Sentiment: positive

Review: It broke after two days.
Sentiment: negative

Review: A warm, funny and clever story.
Sentiment: positive

"""
# Texts that say nothing: what the model thinks of them is its bias.
_NEUTRAL = ("", "[MASK]", "The film lasts two hours.", "It is a film.")


@dataclass(frozen=True)
class SentimentOptions(Options):
    examples: bool = option(True, "show the model four examples first; an adapted model needs none")
    calibrate: bool = option(True, "correct for the model's liking of the label words themselves")


class Sentiment(Task[SentimentOptions]):
    name = "sentiment"
    options = SentimentOptions
    long_input = "split"
    max_prompt_tokens = 1_000
    # An adapter has learnt what the examples show and has no liking left to correct.
    adapter_options: ClassVar = {"examples": False, "calibrate": False}
    shots_options: ClassVar = {"examples": False}
    content_free_texts = _NEUTRAL
    columns = Columns(text=("text", "sentence", "content", "review"), reference=("label", "sentiment"))
    labels: ClassVar = {"negative": "negative", "positive": "positive", "0": "negative", "1": "positive"}

    def prompt(self, record: Record, options: SentimentOptions) -> Prompt:
        priors = _NEUTRAL if options.calibrate else ()
        return Prompt(
            text=_frame(record.text, options),
            choices=tuple(f" {label}" for label in _LABELS),
            calibration=tuple(Prompt(text=_frame(text, options)) for text in priors),
        )

    def parse(self, completion: Completion, record: Record, options: SentimentOptions) -> Output:
        scores = list(completion.logprobs)
        if completion.calibration_logprobs:
            scores = [score - prior for score, prior in zip(scores, completion.calibration_logprobs)]
        top = max(scores)
        weights = [math.exp(score - top) for score in scores]
        return _output([weight / sum(weights) for weight in weights])

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: SentimentOptions) -> Output:
        """The parts' probabilities, averaged by the parts' lengths."""
        total = sum(len(part.text) for part in parts)
        return _output(
            [
                sum((out.probabilities or {})[label] * len(part.text) for out, part in zip(outputs, parts))
                / total
                for label in _LABELS
            ]
        )


def _frame(text: str, options: SentimentOptions) -> str:
    return f"{_EXAMPLES if options.examples else ''}Review: {text.strip()}\nSentiment:"


def _output(probabilities: list[float]) -> Output:
    by_label = dict(zip(_LABELS, probabilities))
    label = max(by_label, key=by_label.__getitem__)
    return Output(text=f"{label} ({by_label[label]:.0%})", label=label, probabilities=by_label)


@hookimpl
def nlpsuite_task() -> Sentiment:
    return Sentiment()
