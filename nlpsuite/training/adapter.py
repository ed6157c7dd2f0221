"""``train adapter``: a task's adapter for a base, or all of the base's weights.

The prompt, the text to learn, the reading of answers and the metrics are the task's own, so
that training and running can't drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nlpsuite.data.examples import Example
from nlpsuite.errors import InputInvalidError
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.models.lora import lora_parameters
from nlpsuite.options import make_options
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.training.batch import IGNORE, Batch, LossModule, pad_rows
from nlpsuite.training.buckets import Buckets
from nlpsuite.training.distributed import World
from nlpsuite.training.generate import generate, score_continuations
from nlpsuite.training.settings import AdapterSettings
from nlpsuite.training.trainer import Evaluation

__all__ = ["AdapterRecipe", "EncodedExample", "ExampleEncoder", "split_examples"]

_GENERATE_ROWS = 16


@dataclass(frozen=True)
class EncodedExample:
    """An example as tokens: what is given, and what is to be learnt after it."""

    ids: list[int]
    given: int


@dataclass(frozen=True)
class ExampleEncoder:
    """Turns a task's examples into lessons, and marks the answers of a model.

    Attributes:
        options: of the task, as the adapter will be run with.
        end_id: the token that ends an answer in training.
        end_ids: those that end one in running.
    """

    task: Task[Any]
    options: Any
    tokenizer: Tokenizer
    end_id: int
    end_ids: tuple[int, ...]

    @property
    def _begin(self) -> list[int]:
        """What stands in for an empty prompt in running."""
        return [min(self.end_ids)]

    def _options_of(self, example: Example) -> Any:
        """The options to ask an example with: its own take precedence. Raises OptionError."""
        if not example.options:
            return self.options
        return make_options(self.task.options, {**vars(self.options), **example.options})

    def lesson(self, example: Example) -> EncodedExample:
        """The prompt as running encodes it, and the tokens of the reference answer after it.

        Raises:
            InputInvalidError: the reference is none of the task's labels.
        """
        options = self._options_of(example)
        prompt = self.task.prompt(example.record, options)
        target = self.task.target(example.reference, example.record, options)
        if prompt.choices:
            context, choices = self.tokenizer.encode_choices(prompt)
            given = context or self._begin
            return EncodedExample([*given, *choices[prompt.choices.index(target)]], len(given))
        given = self.tokenizer.encode_prompt(prompt) or self._begin
        return EncodedExample([*given, *self.tokenizer.encode_text(target), self.end_id], len(given))

    def evaluate(self, loss: LossModule, examples: Sequence[Example]) -> tuple[dict[str, float], str]:
        """The task's metrics on the model's own answers, and the first answer as text."""
        options = [self._options_of(example) for example in examples]
        prompts = [self.task.prompt(example.record, own) for example, own in zip(examples, options)]
        scored = [prompt.choices != () for prompt in prompts]
        completions = self._choose(loss, prompts) if all(scored) else self._write(loss, prompts)
        outputs = [
            self.task.parse(completion, example.record, own)
            for completion, example, own in zip(completions, examples, options)
        ]
        references = [example.reference for example in examples]
        metrics = self.task.evaluate(outputs, references, self.options)
        return metrics, "" if all(scored) else outputs[0].text

    def _choose(self, loss: LossModule, prompts: Sequence[Prompt]) -> list[Completion]:
        scores = self._score(loss, prompts)
        priors: dict[Prompt, list[float]] = {}
        completions = []
        for prompt, logprobs in zip(prompts, scores):
            asked = prompt.calibration_prompts()
            missing = [prior for prior in asked if prior not in priors]
            priors.update(zip(missing, self._score(loss, missing)))
            mean = np.mean([priors[prior] for prior in asked], axis=0).tolist() if asked else ()
            text = prompt.choices[int(np.argmax(logprobs))]
            completions.append(
                Completion(text, "choice", 0, logprobs=tuple(logprobs), calibration_logprobs=tuple(mean))
            )
        return completions

    def _score(self, loss: LossModule, prompts: Sequence[Prompt]) -> list[list[float]]:
        encoded = [self.tokenizer.encode_choices(prompt) for prompt in prompts]
        contexts = [context or self._begin for context, _ in encoded]
        return score_continuations(loss, contexts, [choices for _, choices in encoded])

    def _write(self, loss: LossModule, prompts: Sequence[Prompt]) -> list[Completion]:
        completions = []
        for at in range(0, len(prompts), _GENERATE_ROWS):
            part = prompts[at : at + _GENERATE_ROWS]
            rows = [self.tokenizer.encode_prompt(prompt) or self._begin for prompt in part]
            most = max(prompt.max_tokens for prompt in part)
            for prompt, ids, new in zip(
                part, rows, generate(loss, rows, max_tokens=most, end_ids=self.end_ids)
            ):
                text = prompt.prefill + self.tokenizer.decode(new[: prompt.max_tokens])
                cut = min((i for i in (text.find(stop) for stop in prompt.stop) if i >= 0), default=len(text))
                completions.append(Completion(text[:cut], "stop", len(ids), len(new)))
        return completions


def split_examples(
    examples: Sequence[Example], settings: AdapterSettings
) -> tuple[list[Example], list[Example]]:
    """Examples to learn from, and a random part that is held out.

    Examples with the record of a held-out one are left out of both, so that none is learnt by heart.

    Raises:
        InputInvalidError: too few.
    """
    count = min(settings.heldout_examples, round(len(examples) * settings.heldout))
    if count < 1 or count >= len(examples):
        raise InputInvalidError(
            f"{len(examples)} examples are too few: some must be held out to see how training goes.",
            hint="Give more data, or hold out a larger share: --heldout 0.5.",
        )
    chosen = set(np.random.default_rng(settings.seed).permutation(len(examples))[:count].tolist())
    heldout = [example for i, example in enumerate(examples) if i in chosen]
    known = {example.record for example in heldout}  # with its history: "Why?" alone is no question
    train = [example for i, example in enumerate(examples) if i not in chosen and example.record not in known]
    if not train:
        raise InputInvalidError("All examples have the same text.", hint="Check --text-column.")
    return train, heldout


class AdapterRecipe:
    """Lessons of one task, for the trainer."""

    def __init__(
        self,
        module: LanguageModule,
        teacher: ExampleEncoder,
        lessons: Sequence[EncodedExample],
        heldout: Sequence[tuple[Example, EncodedExample]],
        settings: AdapterSettings,
    ) -> None:
        self.module = module
        self._teacher, self._lessons, self._heldout, self._settings = teacher, lessons, heldout, settings
        self.buckets = Buckets([len(lesson.ids) for lesson in lessons], settings.batch_tokens, settings.seed)

    def trainable(self) -> dict[str, nn.Parameter]:
        if self._settings.full:
            return dict(self.module.named_parameters())
        return lora_parameters(self.module)

    def batch(self, index: int, world: World) -> Batch:
        rows = [self._lessons[i] for i in self.buckets.batch(index)]
        mine = rows[world.rank :: world.size]
        if mine:
            return _batch(mine)
        # Every process must take part: one without a row looks at another's and learns nothing.
        idle = _batch(rows[:1])
        return idle._replace(labels=torch.full_like(idle.labels, IGNORE))

    def evaluate(self, loss: LossModule, world: World) -> Evaluation:
        total, targets = 0.0, 0
        lessons = [lesson for _, lesson in self._heldout]
        order = sorted(range(len(lessons)), key=lambda i: len(lessons[i].ids))
        device = next(self.module.parameters()).device
        for at in range(0, len(order), _GENERATE_ROWS):
            batch = _batch([lessons[i] for i in order[at : at + _GENERATE_ROWS]]).to(device)
            total += float(loss(batch.input_ids, batch.labels))
            targets += batch.targets
        scored = [example for example, _ in self._heldout[: self._settings.scored_examples]]
        metrics, sample = self._teacher.evaluate(loss, scored) if scored else ({}, "")
        return Evaluation(total / max(1, targets), {**metrics, "n": len(scored)}, sample)


def _batch(lessons: Sequence[EncodedExample]) -> Batch:
    return pad_rows([(lesson.ids, lesson.given) for lesson in lessons])
