"""Driving ``Solver.solve`` with scripted answers: a token is a character."""

from collections.abc import Callable

import pytest

from nlpsuite.data.record import Record
from nlpsuite.errors import InputTooLongError, OptionError
from nlpsuite.options import Options
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.base import Piece, Task
from nlpsuite.tasks.result import Output
from nlpsuite.tasks.solve import Solver, Step


class Echo(Task[Options]):
    name = "echo"
    streams = True

    def prompt(self, record: Record, options: Options) -> Prompt:
        return Prompt(text="frame:" + record.text, max_tokens=10)


def make(**attributes: object) -> Echo:
    task: Echo = type("Changed", (Echo,), attributes)()
    return task


def drive(
    task: Echo, text: str, answer: Callable[[str], str], max_parts: int = 64
) -> tuple[Output, list[Step]]:
    solver = Solver(task, 60, lambda p: len(p if isinstance(p, str) else p.text), max_parts)
    solving = solver.solve(Record(text), Options())
    steps = [next(solving)]
    while True:
        assert all(len(p.text) <= 50 for p in steps[-1].prompts) and len(steps) < 50
        try:
            steps.append(solving.send([Completion(answer(p.text), "stop", 1) for p in steps[-1].prompts]))
        except StopIteration as stop:
            return stop.value, steps


LONG = "one two three. " * 20


def test_short_text() -> None:
    output, [step] = drive(make(), "short", str.upper)
    assert output.text == "FRAME:SHORT" and step.final and not step.notices


def test_join() -> None:
    output, [step] = drive(make(long_input="split"), LONG, lambda p: p.removeprefix("frame:"))
    assert output.text == LONG.strip() and step.final and f"{len(step.prompts)} parts" in step.notices[0]


def test_again() -> None:
    output, steps = drive(make(long_input="split", merging="map_reduce"), LONG, lambda p: "x.")
    assert output.text == "x." and len(steps) >= 2
    assert [step.final for step in steps] == [False] * (len(steps) - 1) + [True]


def test_again_ends_when_nothing_shrinks() -> None:
    output, _ = drive(make(long_input="split", merging="map_reduce"), LONG, lambda p: p * 2)
    assert output.text


def test_window() -> None:
    _, [step] = drive(make(long_input="window"), LONG, str)
    assert (
        LONG.endswith(step.prompts[0].text.removeprefix("frame:"))
        and "306" in step.notices[0]
        and "50" in step.notices[0]
    )


@pytest.mark.parametrize("policy", ["error", "window", "split"])
@pytest.mark.parametrize("text", ["short", LONG])
def test_too_many_tokens_are_refused_with_the_most_there_can_be(policy: str, text: str) -> None:
    class Greedy(Echo):
        long_input = policy  # type: ignore[assignment]

        def prompt(self, record: Record, options: Options) -> Prompt:
            return Prompt(text="frame:" + record.text, max_tokens=100_000)

    with pytest.raises(OptionError, match="max_tokens is 100,000, can be at most 38") as caught:
        drive(Greedy(), text, str)
    assert "--max-tokens 38" in caught.value.hint


def test_a_record_is_divided_and_joined() -> None:
    class Lines(Echo):
        def divide(self, record: Record, options: Options) -> list[Piece]:
            return [Piece(line, before="* ", separator="\n") for line in record.text.split("\n") if line]

    output, [step] = drive(Lines(), "one\ntwo\n", lambda p: p.removeprefix("frame:"))
    assert output.text == "* one\n* two" and step.final and len(step.prompts) == 2
    output, [step] = drive(
        Lines.__new__(type("Split", (Lines,), {"long_input": "split"})), f"{LONG}\nend", lambda p: p[6:]
    )
    assert output.text == f"* {LONG.strip()}\n* end"


def test_refusals_state_both_lengths() -> None:
    with pytest.raises(InputTooLongError, match="306 tokens; echo takes 50"):
        drive(make(), LONG, str)
    with pytest.raises(InputTooLongError, match="300 tokens.*2 parts of 44"):
        drive(make(long_input="split"), LONG, str, max_parts=2)
