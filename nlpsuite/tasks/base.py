"""What a task is: options, a prompt for a record, and how to read the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from nlpsuite.data.labels import read_label
from nlpsuite.data.record import Columns, Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.options import Options
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.result import Output

__all__ = ["Adjustment", "Task"]

O = TypeVar("O", bound=Options)


@dataclass(frozen=True)
class Adjustment:
    """What a user changed about a task; see ``nlpsuite.tasks.adjust``.

    Attributes:
        report: of the changes, as JSON values: files with their sha256.
        options: that differ from the defaults with them.
        without_shots: the task without few-shot examples; None if there are none.
    """

    report: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    without_shots: Task[Any] | None = None


class Task(ABC, Generic[O]):
    """Base of all tasks. A task holds no state: one instance serves many threads.

    Class attributes:
        name: as users type it; also the name of the plugin's entry point.
        version: changes whenever prompts or parsing change results.
        options: the class of the task's options.
        long_input: what happens to a text too long for one prompt. ``split``: it is cut at
            paragraph and sentence ends, and the parts are merged; ``window``: only its end
            is used, with a notice; ``error``: it is refused.
        merging: for ``split``. ``map_reduce``: the parts' outputs, joined, are solved as a new
            text; ``concat``: ``join`` makes one output of them.
        max_prompt_tokens: split or shorten above this many tokens, even if the model's context is
            longer. None means the context alone decides.
        streams: the output's text is the completion's text, so it may be shown as it comes.
        strips: white space around the completion is not part of the output.
        conversational: the task takes a history; ``nlpsuite run`` offers a dialogue.
        adapter: name of a ``.safetensors`` file beside the module that defines the class. It is merged
            into the base that it was trained on, unless the user names another adapter or ``none``.
        adapter_options: options that an adapter of the task is trained and run with, where they
            differ from the defaults.
        shots_options: options that differ from the defaults when the user gives few-shot examples.
        content_free_texts: for a task whose prompts are calibrated: texts that say nothing, put into a
            prompt of the user's for the same purpose.
        columns: of files of examples.
        labels: for a task with choices: what stands in files of examples, case-folded, to the
            label it means.
        metrics: what ``evaluate`` computes, by name; none for accuracy and macro F1 of labels, or exact
            match and chrF of texts.
        samples: texts with a reference answer each, which `nlpsuite plugins check` tries; it has usual
            ones of its own.

    Attributes:
        adjusted: what the user changed; nothing in the task that a plugin gives.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    options: ClassVar[type[Options]] = Options
    long_input: ClassVar[Literal["split", "window", "error"]] = "error"
    merging: ClassVar[Literal["map_reduce", "concat"]] = "concat"
    max_prompt_tokens: ClassVar[int | None] = None
    streams: ClassVar[bool] = False
    strips: ClassVar[bool] = True
    conversational: ClassVar[bool] = False
    adapter: ClassVar[str] = ""
    adapter_options: ClassVar[Mapping[str, Any]] = {}
    shots_options: ClassVar[Mapping[str, Any]] = {}
    content_free_texts: ClassVar[tuple[str, ...]] = (
        "",
        "[MASK]",
        "N/A",
    )  # Zhao et al. 2021, arXiv:2102.09690
    columns: ClassVar[Columns] = Columns()
    labels: ClassVar[Mapping[str, str]] = {}
    metrics: ClassVar[Sequence[str]] = ()
    samples: ClassVar[Sequence[tuple[str, str]]] = ()
    adjusted: Adjustment = Adjustment()

    @abstractmethod
    def prompt(self, record: Record, options: O) -> Prompt:
        """The request that solves ``record``. Depends on its arguments alone."""

    def divide(self, record: Record, options: O) -> Sequence[Record]:
        """Records to be solved one by one in place of ``record``, whose outputs ``join`` merges; none for
        a record that is solved as it is. A task that cuts its texts by their structure says so here.
        """
        return ()

    def parse(self, completion: Completion, record: Record, options: O) -> Output:
        """Read an answer. Takes any text without raising: models say anything."""
        return Output(completion.text.strip() if self.strips else completion.text)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: O) -> Output:
        """One output of the outputs of a split text's parts; by default their texts in order."""
        pieces = [out.text + part.separator for out, part in zip(outputs, parts)]
        return Output("".join(pieces).rstrip())

    def reference(self, value: str) -> str:
        """The reference answer that ``value`` of a file of examples stands for.

        Raises:
            InputInvalidError: the task has labels and ``value`` means none of them.
        """
        if not self.labels:
            return value
        label = read_label(value, self.labels)
        if label is None:
            raise InputInvalidError(
                f"{value!r} is not a label of {self.name}.",
                hint=f"Labels: {', '.join(self.labels)}. To map others: --label-map 5={next(iter(self.labels.values()))}",
            )
        return label

    def target(self, reference: str, record: Record, options: O) -> str:
        """What the model should write after ``prompt`` to give the reference answer.

        Training takes prompt and target from here, so that it teaches what running asks for.
        For a prompt with choices it is one of them; what ends an answer (an end token) is not
        part of it.

        Raises:
            InputInvalidError: the reference is none of the prompt's choices.
        """
        prompt = self.prompt(record, options)
        reference = self.reference(reference)
        if prompt.choices:
            return _choice(prompt, reference, self.name)
        begun = prompt.prefill
        if self.strips:
            reference, begun = reference.strip(), begun.strip()
        if begun and reference.startswith(begun):
            return reference.removeprefix(begun)
        # After text without white space at its end the next word brings its own.
        before = prompt.prefill or ("" if prompt.messages else prompt.text)
        return f" {reference}" if self.strips and before and not before[-1].isspace() else reference

    def evaluate(self, outputs: Sequence[Output], references: Sequence[str], options: O) -> dict[str, float]:
        """Figures of how good the outputs are, against a reference answer each, by the task's ``metrics``:
        on the labels of a task that has labels, else on the texts.

        Raises:
            InputInvalidError: none at all, not as many references as outputs, an unknown label.
            UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
        """
        from nlpsuite.plugins.loading import measure

        if self.labels:
            given = [output.label or "" for output in outputs]
            wanted = [self.reference(reference) for reference in references]
        else:
            given, wanted = [output.text for output in outputs], list(references)
        names = self.metrics or (("accuracy", "macro_f1") if self.labels else ("exact_match", "chrf"))
        return {name: measure(name, given, wanted) for name in names}


def _choice(prompt: Prompt, reference: str, task: str) -> str:
    wanted = reference.strip().casefold()
    for choice in prompt.choices:
        if choice.strip().casefold() == wanted:
            return choice
    raise InputInvalidError(
        f"{reference!r} is not a label of {task}.",
        hint=f"Labels: {', '.join(choice.strip() for choice in prompt.choices)}.",
    )
