import inspect
from dataclasses import dataclass
from pathlib import Path

import pytest

import nlpsuite
from nlpsuite import Options, Output, Prompt, Record, Task, option
from nlpsuite.errors import OptionError
from nlpsuite.options import RESERVED_OPTIONS
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Result
from nlpsuite.testing import EchoModel

LONG = "The cat sat on the mat. It was red. " * 20


@pytest.mark.parametrize("task", ["complete", "chat", "translate"])
@pytest.mark.parametrize("text", ["The cat", LONG])
def test_pieces_join_to_the_text(tiny_bundle: Path, task: str, text: str) -> None:
    pipeline = nlpsuite.load(task, model=str(tiny_bundle), max_tokens=20, temperature=0.0)
    if task == "chat" and text is LONG:
        pytest.skip("chat refuses long texts")
    pieces: list[str] = []
    assert pipeline.run(nlpsuite.Record(text), on_text=pieces.append).output.text == "".join(pieces)


@pytest.mark.parametrize("task", ["complete", "sentiment"])
def test_map_equals_single_calls(tiny_bundle: Path, task: str) -> None:
    options = {} if task == "sentiment" else {"max_tokens": 8}
    pipeline = nlpsuite.load(task, model=str(tiny_bundle), **options)
    texts = ["one", "two three four", LONG]
    for together, alone in zip(pipeline.map(texts), [pipeline(text) for text in texts], strict=True):
        assert together.text == alone.text and together.label == alone.label
        if alone.probabilities:
            assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-4)


# Streaming.


@pytest.mark.parametrize("text", ["The cat", LONG])
def test_a_stream_is_the_text_in_pieces(tiny_bundle: Path, text: str) -> None:
    pipeline = nlpsuite.load("complete", model=str(tiny_bundle), max_tokens=20)
    pieces = list(pipeline.stream(text))
    assert len(pieces) > 1 and "".join(pieces) == pipeline(text).text
    assert list(pipeline.stream(Record(text), max_tokens=20)) == pieces


def test_a_stream_returns_the_result() -> None:
    def last(pipeline: Pipeline) -> Result:
        stream = pipeline.stream("a b c")
        while True:
            try:
                next(stream)
            except StopIteration as stop:
                return stop.value

    result = last(Pipeline(load_task("complete"), EchoModel(["one two"])))
    assert result.output.text == "one two" and result.completion_tokens == 2


def test_a_closed_stream_frees_its_slots(tiny_bundle: Path) -> None:
    pipeline = nlpsuite.load("complete", model=str(tiny_bundle), max_tokens=50)
    whole = pipeline("the sea").text
    stream = pipeline.stream("the sea")
    first = next(stream)
    stream.close()
    assert whole.startswith(first) and first != whole
    assert pipeline("the sea").text == whole == "".join(pipeline.stream("the sea"))


def test_a_task_that_does_not_stream_yields_one_piece() -> None:
    pipeline = Pipeline(load_task("sentiment"), EchoModel(["negative"]))
    assert list(pipeline.stream("Bad weather.")) == [pipeline("Bad weather.").text]


def test_wrong_options_of_a_stream() -> None:
    with pytest.raises(OptionError, match="lenght"):
        next(Pipeline(load_task("summarize"), EchoModel()).stream("a", lenght="short"))


# Options and keywords.


def test_no_keyword_of_a_call_can_be_an_option() -> None:
    calls = [
        nlpsuite.load, Pipeline.__init__, Pipeline.__call__, Pipeline.map, Pipeline.stream, Pipeline.run,
        Pipeline.run_batch, Pipeline.prompt,
    ]  # fmt: skip
    for call in calls:
        for parameter in inspect.signature(call).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                assert parameter.name in RESERVED_OPTIONS, f"{parameter.name} of {call.__qualname__}"


def test_a_reserved_option_is_refused_where_the_task_is_declared() -> None:
    @dataclass(frozen=True)
    class Taken(Options):
        guard: str = option("", "A guard.")

    with pytest.raises(TypeError, match="has an option 'guard', a name that nlpsuite uses for all tasks"):

        class Guarded(Task[Taken]):
            name = "guarded"
            options = Taken

            def prompt(self, record: Record, options: Taken) -> Prompt:
                return Prompt(text=record.text)


def test_an_option_may_be_called_as_what_is_positional() -> None:
    @dataclass(frozen=True)
    class Odd(Options):
        record: str = option("x", "Anything.")
        item: str = option("x", "Anything.")

    class Strange(Task[Odd]):
        name = "strange"
        options = Odd

        def prompt(self, record: Record, options: Odd) -> Prompt:
            return Prompt(text=f"{options.record} {options.item}: {record.text}")

    pipeline = Pipeline(Strange(), EchoModel(), item="a")
    assert pipeline("c", record="b").text == "b a: c"


# In a notebook.


def test_outputs_and_results_as_html() -> None:
    output = Output("<b>5 & 6</b>", "a<b", {"a<b": 0.75, "c": 0.25}, notices=("1 < 2",))
    html = output._repr_html_()
    assert "&lt;b&gt;5 &amp; 6&lt;/b&gt;" in html and "a&lt;b" in html and "75.0%" in html
    assert "1 &lt; 2" in html and "<b>" not in html
    result = Result(output, prompt_tokens=1234, seconds=0.5, notices=["x > y"], finish_reason="stop")
    assert "1,234 tokens read" in result._repr_html_() and "x &gt; y" in result._repr_html_()
    assert all(colour not in html for colour in ("white;", "black", "#fff", "#000"))  # light and dark pages
