"""From a record to an output: one prompt, or several where the text is long or divided.

``Solver.solve`` is a generator: it yields the prompts that it needs answered and is sent their completions.
It doesn't know how they are answered, so one record on a terminal and a million in a job take the same path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nlpsuite.data.record import Record
from nlpsuite.errors import InputTooLongError, OptionError
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.base import Divides, Piece, Task
from nlpsuite.tasks.long_text import Part, keep_end, split_text
from nlpsuite.tasks.override import NO_OVERRIDE, PromptOverride
from nlpsuite.tasks.prose import known_languages, read_prose
from nlpsuite.tasks.result import Output

__all__ = ["Solver", "Solving", "Step", "answer_tokens", "make_solver"]

# Texts worth working on have fewer characters a token than this.
_CHARACTERS_PER_TOKEN = 16
# A prompt must leave room for this many tokens of text, and a prompt with choices for a choice of as many.
_LEAST_TOKENS = 16
# A divided record may have this many pieces for each part that a long text may be split into.
_PIECES_PER_PART = 64


@dataclass(frozen=True)
class Step:
    """Prompts to be answered together.

    Attributes:
        parts: what stands around the answer to each prompt in the output's text.
        final: the answers with what stands around them are the output's text, so they may be shown while
            they are generated.
        notices: what the user should know: the text was split, shortened or stripped of markup.
    """

    prompts: list[Prompt]
    parts: list[Part]
    final: bool
    notices: tuple[str, ...] = ()


Solving: TypeAlias = Generator[Step, list[Completion], Output]


@dataclass(frozen=True)
class Solver:
    """Solves a task's records within a model's limits.

    Attributes:
        context_length: of the model, in tokens of prompt and completion together.
        count_tokens: of a prompt as the model reads it, or of plain text.
        max_parts: most parts a text may be split into; more are most likely a mistake.
        override: changes of the task's prompt.
        shot_tokens: of few-shot examples, which don't count against the task's own limit.
        languages: English names of those the model knows; None if that isn't known.
    """

    task: Task[Any]
    context_length: int
    count_tokens: Callable[[Prompt | str], int]
    max_parts: int = 64
    override: PromptOverride = NO_OVERRIDE
    shot_tokens: int = 0
    languages: frozenset[str] | None = None

    def solve(self, record: Record, options: Any) -> Solving:
        """Solve one record; see the module's docstring.

        Raises:
            InputTooLongError: the text is longer than the task takes.
            OptionError: ``max_tokens`` leaves no room for the text.
            InputInvalidError: the task can't be done for this text.
        """
        notices: tuple[str, ...] = ()
        if self.task.prose:
            record, notices = read_prose(record, self.languages)
        solving = self._solve(record, options)
        try:
            step = next(solving)
        except StopIteration as stop:
            return _with_notices(stop.value, notices)
        completions = yield dataclasses.replace(step, notices=notices + step.notices)
        try:
            while True:
                completions = yield solving.send(completions)
        except StopIteration as stop:
            output: Output = stop.value
            return output

    def prompt(self, record: Record, options: Any) -> Prompt:
        """The prompt for a record, whatever its length."""
        return self.override.prompt(self.task, record, options)

    def _solve(self, record: Record, options: Any) -> Solving:
        task = self.task
        pieces: Sequence[Piece] = ()
        if isinstance(task, Divides) and not isinstance(record, Piece):
            pieces = task.divide(record, options)
        if pieces:
            return (yield from self._solve_pieces(pieces, options))
        output = self.task.without_model(record, options)
        return (yield from self._generate(record, options)) if output is None else output

    def _generate(self, record: Record, options: Any) -> Solving:
        """Ask the model, once or for each part of a long text."""
        # Of a text that can't possibly fit only the end is read, to estimate the length of the whole.
        end = dataclasses.replace(record, text=record.text[-self.context_length * _CHARACTERS_PER_TOKEN :])
        prompt = self.prompt(end, options)
        limit = self.context_length - answer_tokens(prompt)
        if self.task.max_prompt_tokens is not None:
            limit = min(limit, self.task.max_prompt_tokens + self.shot_tokens)
        length = self.count_tokens(prompt) * len(record.text) // max(1, len(end.text))
        if len(end.text) < len(record.text) and length <= limit:
            prompt = self.prompt(record, options)
            length = self.count_tokens(prompt)
        notices: tuple[str, ...] = ()
        if length > limit:
            room = self._room_for_text(record, options, prompt, limit)
            if self.task.long_input == "error":
                raise InputTooLongError(
                    f"The text makes a prompt of about {length:,} tokens; {self.task.name} takes {limit:,}.",
                    hint="Shorten it, ask for fewer tokens (--max-tokens), or use a model with a longer context.",
                )
            if self.task.long_input == "split":
                return (yield from self._solve_parts(record, options, room))
            end_of_text = keep_end(record.text, room, self.count_tokens)
            notices = (
                f"The text makes a prompt of about {length:,} tokens; {self.task.name} reads the last {limit:,}: "
                f"{len(end_of_text):,} of {len(record.text):,} characters.",
            )
            record = dataclasses.replace(record, text=end_of_text)
            prompt = self.prompt(record, options)
        [completion] = yield Step([prompt], [Part(record.text)], self._streams(prompt), notices)
        return self.task.parse(completion, record, options)

    def _room_for_text(self, record: Record, options: Any, prompt: Prompt, limit: int) -> int:
        """Tokens of text that fit into a prompt of ``limit`` tokens."""
        frame = self.count_tokens(self.prompt(dataclasses.replace(record, text=""), options))
        if limit - frame >= _LEAST_TOKENS:
            return limit - frame
        most = self.context_length - frame - _LEAST_TOKENS
        if not prompt.choices and 0 < most < prompt.max_tokens:
            raise OptionError(
                f"max_tokens is {prompt.max_tokens:,}, can be at most {most:,}: the model's context has "
                f"{self.context_length:,} tokens for the {self.task.name} prompt, the text and the answer.",
                hint=f"Use --max-tokens {most} or less; the longer the text, the less there is room for.",
            )
        raise InputTooLongError(
            f"The {self.task.name} prompt alone takes {frame:,} tokens of {max(0, limit):,}.",
            hint="Ask for fewer tokens (--max-tokens) or use a model with a longer context.",
        )

    def _solve_pieces(self, pieces: Sequence[Piece], options: Any) -> Solving:
        """Solve the pieces of a divided record side by side, and join their outputs."""
        if len(pieces) > _PIECES_PER_PART * self.max_parts:
            needed = -(-len(pieces) // _PIECES_PER_PART)
            raise InputTooLongError(
                f"The text has {len(pieces):,} pieces; {self.task.name} takes up to "
                f"{_PIECES_PER_PART * self.max_parts:,}.",
                hint=f"Give a shorter text, or allow more with --max-parts {needed}.",
            )
        outputs: dict[int, Output] = {}
        steps: dict[int, Step] = {}
        solvings = [self._solve(piece, options) for piece in pieces]

        def advance(i: int, completions: list[Completion] | None) -> None:
            try:
                # A generator that hasn't started takes None only.
                steps[i] = solvings[i].send(completions)  # type: ignore[arg-type]
            except StopIteration as stop:
                outputs[i] = stop.value

        for i in range(len(pieces)):
            advance(i, None)
        while steps:
            together = Step(
                [prompt for step in steps.values() for prompt in step.prompts],
                [part for i, step in steps.items() for part in _around(step.parts, pieces[i])],
                # This step generates all of the text, in order.
                len(steps) == len(pieces) and all(step.final for step in steps.values()),
                tuple(dict.fromkeys(notice for step in steps.values() for notice in step.notices)),
            )
            completions = iter((yield together))
            answers = {i: [next(completions) for _ in step.prompts] for i, step in steps.items()}
            steps.clear()
            for i, some in answers.items():
                advance(i, some)
        return self._join([outputs[i] for i in range(len(pieces))], pieces, options)

    def _solve_parts(self, record: Record, options: Any, part_tokens: int) -> Solving:
        """Split a long text into parts of at most ``part_tokens``, and merge their outputs."""
        task = self.task
        sample = record.text[: part_tokens * _CHARACTERS_PER_TOKEN]
        total = self.count_tokens(sample) * len(record.text) // max(1, len(sample))
        parts: list[Part] = []
        if total <= 2 * part_tokens * self.max_parts:  # else it is too long, split or not
            parts = split_text(record.text, part_tokens, self.count_tokens)
        if not 0 < len(parts) <= self.max_parts:
            needed = len(parts) or -(-total // part_tokens) * 5 // 4
            raise InputTooLongError(
                f"The text has about {total:,} tokens; {task.name} takes up to about "
                f"{part_tokens * self.max_parts:,} ({self.max_parts} parts of {part_tokens:,}).",
                hint=f"Give a shorter text, or allow more with --max-parts {needed}.",
            )
        records = [dataclasses.replace(record, text=part.text) for part in parts]
        concat = task.merging == "concat"
        prompts = [self.prompt(r, options) for r in records]
        completions = yield Step(
            prompts,
            parts,
            concat and all(map(self._streams, prompts)),
            (f"The text is long: {task.name} works on {len(parts)} parts and merges them.",),
        )
        outputs = [task.parse(c, r, options) for c, r in zip(completions, records)]
        if not concat:
            merged = "\n\n".join(output.text for output in outputs)
            if self.count_tokens(merged) < self.count_tokens(record.text):
                return (yield from self._generate(dataclasses.replace(record, text=merged), options))
            parts = [Part(part.text, "\n\n") for part in parts]  # it doesn't get shorter: join the parts
        return self._join(outputs, parts, options)

    def _streams(self, prompt: Prompt) -> bool:
        """Whether the completion's text is the output's; a choice is scored and then read."""
        return self.task.streams and not prompt.choices

    def _join(self, outputs: list[Output], parts: Sequence[Part], options: Any) -> Output:
        notices = tuple(notice for output in outputs for notice in output.notices)
        return _with_notices(self.task.join(outputs, parts, options), notices)


def make_solver(
    task: Task[Any],
    bundle: Bundle,
    count_tokens: Callable[[Prompt | str], int],
    options: Any,
    max_parts: int,
    override: PromptOverride,
) -> Solver:
    """A solver within a bundle's limits.

    Args:
        options: those with which few-shot examples are measured.

    Raises:
        InputTooLongError: the few-shot examples leave no room in the context for a text and its answer.
    """
    solver = Solver(
        task,
        bundle.context_length,
        count_tokens,
        max_parts,
        override,
        languages=known_languages(bundle),
    )
    if override.shots is None:
        return solver
    prompt = solver.prompt(Record(""), options)
    without = dataclasses.replace(override, shots=None)
    frame = count_tokens(without.prompt(task, Record(""), options))
    tokens = count_tokens(prompt) - frame
    room = bundle.context_length - answer_tokens(prompt) - frame - _LEAST_TOKENS
    if tokens <= room:
        return dataclasses.replace(solver, shot_tokens=tokens)
    count = len(override.shots.examples)
    fitting = count * max(0, room) // max(1, tokens)
    raise InputTooLongError(
        f"The {count:,} examples take {tokens:,} tokens; beside the prompt and the answer there is room "
        f"for {max(0, room):,} in the model's context of {bundle.context_length:,}.",
        hint=(f"Show fewer: --max-shots {fitting}. " if fitting else "")
        + "Or use shorter ones, or a model with a longer context.",
    )


def _around(parts: list[Part], piece: Piece) -> list[Part]:
    """The parts of a piece, with what stands around the piece around the first and the last."""
    first = dataclasses.replace(parts[0], before=piece.before + parts[0].before)
    around = [first, *parts[1:]]
    around[-1] = dataclasses.replace(around[-1], separator=around[-1].separator + piece.separator)
    return around


def _with_notices(output: Output, notices: tuple[str, ...]) -> Output:
    return dataclasses.replace(output, notices=tuple(dict.fromkeys(notices + output.notices)))


def answer_tokens(prompt: Prompt) -> int:
    """Tokens to reserve for the answer."""
    if not prompt.choices:
        return prompt.max_tokens
    # A token is at least a byte.
    return max(_LEAST_TOKENS, *(len(choice.encode()) for choice in prompt.choices))
