"""Classify any text into labels of your own, with probabilities; one label or several."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from nlpsuite import Completion, Message, Options, Output, Prompt, Record, Task, hookimpl, option
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Columns, Part, Piece, join_labels, mean_probabilities, softmax, split_label_set
from nlpsuite_classify.labels import find_labels, parse_descriptions, parse_labels, write_labels

# What the labels' log-probabilities are after these, on average, is the model's bias. Everyday sentences that could be
# about anything come closer to what people classify than texts without words; dev/LOG.md has the figures.
_EVERYDAY = (
    "We will meet again next week.",
    "Thank you for your message.",
    "I don't know what to do about it.",
    "It was better than last year.",
    "The report is on the table.",
    "He said that it would take two or three days.",
    "Please let me know what you think.",
    "She opened the door and looked around.",
    "They changed the plan at the last minute.",
    "There are several reasons for that.",
    "N/A",
    "[MASK]",
)
_SAYS_SOMETHING = re.compile(r"\w|[^\x00-\x7f]")
# A label fits a text with 50 % if the text makes it e^3.5 times as likely as it is after everyday sentences.
_FITS = 3.5
_YES, _NO = "yes", "no"
_LABEL = "label"  # field of a piece: the label that its yes or no is about


@dataclass(frozen=True)
class ClassifyOptions(Options):
    labels: str = option(
        "", "Labels to choose from, separated by commas or line breaks; an adapter brings its own."
    )
    descriptions: str = option(
        "", "What labels mean, such as 'billing = invoices and payments; technical = errors and crashes'."
    )
    multi: bool = option(False, "Give a text every label that fits, or none, instead of exactly one.")
    threshold: float = option(0.5, "With --multi, the probability from which on a label fits.")
    top_k: int = option(1, "Show this many labels in the text form, the likeliest first.")
    plain: bool = option(False, "Use the short prompt, without descriptions, that adapters are trained on.")
    ask: bool = option(
        False, "Ask in plain words, as suits capable models, instead of continuing a text; not with --multi."
    )
    calibrate: bool = option(
        True, "Correct for the model's bias towards some of the labels; --multi always does."
    )

    def __post_init__(self) -> None:
        """Raises OptionError for labels or descriptions that can't be used, or a number out of range."""
        if not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}, must be between 0 and 1.")
        if self.top_k < 1:
            raise OptionError(f"top_k is {self.top_k}, must be 1 or more.")
        if self.labels.strip():
            parse_descriptions(self.descriptions, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, in the user's order.

        Raises:
            OptionError: there are none, or they can't be used.
        """
        if not self.labels.strip():
            raise OptionError(
                "classify needs labels to choose from.",
                hint="Name them, as in --labels billing,technical,other; or use an adapter that was trained on some.",
            )
        return parse_labels(self.labels, several=self.multi)

    @property
    def asks(self) -> bool:
        """Whether each label is a question of its own: with several labels, once a model was trained on that.

        A model without training answers such questions by chance.
        """
        return self.multi and self.plain

    @property
    def question(self) -> str:
        """What a capable model is asked about a text; empty where it continues the text instead."""
        if not self.ask or self.multi or self.plain:
            return ""
        about = parse_descriptions(self.descriptions, self.names)
        listed = "\n".join(f"- {name}{f': {about[name]}' if name in about else ''}" for name in self.names)
        return f"Which of these categories fits the text best?\n{listed}\nAnswer with the category only."

    @property
    def described(self) -> Mapping[str, str]:
        """Descriptions by label that are scored; none with the plain prompt or where they are in the question."""
        return {} if self.plain or self.question else parse_descriptions(self.descriptions, self.names)


class Classify(Task[ClassifyOptions]):
    name = "classify"
    options = ClassifyOptions
    long_input = "split"
    max_prompt_tokens = 1_000
    prose = True
    # An adapter has learned its labels and has no bias left to correct.
    adapter_options: ClassVar = {"plain": True, "calibrate": False}
    capable_options: ClassVar = {"ask": True}
    content_free_texts = _EVERYDAY
    columns = Columns(
        text=("text", "sentence", "content", "message", "body", "question", "description", "title"),
        reference=("label", "labels", "category", "class", "topic", "intent", "tag", "tags"),
    )
    open_labels = True
    samples: ClassVar = (
        ("I was charged twice for my subscription in October.", "billing"),
        ("The app crashes every time I open the settings.", "technical"),
        ("What are your opening hours?", "other"),
    )
    sample_options: ClassVar = {"labels": "billing,technical,other"}

    def for_options(self, options: ClassifyOptions) -> Self:
        task = copy.copy(self)
        vars(task).update(labels={name.casefold(): name for name in options.names}, multi_label=options.multi)
        return task

    def options_from(self, references: Sequence[str], options: ClassifyOptions) -> Mapping[str, Any]:
        if options.labels.strip():
            return {}
        return {"labels": write_labels(find_labels(references, self.label_map, several=options.multi))}

    def prompt(self, record: Record, options: ClassifyOptions) -> Prompt:
        label = _label_of(record, options)
        texts = _EVERYDAY if options.calibrate or (options.multi and not options.plain) else ()
        return replace(
            _asking(record.text, label, options),
            choices=(f" {_YES}", f" {_NO}") if label else _choices(options),
            calibration=tuple(_asking(text, label, options) for text in texts),
        )

    def divide(self, record: Record, options: ClassifyOptions) -> Sequence[Piece]:
        """A piece for each label that is asked about."""
        if not options.asks or not _SAYS_SOMETHING.search(record.text):
            return ()
        return _pieces(record, options)

    def without_model(self, record: Record, options: ClassifyOptions) -> Output | None:
        """A text without words, which no label fits better than another."""
        if not record.text or _SAYS_SOMETHING.search(record.text):
            return None
        chance = 0.0 if options.multi else 1 / len(options.names)
        even = _output(dict.fromkeys(options.names, chance), options)
        return replace(even, notices=("The text has no words to classify.",))

    def parse(self, completion: Completion, record: Record, options: ClassifyOptions) -> Output:
        scores = completion.logprobs
        if completion.calibration_logprobs:
            scores = tuple(a - b for a, b in zip(scores, completion.calibration_logprobs))
        if _label_of(record, options):
            return _decision(dict(zip((_YES, _NO), softmax(scores))))
        by_label = dict(zip(options.names, scores))
        # A label with a description is as likely as the two are on average.
        for name, score in zip(options.described, scores[len(by_label) :]):
            by_label[name] = (by_label[name] + score) / 2
        if options.multi:
            fits = {name: softmax((score, _FITS))[0] for name, score in by_label.items()}
            return _output(fits, options)
        return _output(dict(zip(by_label, softmax(list(by_label.values())))), options)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: ClassifyOptions) -> Output:
        """One output of the decisions for each label, or of the parts of a long text."""
        if isinstance(parts[0], Piece):
            decided = zip(parts, outputs)
            return _output({_label_of(part, options): _fits(output) for part, output in decided}, options)
        mean = mean_probabilities(outputs, parts)
        return _decision(mean) if options.asks else _output(mean, options)

    def target(self, reference: str, record: Record, options: ClassifyOptions) -> str:
        if isinstance(record, Piece):
            return f" {reference}"
        if not options.multi:
            return super().target(reference, record, options)
        raise OptionError(
            "Few-shot examples can't show which labels fit a text and which don't.",
            hint="Leave them out with --multi, or train an adapter with them.",
        )

    def training_pairs(
        self, record: Record, reference: str, options: ClassifyOptions
    ) -> Sequence[tuple[Record, str]]:
        if not options.asks:
            return [(record, reference)]
        right = split_label_set(self.reference(reference))
        return [(piece, _YES if piece.fields[_LABEL] in right else _NO) for piece in _pieces(record, options)]


def _pieces(record: Record, options: ClassifyOptions) -> list[Piece]:
    return [Piece(record.text, history=record.history, fields={_LABEL: label}) for label in options.names]


def _label_of(record: object, options: ClassifyOptions) -> str:
    """The label that a record's prompt asks about; empty where it asks for a label."""
    if not options.asks:
        return ""
    return record.fields[_LABEL] if isinstance(record, Piece) else options.names[0]


def _asking(text: str, label: str, options: ClassifyOptions) -> Prompt:
    """The prompt without its choices."""
    if options.question:
        return Prompt(messages=(Message("user", f"{options.question}\n\nText:\n{text.strip()}"),))
    return Prompt(text=_frame(text, label, options))


def _frame(text: str, label: str, options: ClassifyOptions) -> str:
    """What the model reads before it answers."""
    if label:
        return f"{text.strip()}\nIs this about {label}?"
    return f"{text.strip()}\nCategory:" if options.plain else f"Text: {text.strip()}\n\nThe text is about"


def _choices(options: ClassifyOptions) -> tuple[str, ...]:
    """The labels as continuations of the prompt, then the descriptions.

    A label that another begins with is at least as likely as that one, whatever the text, unless both are
    scored with their end.
    """
    names = options.names
    nested = any(a != b and b.startswith(a) for a in names for b in names)
    end = "\n" if nested else ""
    begin = "" if options.question else " "
    return (
        *(f"{begin}{name}{end}" for name in names),
        *(f" {text}{end}" for text in options.described.values()),
    )


def _fits(output: Output) -> float:
    return (output.probabilities or {}).get(_YES, 0.0)


def _decision(probabilities: Mapping[str, float]) -> Output:
    """Whether one label fits."""
    label = max(probabilities, key=probabilities.__getitem__)
    return Output(label, label, probabilities)


def _output(probabilities: Mapping[str, float], options: ClassifyOptions) -> Output:
    """The output of a text by its labels' probabilities."""
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])
    if options.multi:
        fitting = [name for name in options.names if probabilities[name] >= options.threshold]
        shown = (
            ranked[: max(options.top_k, len(fitting))]
            if options.top_k > 1
            else [name for name in ranked if name in fitting]
        )
        label = join_labels(fitting)
    else:
        shown, label = ranked[: options.top_k], ranked[0]
    text = ", ".join(f"{name} ({probabilities[name]:.0%})" for name in shown)
    return Output(text or "no label", label, probabilities)


@hookimpl
def nlpsuite_task() -> Classify:
    return Classify()
