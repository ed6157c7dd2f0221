"""A task with a model: what ``nlpsuite.load`` returns and the CLI runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError, OptionError, PluginError
from nlpsuite.options import make_options
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.result import Output, Result
from nlpsuite.tasks.shots import shot_tokens
from nlpsuite.tasks.solve import Limits, Step, solve

__all__ = ["Pipeline", "Watch", "preset_options"]


_Solver: TypeAlias = Generator[Step, list[Completion], Output]


@dataclass
class Watch:
    """Who is told of what while records are run.

    Attributes:
        failed: takes the errors of records, by index; None lets the first end the run.
    """

    on_text: Callable[[str], None] | None = None
    on_notice: Callable[[str], None] = lambda notice: None
    on_result: Callable[[Result], None] = lambda result: None
    failed: dict[int, NlpsuiteError] | None = None


class Pipeline:
    """A task bound to a model and its options.

    summarize = nlpsuite.load("summarize", length="short")
    print(summarize("A long text …"))

    A model that was adapted to the task brings the options it was trained with; those given go first.

    Attributes:
        notices: what the user should know about the model and the task together.
        blocked: outputs that a guard has replaced so far; see ``nlpsuite.tasks.guard``.
    """

    blocked = 0

    def __init__(self, task: Task[Any], model: LanguageModel, max_parts: int = 64, **options: Any) -> None:
        self.task, self.model = task, model
        preset, self.notices = preset_options(task, model.bundle)
        self._given = options = {**preset, **options}
        self.options = make_options(task.options, options)
        shots = shot_tokens(task, self.options, model.context_length, model.count_tokens)
        self._limits = Limits(model.context_length, model.count_tokens, max_parts, shots)

    def __call__(self, text: str, **options: Any) -> Output:
        """Run the task on one text; keywords override the pipeline's options."""
        return self.run(Record(text), **options).output

    def map(self, texts: Iterable[str], **options: Any) -> list[Output]:
        """Run the task on many texts, batched."""
        return [result.output for result in self.run_batch([Record(t) for t in texts], **options)]

    def run(
        self,
        record: Record,
        on_text: Callable[[str], None] | None = None,
        on_notice: Callable[[str], None] = lambda notice: None,
        **options: Any,
    ) -> Result:
        """Run the task on one record.

        Args:
            on_text: called with pieces of the output's text as they come, if the task streams;
                else once with the whole. The pieces join to exactly the output's text.

        Raises:
            NlpsuiteError: an unknown option, a text too long, a damaged model.
        """
        watch = Watch(on_text=on_text, on_notice=on_notice)
        [result] = self._drive([record], [options], watch)
        return result

    def run_batch(self, records: Sequence[Record], **options: Any) -> list[Result]:
        """Run the task on many records; their prompts share the running batch."""
        return self._drive(records, [options] * len(records), Watch())

    def run_each(
        self,
        records: Sequence[Record],
        options: Sequence[Mapping[str, Any]] | None = None,
        on_result: Callable[[Result], None] = lambda result: None,
    ) -> list[Result | NlpsuiteError]:
        """Run the task on many records, where one that fails stops no other.

        What the model itself fails with, such as a damaged file, is raised: it would fail the next as well.

        Args:
            options: for each record, over the pipeline's own.
            on_result: told of each result as it comes.

        Returns:
            For each record its result, or why there is none.
        """
        watch = Watch(on_result=on_result, failed={})
        results = self._drive(records, options or [{}] * len(records), watch)
        assert watch.failed is not None
        return [watch.failed.get(i, result) for i, result in enumerate(results)]

    def _drive(
        self, records: Sequence[Record], options: Sequence[Mapping[str, Any]], watch: Watch
    ) -> list[Result]:
        started = time.perf_counter()
        results = [Result(Output("")) for _ in records]
        solvers: dict[int, _Solver] = {}
        steps: dict[int, Step] = {}

        def advance(i: int, completions: list[Completion] | None) -> None:
            try:
                if completions is None:
                    chosen = make_options(self.task.options, {**self._given, **options[i]})
                    solvers[i] = solve(self.task, records[i], chosen, self._limits)
                    steps[i] = next(solvers[i])
                else:
                    steps[i] = solvers[i].send(completions)
            except StopIteration as stop:
                results[i].output = stop.value
                results[i].seconds = time.perf_counter() - started
                watch.on_result(results[i])
            except Exception as error:
                if watch.failed is None or isinstance(error, MemoryError):
                    raise
                watch.failed[i] = error if isinstance(error, NlpsuiteError) else self._blamed(error)

        for i in range(len(records)):
            advance(i, None)
        streamed = False
        while steps:
            for i, step in steps.items():
                if step.notice:
                    results[i].notices.append(step.notice)
                    watch.on_notice(step.notice)
            show = watch.on_text if all(step.final for step in steps.values()) else None
            streamed = streamed or show is not None
            completions = self._answer(steps, show)
            steps = {}
            for i, answers in completions.items():
                _count(results[i], answers)
                advance(i, answers)
        if watch.on_text and not streamed:
            watch.on_text(results[0].output.text)
        return results

    def _blamed(self, error: Exception) -> PluginError:
        return PluginError(
            f"The task {self.task.name} failed on this text: {type(error).__name__}: {error}",
            hint="This is a fault of its plugin.",
        )

    def _answer(
        self, steps: dict[int, Step], on_text: Callable[[str], None] | None
    ) -> dict[int, list[Completion]]:
        """Completions of all steps' prompts, in one batch."""
        prompts = [prompt for step in steps.values() for prompt in step.prompts]
        separators = [s for step in steps.values() for s in step.separators]
        shown = _InOrder(separators, self.task.strips, on_text) if on_text else None
        done: dict[int, Completion] = {}
        for index, event in self.model.stream(prompts):
            if isinstance(event, Completion):
                done[index] = event
            if shown:
                shown.take(index, event)
        ordered = iter(done[i] for i in range(len(prompts)))
        return {i: [next(ordered) for _ in step.prompts] for i, step in steps.items()}


def preset_options(task: Task[Any], bundle: Bundle) -> tuple[dict[str, Any], list[str]]:
    """The options that differ from a task's defaults on a model, and what the user should know.

    They are those that an adapter merged into the model was trained with, and those that come with
    few-shot examples.
    """
    adapter = bundle.adapter
    if adapter is None or not adapter["task"]:  # peft doesn't record a task
        return dict(task.adjusted.options), []
    if adapter["task"] != task.name:
        notice = f"The model was adapted to {adapter['task']}; it may be worse at {task.name}."
        return dict(task.adjusted.options), [notice]
    options: dict[str, Any] = {}
    notices = []
    if task.adjusted.report:
        notices.append(
            f"The model was adapted to the prompt that {task.name} has of its own; with another, results may "
            "be worse than its evaluation says."
        )
    if adapter["task_version"] != task.version:
        notices.append(
            f"The model was adapted to version {adapter['task_version']} of {task.name}; this is version "
            f"{task.version}: results may be worse than its evaluation says."
        )
    for name, value in adapter["options"].items():
        try:
            make_options(task.options, {name: value})
        except OptionError:
            notices.append(
                f"The adapter's option {name}={value!r} is not one of {task.name}; it has no effect."
            )
        else:
            options[name] = value
    return options | dict(task.adjusted.options), notices


def _count(result: Result, completions: list[Completion]) -> None:
    if result.parts == 0:
        result.first_token_seconds = completions[0].first_token_seconds
    result.parts += len(completions)
    result.prompt_tokens += sum(c.prompt_tokens for c in completions)
    result.completion_tokens += sum(c.completion_tokens for c in completions)
    result.finish_reason = completions[-1].finish_reason


class _InOrder:
    """Shows the texts of several prompts one after the other.

    Texts come interleaved; those whose turn it isn't wait. Where the task strips its outputs,
    white space is held until a word follows, so that what was shown equals the stripped text.
    """

    def __init__(self, separators: list[str], strip: bool, show: Callable[[str], None]) -> None:
        self._separators, self._strip, self._show = separators, strip, show
        self._waiting: list[str] = [""] * len(separators)
        self._done = [False] * len(separators)
        self._turn = 0
        self._begun = False
        self._space = ""

    def take(self, index: int, event: str | Completion) -> None:
        if isinstance(event, Completion):
            self._done[index] = True
        else:
            self._waiting[index] += event
        while self._turn < len(self._waiting):
            text, self._waiting[self._turn] = self._waiting[self._turn], ""
            self._put(text if self._begun or not self._strip else text.lstrip())
            if not self._done[self._turn]:
                return
            self._space = self._separators[self._turn]
            self._begun = False
            self._turn += 1

    def _put(self, text: str) -> None:
        if not self._strip:
            text, self._space = self._space + text, ""
            if text:
                self._show(text)
            return
        if text:
            self._begun = True
        bare = text.rstrip()
        if bare:
            self._show(self._space + bare)
            self._space = text[len(bare) :]
        else:
            self._space += text
