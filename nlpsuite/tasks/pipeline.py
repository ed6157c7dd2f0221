"""A task with a model: what ``nlpsuite.load`` returns and the command line runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError, OptionError, PluginError
from nlpsuite.options import by_field, find_option, make_options
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.capability import is_capable
from nlpsuite.tasks.guard import OutputGuard
from nlpsuite.tasks.ordered_text import OrderedText
from nlpsuite.tasks.override import NO_OVERRIDE, PromptOverride
from nlpsuite.tasks.result import Output, Result
from nlpsuite.tasks.solve import Solving, Step, make_solver

__all__ = ["Pipeline", "choice_temperature", "default_options"]

_T = TypeVar("_T")


def _ignore(_: Any) -> None:
    pass


class Pipeline:
    """A task bound to a model and its options.

    summarize = nlpsuite.load("summarize", length="short")
    print(summarize("A long text …"))
    for piece in summarize.stream("A long text …"):
        print(piece, end="")

    A model that was adapted to the task brings the options it was trained with; options given here override
    them.

    Args:
        max_parts: most parts a long text may be split into.
        override: changes of the task's prompt.
        guard: screens the outputs.
        options: of the task.

    Attributes:
        task: as the options make it.
        notices: what the user should know about this task on this model.
        temperature: of the probabilities of choices; see ``Completion.at_temperature``.
        blocked: number of outputs that the guard has replaced so far.
    """

    def __init__(
        self,
        task: Task[Any],
        model: LanguageModel,
        /,
        *,
        max_parts: int = 64,
        override: PromptOverride = NO_OVERRIDE,
        guard: OutputGuard | None = None,
        **options: Any,
    ) -> None:
        self.model, self.override, self.guard = model, override, guard
        self.blocked = 0
        defaults, self.notices = default_options(task, model.bundle, override)
        self._given = {**defaults, **by_field(task.options, options)}
        self.options = make_options(task.options, self._given)
        self.task = task.for_options(self.options)
        self.temperature = choice_temperature(task, model.bundle)
        self._solver = make_solver(
            self.task, model.bundle, model.count_tokens, self.options, max_parts, override
        )

    def __call__(self, text: str, /, **options: Any) -> Output:
        """Run the task on one text; keywords override the pipeline's options."""
        return self.run(Record(text), **options).output

    def map(self, texts: Iterable[str], /, **options: Any) -> list[Output]:
        """Run the task on many texts, batched."""
        return [result.output for result in self.run_batch([Record(t) for t in texts], **options)]

    def stream(
        self,
        text: str | Record,
        /,
        *,
        on_notice: Callable[[str], None] = _ignore,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Generator[str, None, Result]:
        """Run the task on one text and yield pieces of the output's text.

        The pieces come while the text is generated if the task streams, else as one; joined, they are exactly
        the output's text. Closing the generator early stops generating. It returns the result, the value of
        ``yield from``.

        Args:
            on_notice: called with each notice at once; the result has them all.
            cancelled: asked at each step of the model, from the thread that runs it.

        Raises:
            concurrent.futures.CancelledError: ``cancelled`` said yes.
            NlpsuiteError: an unknown option, a text too long, a damaged model.
        """
        item = _Item(Record(text) if isinstance(text, str) else text, options, on_notice)
        shown = yield from self._solve(
            [item], stream=not (self.guard and self.guard.blocks), cancelled=cancelled
        )
        self._screen([item])
        if not shown and item.result.output.text:
            yield item.result.output.text
        return item.result

    def run(
        self,
        record: Record,
        /,
        on_text: Callable[[str], None] = _ignore,
        on_notice: Callable[[str], None] = _ignore,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Result:
        """Run the task on one record.

        Args:
            on_text: called with pieces of the output's text, as ``stream`` yields them.
            on_notice, cancelled: as for ``stream``.

        Raises:
            NlpsuiteError: as ``stream``.
        """
        return _exhaust(self.stream(record, on_notice=on_notice, cancelled=cancelled, **options), on_text)

    def run_batch(self, records: Sequence[Record], /, **options: Any) -> list[Result]:
        """Run the task on many records; their prompts share the running batch."""
        items = [_Item(record, options) for record in records]
        _exhaust(self._solve(items))
        self._screen(items)
        return [item.result for item in items]

    def run_each(
        self,
        records: Sequence[Record],
        options: Sequence[Mapping[str, Any]] | None = None,
        on_result: Callable[[Result], None] = _ignore,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Result | NlpsuiteError]:
        """Run the task on many records; one that fails doesn't stop the others.

        Errors of the model itself, such as a damaged file, are raised: the next record would fail as well.

        Args:
            options: for each record, overriding the pipeline's own.
            on_result: called with each result when it comes, before it is screened.
            cancelled: as for ``stream``.

        Returns:
            For each record its result, or the error.
        """
        given = options or [{}] * len(records)
        items = [_Item(record, own) for record, own in zip(records, given, strict=True)]
        _exhaust(self._solve(items, on_result=on_result, isolate=True, cancelled=cancelled))
        self._screen([item for item in items if item.error is None])
        return [item.error or item.result for item in items]

    def prompt(self, record: Record, /, **options: Any) -> Prompt:
        """The prompt for a record, whatever its length."""
        return self._solver.prompt(record, self._options(options))

    def _options(self, options: Mapping[str, Any]) -> Any:
        if not options:
            return self.options
        return make_options(self.task.options, {**self._given, **by_field(self.task.options, options)})

    def _solve(
        self,
        items: Sequence[_Item],
        *,
        stream: bool = False,
        on_result: Callable[[Result], None] = _ignore,
        isolate: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generator[str, None, bool]:
        """Solve items side by side, with pieces of the text if ``stream``; returns whether there were any.

        Args:
            isolate: note the error of an item instead of raising it.
        """
        started = time.perf_counter()

        def advance(item: _Item, completions: list[Completion] | None) -> None:
            try:
                if item.solving is None:
                    item.solving = self._solver.solve(item.record, self._options(item.options))
                # A generator that hasn't started takes None only.
                item.step = item.solving.send(completions)  # type: ignore[arg-type]
            except StopIteration as stop:
                item.result.output, item.step = stop.value, None
                item.result.seconds = time.perf_counter() - started
                item.notify(stop.value.notices)
                on_result(item.result)
            except Exception as error:
                if not isolate or isinstance(error, MemoryError):
                    raise
                item.error, item.step = self._error_of(error), None
            else:
                item.notify(item.step.notices)

        for item in items:
            advance(item, None)
        shown = False
        while waiting := [(item, item.step) for item in items if item.step]:
            show = stream and all(step.final for _, step in waiting)
            shown = shown or show
            completions = yield from self._answer([step for _, step in waiting], show, cancelled)
            for (item, _), some in zip(waiting, completions):
                item.count(some)
                advance(item, some)
        return shown

    def _answer(
        self, steps: Sequence[Step], show: bool, cancelled: Callable[[], bool] | None
    ) -> Generator[str, None, list[list[Completion]]]:
        """Completions of all steps' prompts, in one batch."""
        text = OrderedText([part for step in steps for part in step.parts], self.task.strips)
        done: dict[int, Completion] = {}
        prompts = [prompt for step in steps for prompt in step.prompts]
        with closing(self.model.stream(prompts, cancelled)) as events:
            for index, event in events:
                if isinstance(event, Completion):
                    event = event.at_temperature(self.temperature)
                    done[index] = event
                if show and (piece := text.take(index, event)):
                    yield piece
        if show and (piece := text.finish()):
            yield piece
        ordered = iter(done[i] for i in range(len(done)))
        return [[next(ordered) for _ in step.prompts] for step in steps]

    def _screen(self, items: Sequence[_Item]) -> None:
        if self.guard is None:
            return
        before = [len(item.result.notices) for item in items]
        self.guard.apply([item.result for item in items], self.model)
        for item, count in zip(items, before):
            self.blocked += bool(item.result.guard and item.result.guard["blocked"])
            for notice in item.result.notices[count:]:
                item.on_notice(notice)

    def _error_of(self, error: Exception) -> NlpsuiteError:
        if isinstance(error, NlpsuiteError):
            return error
        return PluginError(
            f"The task {self.task.name} failed on this text: {type(error).__name__}: {error}",
            hint="This is a bug in its plugin.",
        )


@dataclass
class _Item:
    """One record on its way to a result.

    Attributes:
        step: what it waits for; None once it is solved or has failed.
        error: why there is no result.
    """

    record: Record
    options: Mapping[str, Any]
    on_notice: Callable[[str], None] = _ignore
    result: Result = field(default_factory=Result)
    solving: Solving | None = None
    step: Step | None = None
    error: NlpsuiteError | None = None

    def notify(self, notices: Iterable[str]) -> None:
        for notice in notices:
            if notice not in self.result.notices:
                self.result.notices.append(notice)
                self.on_notice(notice)

    def count(self, completions: Sequence[Completion]) -> None:
        result = self.result
        if result.parts == 0:
            result.first_token_seconds = completions[0].first_token_seconds
        result.parts += len(completions)
        result.prompt_tokens += sum(c.prompt_tokens for c in completions)
        result.completion_tokens += sum(c.completion_tokens for c in completions)
        result.finish_reason = completions[-1].finish_reason


def _exhaust(pieces: Generator[str, None, _T], on_text: Callable[[str], None] = _ignore) -> _T:
    """Run a generator to its end and return its value."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            value: _T = stop.value
            return value
        on_text(piece)


def default_options(
    task: Task[Any], bundle: Bundle, override: PromptOverride = NO_OVERRIDE
) -> tuple[dict[str, Any], list[str]]:
    """The options that replace a task's defaults on a model, and what the user should know about the two.

    They are those for a capable model, or those that an adapter merged into the model was trained with; and those for
    few-shot examples.
    """
    adapter = bundle.adapter
    options: dict[str, Any] = dict(task.capable_options) if is_capable(bundle) else {}
    notices = []
    if adapter is not None and adapter["task"] != task.name and adapter["task"]:
        notices.append(f"The model was adapted to {adapter['task']}; it may be worse at {task.name}.")
    elif adapter is not None and adapter["task"]:  # peft records no task
        if override.report:
            notices.append(
                f"The model was adapted to the task's own prompt; with another, {task.name} may do worse than the "
                "adapter's evaluation says."
            )
        if adapter["task_version"] != task.version:
            notices.append(
                f"The model was adapted to version {adapter['task_version']} of {task.name}; this is version "
                f"{task.version}: it may do worse than the adapter's evaluation says."
            )
        for name, value in adapter["options"].items():
            try:
                make_options(task.options, {name: value})
            except OptionError:
                notices.append(
                    f"{task.name} has no option {name}={value!r}: this setting of the adapter is ignored."
                )
            else:
                options[find_option(task.options, name).name] = value
    return options | dict(override.options(task)), notices


def choice_temperature(task: Task[Any], bundle: Bundle) -> float:
    """The temperature that was fitted for a task's choices when the bundle's adapter was trained; 1 without."""
    adapter = bundle.adapter
    return float(adapter.get("temperature", 1.0)) if adapter and adapter["task"] == task.name else 1.0
