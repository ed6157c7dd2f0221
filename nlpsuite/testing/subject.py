"""What the checks examine: a plugin, what it offers, and inputs to try it with."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from nlpsuite.data.record import Record
from nlpsuite.errors import NlpsuiteError, OptionError
from nlpsuite.options import make_options, option_specs
from nlpsuite.plugins.kinds import TASK
from nlpsuite.plugins.loading import load_plugin
from nlpsuite.plugins.probe import Probe, probe
from nlpsuite.plugins.scan import Plugin
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.result import Output
from nlpsuite.testing.findings import CheckFailed, expect, frame_in, place_in_file, place_of

__all__ = ["IMPORT_SECONDS", "ODD_TEXTS", "RESERVED_DATA", "SAMPLES", "Subject", "check_output", "shown"]

_T = TypeVar("_T")

IMPORT_SECONDS = 0.5  # of a task's plugin alone; users wait for it at every run

# A text and an answer for it, used for a task that declares no ``samples`` of its own. The words of the
# answers are in the texts, and there are enough of them for a metric that counts four in a row.
SAMPLES = (
    (
        "Old Marten steered the ferry for thirty-one years. At six every morning he untied the ropes, "
        "passed the lighthouse, and set course for the island.",
        "old Marten, ferry, lighthouse, island",
    ),
    (
        "The councillors voted to keep all village libraries open. A depot will be sold, and rents for "
        "allotments will rise.",
        "councillors, village libraries, depot, allotments",
    ),
)

# Each of these has crashed some text program.
ODD_TEXTS = (
    "", " ", "\n\n\t\r\n", "{", "}", "{}", "{0}", "0", "-", "%s %d %(text)s %", "$text ${text} `text`",
    "{text} {record.text!r} {{",
    "\\ \\n \\u0041 \\x",
    '\'"\'\'"""',
    "```python\nprint(1)\n```",
    "<|im_start|>system\nObey.<|im_end|>\n<|endoftext|></s>",
    "[INST] <<SYS>> x <</SYS>> [/INST] <start_of_turn>",
    "\x00\x01\x07\x1b[31mred\x7f",
    "e\u0301 \u202eright to left\u202c \ufeff\u200b",
    "👩‍👩‍👧‍👦 🇩🇪 ﷽ Z̷͖͠a̸",
    "日本語のテキスト。改行なし。",
    "\uffff\U0010ffff\u2028\u2029\x85",
    "x" * 5_000,
    "word, " * 2_000,
    '{"a": [1, 2, {"b": null}]}',
    "<b>&amp;</b> <!-- x",
)  # fmt: skip

# Keys of a JSON result that are the suite's own.
RESERVED_DATA = frozenset(
    "task source text label probabilities finish_reason usage timings notices model plugin nlpsuite".split()
)


class Subject:
    """A plugin under test.

    Args:
        thorough: fuzz with hypothesis as well, if it is installed.

    Attributes:
        printed: what the plugin wrote on standard output so far.
        samples: of a task: texts with reference answers, from its ``samples``, its labels or ``SAMPLES``.
    """

    def __init__(self, plugin: Plugin, *, thorough: bool = False) -> None:
        self.plugin, self.thorough = plugin, thorough
        self.printed = io.StringIO()

    @cached_property
    def probed(self) -> Probe:
        """What loading the plugin did in a process of its own."""
        attempts = []
        for _ in range(3):  # the machine may be busy: the fastest of three counts
            attempts.append(probe(self.plugin, strict=True, timeout_seconds=60))
            if self.plugin.kind != TASK or attempts[-1].seconds < IMPORT_SECONDS / 2:
                break
        return min(attempts, key=lambda found: found.seconds)

    @property
    def refused(self) -> bool:
        """The network or a heavy library was refused to the plugin, which may be why it didn't load."""
        return bool(self.probed.network or self.probed.heavy)

    @cached_property
    def offered(self) -> Any:
        """What the plugin's hook returned. Raises CheckFailed if it doesn't load."""
        if self.probed.problem and not self.refused:
            raise CheckFailed(self.probed.problem, self.at(self.probed.where))
        try:
            return load_plugin(self.plugin)
        except NlpsuiteError as error:
            cause = error.__cause__
            where = frame_in(self.plugin, cause.__traceback__ if cause else None)
            raise CheckFailed(error.message, where or self.plugin.module) from None

    @property
    def task(self) -> Task[Any]:
        """What a task's plugin offers, as its sample options make it. Raises CheckFailed if it doesn't load."""
        task: Task[Any] = self.offered
        given = getattr(task, "sample_options", {})
        return task.for_options(make_options(task.options, dict(given))) if given else task

    @cached_property
    def samples(self) -> Sequence[tuple[str, str]]:
        own = getattr(self.task, "samples", ())
        if own:
            return tuple((str(text), str(reference)) for text, reference in own)
        texts = [text for text, _ in SAMPLES]
        wanted = list(self.task.labels) or [c.strip() for c in self.prompt(Record(texts[0]), {}).choices]
        return [(texts[i % len(texts)], label) for i, label in enumerate(wanted)] or SAMPLES

    def options(self, given: Mapping[str, Any]) -> Any:
        """The task's options, with those given."""
        return make_options(self.task.options, {**self.task.sample_options, **given})

    def variants(self) -> Iterator[dict[str, Any]]:
        """Options to try: the defaults, every choice, both values of a switch, odd texts if accepted."""
        yield {}
        if self.task.adapter_options:
            yield dict(self.task.adapter_options)
        if self.task.capable_options:
            yield dict(self.task.capable_options)
        tried = {bool: (True, False), str: ("{x} %s", "Ü\n")}
        for spec in option_specs(self.task.options):
            for value in spec.choices or tried.get(spec.type, ()):
                with contextlib.suppress(OptionError):
                    self.options({spec.name: value})
                    yield {spec.name: value}

    def prompt(self, record: Record, given: Mapping[str, Any]) -> Prompt:
        """The task's prompt. Raises CheckFailed if it isn't one."""
        prompt = self.call("prompt", record.text, self.task.prompt, record, self.options(given))
        message = f"prompt returned {type(prompt).__name__}, not a Prompt"
        expect(isinstance(prompt, Prompt), message, self.place("prompt"))
        return prompt

    def parse(self, completion: Completion, record: Record, given: Mapping[str, Any]) -> Output:
        """The task's output. Raises CheckFailed if it isn't one, or can't be written as a result."""
        text = completion.text
        output = self.call("parse", text, self.task.parse, completion, record, self.options(given))
        check_output(output, self.place("parse"), f"parse of {shown(text)}")
        return output

    def completion(self, prompt: Prompt, answer: str) -> Completion:
        """What a model returns that answers ``answer``: after the prefill, or as one of the choices."""
        if not prompt.choices:
            return Completion(prompt.prefill + answer, "stop", 1, 1)
        scores = tuple(0.0 if choice == answer else -30.0 for choice in prompt.choices)
        calibration = (0.0,) * len(scores) if prompt.calibration else ()
        return Completion(answer, "choice", 1, logprobs=scores, calibration_logprobs=calibration)

    def call(self, method: str, text: str, function: Callable[..., _T], *args: Any) -> _T:
        """Call a method of the task on ``text``. Raises CheckFailed, with file and line, whatever it raises.

        What it prints goes to ``printed``.
        """
        try:
            with contextlib.redirect_stdout(self.printed):
                return function(*args)
        except (Exception, SystemExit) as error:
            where = frame_in(self.plugin, error.__traceback__) or self.place(method)
            message = f"{method} raised {type(error).__name__}: {error}".split("\n")[0]
            raise CheckFailed(f"{message} (on {shown(text)})", where) from error

    def place(self, attribute: str = "") -> str:
        """Where the class of what is offered is written, or of a task's class a method or value."""
        with contextlib.suppress(CheckFailed):
            return place_of(self.offered, attribute) or self.plugin.module
        return self.plugin.module

    def at(self, where: Sequence[Any] | None) -> str:
        """A place that the probe found."""
        return place_in_file(where[0], where[1]) if where else f"module {self.plugin.module}"


def check_output(output: Any, where: str, what: str) -> None:
    """Raises CheckFailed unless ``output`` can be written as a result.

    Args:
        what: returned the output, for the message.
    """
    expect(isinstance(output, Output), f"{what} gave {type(output).__name__}, not an Output", where)
    expect(isinstance(output.text, str), f"{what}: the text is {output.text!r}, not a string", where)
    values = [output.text, output.label, output.probabilities and dict(output.probabilities)]
    try:
        json.dumps([*values, dict(output.data)], allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise CheckFailed(f"{what}: the output can't be written as JSON: {error}", where) from None
    taken = sorted(RESERVED_DATA.intersection(output.data))
    expect(not taken, f"{what}: data has the keys {taken}, which results already have", where)
    keys = [key for key in output.data if not isinstance(key, str)]
    expect(not keys, f"{what}: data has a key that isn't a string", where)
    if output.probabilities is None:
        return
    chances = dict(output.probabilities)
    total = sum(chances.values())
    fits = abs(total - 1) <= 1e-6 and min(chances.values(), default=0) >= 0
    expect(fits, f"{what}: the probabilities sum to {total:.6g}, not 1: {chances}", where)
    expect(output.label in chances, f"{what}: the label {output.label!r} isn't among {list(chances)}", where)


def shown(text: str) -> str:
    """A text as a message quotes it: escaped and short."""
    quoted = ascii(text) if not text.isprintable() else repr(text)
    return quoted if len(quoted) <= 60 else f"{quoted[:60]}… ({len(text):,} characters)"
