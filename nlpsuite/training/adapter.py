"""Examples of a task as tokens, for training an adapter or all weights of a base.

Prompt and target come from the task itself, encoded as in inference, so that training and inference can't
diverge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from nlpsuite.data.examples import Example
from nlpsuite.errors import InputInvalidError
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.models.lora import lora_parameters
from nlpsuite.options import make_options
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.training.batch import Batch, pad_rows
from nlpsuite.training.buckets import Buckets
from nlpsuite.training.settings import AdapterSettings

__all__ = [
    "AdapterRecipe",
    "EncodedExample",
    "ExampleEncoder",
    "PreparedExamples",
    "divided",
    "options_of",
    "prepare_examples",
    "split_examples",
]

_HELDOUT_ROWS = 16  # in a batch


@dataclass(frozen=True)
class EncodedExample:
    """An example as tokens: ``prompt_length`` tokens of the prompt, then those to learn."""

    ids: list[int]
    prompt_length: int
    example: Example


@dataclass(frozen=True)
class ExampleEncoder:
    """Encodes a task's examples.

    Attributes:
        options: of the task, as the adapter will be run with.
        end_ids: the tokens that end an answer in inference.
    """

    task: Task[Any]
    options: Any
    tokenizer: Tokenizer
    end_ids: Sequence[int]

    def encode(self, example: Example) -> EncodedExample:
        """The prompt as inference encodes it, and the tokens of the reference answer.

        Raises:
            InputInvalidError: the reference isn't one of the task's labels.
            OptionError: the example has an option that the task doesn't take.
        """
        options = options_of(example, self.task, self.options)
        prompt = self.task.prompt(example.record, options)
        target = self.task.target(example.reference, example.record, options)
        if prompt.choices:
            context, choices = self.tokenizer.encode_choices(prompt)
            answer = choices[prompt.choices.index(target)]
        else:
            # White space at the prompt's end is spelled by the answer's first tokens, as in inference.
            bare, space = self.tokenizer.split_space(prompt)
            context = self.tokenizer.encode_prompt(bare)
            # Of several end tokens, the one that ends a turn is the tokenizer's own.
            own = self.tokenizer.eos_id
            end = own if own is not None and own in self.end_ids else self.end_ids[0]
            answer = [*self.tokenizer.encode_continuation(space + target), end]
        context = context or [min(self.end_ids)]  # as inference does with an empty prompt
        return EncodedExample([*context, *answer], len(context), example)


def options_of(example: Example, task: Task[Any], options: Any) -> Any:
    """The options of an example: its own over the run's. Raises OptionError if the task doesn't take them."""
    return make_options(task.options, {**vars(options), **example.options}) if example.options else options


def divided(example: Example, task: Task[Any], options: Any) -> list[Example]:
    """What training learns of an example: itself, or the pieces that ``Task.training_pairs`` makes of it."""
    pairs = task.training_pairs(example.record, example.reference, options_of(example, task, options))
    return [replace(example, record=record, references=(reference,)) for record, reference in pairs]


def split_examples(
    examples: Sequence[Example], settings: AdapterSettings, heldout: Sequence[Example] = ()
) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those that are held out: a random part, of ``heldout`` if any are given.

    Examples with the record of a held-out one are dropped, so that no held-out answer can be memorised.

    Raises:
        InputInvalidError: too few.
    """
    generator = np.random.default_rng(settings.seed)
    if heldout:
        order = generator.permutation(len(heldout))[: settings.heldout_examples]
        chosen = [heldout[i] for i in sorted(order.tolist())]
        return _without(examples, heldout), chosen
    count = min(settings.heldout_examples, round(len(examples) * settings.heldout))
    if count < 1 or count >= len(examples):
        raise InputInvalidError(
            f"{len(examples)} examples are too few: some must be held out for validation.",
            hint="Add data, or hold out a larger fraction: --heldout 0.5.",
        )
    order = generator.permutation(len(examples)).tolist()
    rest, chosen = ([examples[i] for i in sorted(part)] for part in (order[count:], order[:count]))
    return _without(rest, chosen), chosen


def _without(examples: Sequence[Example], heldout: Sequence[Example]) -> list[Example]:
    """The examples with other records than the held-out ones."""
    known = {example.record for example in heldout}  # with its history: "Why?" alone is not the question
    train = [example for example in examples if example.record not in known]
    if not train:
        raise InputInvalidError(
            "Every example has the same text as a held-out one.",
            hint="Check --text-column and --heldout-data.",
        )
    return train


@dataclass(frozen=True)
class PreparedExamples:
    """The examples of a run, without those that are too long.

    Attributes:
        train, heldout: to train on and to validate on; an example that the task divides is several.
        heldout_examples: those to validate on, whole.
        left_out: number of those that were too long.
    """

    train: list[EncodedExample]
    heldout: list[EncodedExample]
    heldout_examples: list[Example]
    left_out: int


def prepare_examples(
    examples: Sequence[Example],
    encoder: ExampleEncoder,
    settings: AdapterSettings,
    heldout: Sequence[Example] = (),
) -> PreparedExamples:
    """Split and encode examples, and leave out those that are too long.

    Args:
        heldout: examples to hold out, if not a part of ``examples``.

    Raises:
        InputInvalidError: nothing is left.
    """
    limit = settings.max_length

    def encoded(example: Example) -> list[EncodedExample]:
        pieces = [encoder.encode(piece) for piece in divided(example, encoder.task, encoder.options)]
        return pieces if max(len(piece.ids) for piece in pieces) <= limit else []

    parts = split_examples(examples, settings, heldout)
    fitting = [[(example, found) for example in part if (found := encoded(example))] for part in parts]
    train, held_out = ([piece for _, found in part for piece in found] for part in fitting)
    if not train or not held_out:
        raise InputInvalidError(
            f"Every example has more than {limit:,} tokens.", hint="Allow more: --max-length."
        )
    left_out = sum(map(len, parts)) - sum(map(len, fitting))
    return PreparedExamples(train, held_out, [example for example, _ in fitting[1]], left_out)


class AdapterRecipe:
    """Encoded examples of one task; a ``Recipe``."""

    def __init__(self, module: LanguageModule, examples: PreparedExamples, settings: AdapterSettings) -> None:
        self.module = module
        self._examples, self._full = examples.train, settings.full
        self._heldout = sorted(examples.heldout, key=lambda example: len(example.ids))
        lengths = [len(example.ids) for example in examples.train]
        self._buckets = Buckets(lengths, settings.batch_tokens, settings.seed)

    def trainable(self) -> dict[str, nn.Parameter]:
        return dict(self.module.named_parameters()) if self._full else lora_parameters(self.module)

    def batch(self, index: int) -> Batch:
        return _batch([self._examples[i] for i in self._buckets.batch(index)])

    def heldout(self) -> Iterator[Batch]:
        for at in range(0, len(self._heldout), _HELDOUT_ROWS):
            yield _batch(self._heldout[at : at + _HELDOUT_ROWS])

    def metrics(self, loss: float) -> Mapping[str, float]:
        return {}


def _batch(examples: Sequence[EncodedExample]) -> Batch:
    return pad_rows([(example.ids, example.prompt_length) for example in examples])
