"""What a task is: options, a prompt for each record, and how to read the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

from nlpsuite.data.labels import read_label, read_label_set
from nlpsuite.data.record import Columns, Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.options import RESERVED_OPTIONS, Options
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.result import Output

__all__ = ["Divides", "Piece", "Task", "answer_after", "default_metrics"]

O = TypeVar("O", bound=Options)


@dataclass(frozen=True)
class Piece(Record, Part):
    """A part of a record that is solved on its own.

    ``before`` and ``separator`` stand before and after the piece's output in the joined output.
    """


@runtime_checkable
class Divides(Protocol):
    """A task that cuts its records by their structure, such as lines or functions, however short they are."""

    def divide(self, record: Record, options: Any) -> Sequence[Piece]:
        """The pieces of a record, in order; ``join`` merges their outputs. Empty to solve it as a whole.

        Pieces are not divided again.
        """
        ...


class Task(ABC, Generic[O]):
    """Base class of all tasks. Tasks are stateless: one instance serves many threads.

    A task that cuts its records by their structure implements ``Divides`` as well.

    Class attributes:
        name: as users type it; also the name of the plugin's entry point.
        version: change it whenever prompts or parsing change results.
        options: the class of the task's options.
        long_input: how to treat a text too long for one prompt. ``split``: cut it at paragraph and
            sentence ends, and merge the outputs of the parts; ``window``: use only its end, with a
            notice; ``error``: refuse it.
        merging: for ``split``. ``map_reduce``: solve the parts' outputs as a new text; ``concat``: merge
            them with ``join``.
        max_prompt_tokens: split or shorten above this many tokens, even if the model's context is
            longer. None: only the context limits.
        streams: the output's text is the completion's text, so it may be shown while it is generated. Prompts
            with choices never stream.
        strips: white space around the completion is not part of the output.
        prose: texts are read for their meaning. HTML and XML are reduced to their text, and a notice
            names a language that the model doesn't know.
        conversational: the task takes a history; ``nlpsuite run`` offers a dialogue.
        adapter: name of a ``.safetensors`` file beside the module that defines the class. It is merged
            into the base it was trained on, unless the user names another adapter or ``none``.
        named_adapters: further such files, which ``--adapter`` takes by name, without the suffix.
        adapter_options: options to train and run an adapter with, where they differ from the defaults.
        capable_options: options that differ from the defaults on models of about a billion weights or more that
            have learned to follow instructions; see ``tasks.capability``.
        shots_options: options that differ from the defaults when the user gives few-shot examples.
        template_options: options that differ from the defaults when the user gives a prompt of their own.
        content_free_texts: texts without content, which calibrate a user's own prompt where the task's
            prompts are calibrated.
        columns: usual names of the columns in files of examples.
        labels: for a task with choices: what may stand in files of examples, case-folded, to the label
            it means.
        multi_label: a text may have several labels or none. An answer or reference lists them in one text,
            ``billing; technical``, and each label has a probability of its own.
        open_labels: the labels depend on the options; ``for_options`` sets them.
        label_map: what else stands in the user's files, to the label it means; see ``with_label_map``.
        metrics: names of the metrics that ``evaluate`` computes. Default: accuracy and macro F1 of labels,
            or exact match and chrF of texts.
        samples: texts, each with a reference answer, that `nlpsuite plugins check` tries beside its own.
        sample_options: options that `nlpsuite plugins check` sets, for a task whose defaults don't suffice.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    options: ClassVar[type[Options]] = Options
    long_input: ClassVar[Literal["split", "window", "error"]] = "error"
    merging: ClassVar[Literal["map_reduce", "concat"]] = "concat"
    max_prompt_tokens: ClassVar[int | None] = None
    streams: ClassVar[bool] = False
    strips: ClassVar[bool] = True
    prose: ClassVar[bool] = False
    conversational: ClassVar[bool] = False
    adapter: ClassVar[str] = ""
    named_adapters: ClassVar[Sequence[str]] = ()
    adapter_options: ClassVar[Mapping[str, Any]] = {}
    capable_options: ClassVar[Mapping[str, Any]] = {}
    shots_options: ClassVar[Mapping[str, Any]] = {}
    template_options: ClassVar[Mapping[str, Any]] = {}
    # Zhao et al. 2021, arXiv:2102.09690
    content_free_texts: ClassVar[tuple[str, ...]] = ("", "[MASK]", "N/A")
    columns: ClassVar[Columns] = Columns()
    labels: ClassVar[Mapping[str, str]] = {}
    multi_label: ClassVar[bool] = False
    open_labels: ClassVar[bool] = False
    label_map: ClassVar[Mapping[str, str]] = {}
    metrics: ClassVar[Sequence[str]] = ()
    samples: ClassVar[Sequence[tuple[str, str]]] = ()
    sample_options: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Raises TypeError if an option has a name that nlpsuite uses for all tasks; a plugin then fails to
        load with that message."""
        super().__init_subclass__(**keywords)
        for name in getattr(cls.options, "__dataclass_fields__", ()):
            if name in RESERVED_OPTIONS:
                raise TypeError(
                    f"{cls.__qualname__} has an option {name!r}, a name that nlpsuite uses for all tasks; rename it"
                )

    def for_options(self, options: O) -> Self:
        """The task as these options make it: by default itself.

        Where options decide what a class otherwise declares, such as its labels, return a copy with other
        attributes (``copy.copy(self)``). Called once an adapter's options are known, before the first record.

        Raises:
            OptionError: the options don't suffice to run the task.
        """
        return self

    def options_from(self, references: Sequence[str], options: O) -> Mapping[str, Any]:
        """Options that examples decide, such as the labels of a classifier; by default none.

        Training calls it with all reference answers and records what it returns in the adapter, which brings
        these options wherever it is run. So does an evaluation that runs no model.

        Args:
            references: as ``reference`` returns them, in the order of the file.
            options: those the user gives, which go first, and the task's defaults.

        Raises:
            InputInvalidError: the references can't be what the task answers.
        """
        return {}

    @abstractmethod
    def prompt(self, record: Record, options: O) -> Prompt:
        """The request that solves ``record``. Depends on its arguments alone."""

    def without_model(self, record: Record, options: O) -> Output | None:
        """The output of a record that needs no model, such as a text too short to summarize; None for all
        others.

        Raises:
            InputInvalidError: the task can't be done for this text.
        """
        return None

    def parse(self, completion: Completion, record: Record, options: O) -> Output:
        """Read an answer. Must take any text without raising: models say anything."""
        return Output(completion.text.strip() if self.strips else completion.text)

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: O) -> Output:
        """Merge the outputs of a text's parts; by default their texts, in order."""
        pieces = [part.before + out.text + part.separator for out, part in zip(outputs, parts)]
        return Output("".join(pieces).rstrip())

    def reference(self, value: str) -> str:
        """The reference answer that ``value`` in a file of examples stands for.

        Raises:
            InputInvalidError: the task has labels and ``value`` means none of them.
        """
        if not self.labels:
            return self.label_map.get(value.strip().casefold(), value)
        read = read_label_set if self.multi_label else read_label
        label = read(value, {**self.labels, **self.label_map})
        if label is None:
            error = _unknown_label(value, self.labels, self.name)
            example = f"--label-map 5={next(iter(self.labels.values()))}"
            error.hint += f" `eval` and `train adapter` map other right answers: {example}"
            raise error
        return label

    def target(self, reference: str, record: Record, options: O) -> str:
        """What the model should write after ``prompt`` to give the reference answer.

        Training takes prompt and target from here, so that it teaches what running asks for. For a prompt
        with choices the target is one of them. End tokens are not part of it.

        Raises:
            InputInvalidError: the reference is not one of the prompt's choices.
        """
        return answer_after(self.prompt(record, options), self.reference(reference), self)

    def training_pairs(self, record: Record, reference: str, options: O) -> Sequence[tuple[Record, str]]:
        """What training learns of an example: records, each with its reference answer.

        By default the example itself. A task that divides its records can give the pieces, if the reference
        says what is right for each.
        """
        return [(record, reference)]

    def evaluate(self, outputs: Sequence[Output], references: Sequence[str], options: O) -> dict[str, float]:
        """Compare outputs with one reference answer each, by the task's ``metrics``: the labels if the task
        has labels, else the texts.

        Raises:
            InputInvalidError: no rows, fewer or more references than outputs, or an unknown label.
            UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
        """
        from nlpsuite.plugins.loading import measure

        if self.labels:
            given = [output.label or "" for output in outputs]
            wanted = [self.reference(reference) for reference in references]
        else:
            given, wanted = [output.text for output in outputs], list(references)
        names = self.metrics or default_metrics(self)
        return {name: measure(name, given, wanted) for name in names}


def default_metrics(task: Task[Any]) -> tuple[str, ...]:
    """The metrics that a task which names none is evaluated by."""
    if task.multi_label:
        return ("label_micro_f1", "label_macro_f1", "accuracy")
    return ("accuracy", "macro_f1") if task.labels else ("exact_match", "chrf")


def answer_after(prompt: Prompt, answer: str, task: Task[Any]) -> str:
    """What the model should write after ``prompt``, one of the task's, to give ``answer``.

    Raises:
        InputInvalidError: the answer is not one of the prompt's choices.
    """
    if prompt.choices:
        wanted = answer.strip().casefold()
        for choice in prompt.choices:
            if choice.strip().casefold() == wanted:
                return choice
        raise _unknown_label(answer, [choice.strip() for choice in prompt.choices], task.name)
    prefill = prompt.prefill
    if task.strips:
        answer, prefill = answer.strip(), prefill.strip()
    if prefill and answer.startswith(prefill):
        return answer.removeprefix(prefill)
    # After text that doesn't end in white space the next word brings its own.
    before = prompt.prefill or ("" if prompt.messages else prompt.text)
    return f" {answer}" if task.strips and before and not before[-1].isspace() else answer


def _unknown_label(value: str, labels: Sequence[str] | Mapping[str, str], task: str) -> InputInvalidError:
    return InputInvalidError(f"{value!r} is not a label of {task}.", hint=f"Labels: {', '.join(labels)}.")
