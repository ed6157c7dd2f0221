"""Tell whether a text is positive or negative (or neutral, where asked for), with probabilities."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from nlpsuite import Completion, Message, Options, Output, Prompt, Record, Task, hookimpl, option
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Columns, Part, mean_probabilities

_LABELS = ("positive", "negative")
_NEUTRAL = "neutral"
# Everyday phrases of both kinds, with and without full stop and capital.
_EXAMPLES = """\
Review: I really like this.
Sentiment: positive

Review: my order never came
Sentiment: negative

Review: The staff were friendly and the room was clean.
Sentiment: positive

Review: boring and far too long
Sentiment: negative

"""
# Texts half way between the labels: the model's leaning after them is its bias. dev/LOG.md has the figures.
_BALANCED = ("It was okay.", "N/A", "It is good.", "It is bad.")
# Plain facts, which are the middle where a neutral label is asked for.
_FACTS = ("The meeting is on Tuesday.", "I bought it in May.", "It is in the box.", "We have three rooms.")
_SAYS_SOMETHING = re.compile(r"\w|[^\x00-\x7f]|[:;=][-o']?[()\\/|]|<3")  # words, emoji, emoticons


@dataclass(frozen=True)
class SentimentOptions(Options):
    examples: bool = option(True, "Show the model four examples first; an adapted model needs none.")
    ask: bool = option(False, "Ask in plain words, as suits capable models, instead of continuing a text.")
    calibrate: bool = option(True, "Correct for the model's bias towards one of the labels.")
    labels: str = option(
        "positive,negative", "Labels to choose from; positive,negative,neutral adds a neutral answer."
    )
    # At 0.9 neutral is the likeliest label where the log-odds are within 0.5 of the middle.
    margin: float = option(
        0.9,
        "With neutral: distance of the two thresholds from even odds, in log-odds; more makes more texts neutral.",
    )

    def __post_init__(self) -> None:
        """Raises OptionError for labels other than these, or a margin below 0."""
        if self.margin < 0:
            raise OptionError(f"margin is {self.margin}, must be 0 or more.")
        given = sorted(label.strip().casefold() for label in self.labels.split(","))
        if given not in (sorted(_LABELS), sorted([*_LABELS, _NEUTRAL])):
            raise OptionError(
                f"labels is {self.labels!r}, must be positive,negative or positive,negative,neutral."
            )

    @property
    def neutral(self) -> bool:
        """Whether a neutral answer is asked for."""
        return _NEUTRAL in self.labels.casefold()


class Sentiment(Task[SentimentOptions]):
    name = "sentiment"
    version = "2"
    options = SentimentOptions
    long_input = "split"
    max_prompt_tokens = 1_000
    prose = True
    adapter = "adapter.safetensors"  # of recipe/; exported/sentiment.md is its card
    # An adapter has learned what the examples show and has no bias left to correct.
    adapter_options: ClassVar = {"examples": False, "calibrate": False}
    capable_options: ClassVar = {"examples": False, "ask": True}
    shots_options: ClassVar = {"examples": False}
    content_free_texts = _BALANCED
    columns = Columns(text=("text", "sentence", "content", "review"), reference=("label", "sentiment"))
    labels: ClassVar = {"negative": "negative", "positive": "positive", "0": "negative", "1": "positive"}

    def prompt(self, record: Record, options: SentimentOptions) -> Prompt:
        texts = (_FACTS if options.neutral else _BALANCED) if options.calibrate else ()
        return replace(
            _asking(record.text, options),
            choices=tuple(label if options.ask else f" {label}" for label in _LABELS),
            calibration=tuple(_asking(text, options) for text in texts),
        )

    def without_model(self, record: Record, options: SentimentOptions) -> Output | None:
        """A text without words or emoji, which is as likely positive as negative."""
        if not record.text or _SAYS_SOMETHING.search(record.text):
            return None
        return replace(_output(0.0, options), notices=("The text has no words to judge.",))

    def parse(self, completion: Completion, record: Record, options: SentimentOptions) -> Output:
        positive, negative = completion.logprobs
        if completion.calibration_logprobs:
            positive -= completion.calibration_logprobs[0]
            negative -= completion.calibration_logprobs[1]
        return _output(positive - negative, options)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: SentimentOptions) -> Output:
        """The parts' probabilities, averaged by the parts' lengths."""
        return _labelled(mean_probabilities(outputs, parts))


def _asking(text: str, options: SentimentOptions) -> Prompt:
    """The prompt without its choices."""
    if not options.ask:
        return Prompt(text=_frame(text, options))
    question = "Is the sentiment of this text positive or negative? Answer with one word."
    return Prompt(messages=(Message("user", f"{question}\n\n{text.strip()}"),))


def _frame(text: str, options: SentimentOptions) -> str:
    return f"{_EXAMPLES if options.examples else ''}Review: {text.strip()}\nSentiment:"


def _output(log_odds: float, options: SentimentOptions) -> Output:
    """The output of a text by its log-odds of positive against negative.

    The neutral label takes what an ordered logistic model with two thresholds leaves between the others.
    """
    margin = options.margin if options.neutral else 0.0
    positive, negative = _logistic(log_odds - margin), _logistic(-log_odds - margin)
    probabilities = {"positive": positive, "negative": negative}
    if options.neutral:
        probabilities[_NEUTRAL] = max(0.0, 1 - positive - negative)
    return _labelled(probabilities)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-max(x, -700.0)))  # beyond that exp overflows


def _labelled(probabilities: Mapping[str, float]) -> Output:
    label = max(probabilities, key=probabilities.__getitem__)
    return Output(text=f"{label} ({probabilities[label]:.0%})", label=label, probabilities=probabilities)


@hookimpl
def nlpsuite_task() -> Sentiment:
    return Sentiment()
