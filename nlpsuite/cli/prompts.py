"""The work of ``nlpsuite prompts``: make a task's prompts and print them."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import print_json
from nlpsuite.cli.progress import Progress
from nlpsuite.data.text import Input, check_text, read_input
from nlpsuite.errors import PluginError
from nlpsuite.plugins import load_task

if TYPE_CHECKING:
    from nlpsuite.runtime.prompt import Prompt
    from nlpsuite.runtime.tokenizer import Tokenizer
    from nlpsuite.tasks.base import Task

__all__ = ["described", "show_prompts"]

_NO_INPUT = "no input"


def show_prompts(
    task: Task[Any],
    files: tuple[str, ...],
    options: dict[str, Any],
    *,
    texts: tuple[str, ...],
    encoding: str,
    max_parts: int,
    model: str | None,
    adapter: str | None,
    precision: str | None,
    as_json: bool,
    **changes: Any,
) -> int:
    """Print the prompts of every input on stdout, and their settings on stderr."""
    from nlpsuite.data.record import Record
    from nlpsuite.options import make_options
    from nlpsuite.runtime.bundle import Bundle
    from nlpsuite.runtime.tokenizer import Tokenizer
    from nlpsuite.tasks.load import resolve_bundle
    from nlpsuite.tasks.override import PromptOverride
    from nlpsuite.tasks.preview import preview

    override = PromptOverride.read(task, **changes)
    make_options(task.options, options)
    inputs = _inputs(files, texts, encoding)
    progress = Progress()
    try:
        path, notices = resolve_bundle(
            task, model=model, adapter=adapter, precision=precision, reporter=progress
        )
    finally:
        progress.close()
    for notice in () if as_json else notices:
        click.echo(notice, err=True)
    bundle = Bundle.open(path)
    tokenizer = Tokenizer.open(path)
    several = False
    for item in inputs:
        found = preview(
            task, Record(item.text), options, bundle, tokenizer, max_parts=max_parts, override=override
        )
        for number, prompt in enumerate(found.prompts, 1):
            report = _report(prompt, tokenizer)
            place = {"part": number, "parts": len(found.prompts)}
            if as_json:
                origin = {"task": task.name, "source": item.source, **place, "model": bundle.name}
                whole = origin | report | override.report | {"notices": found.notices}
                print_json(whole, indent=None)
                continue
            if len(inputs) > 1 or len(found.prompts) > 1:
                part = f", part {number} of {len(found.prompts)}" if len(found.prompts) > 1 else ""
                click.echo(f"{chr(10) if several else ''}==> {item.source}{part} <==")
            several = True
            _print(tokenizer.segments(prompt))
            click.echo(f"[{bundle.name}] " + "\n  ".join(_lines(report)), err=True)
        for notice in () if as_json or item.source == _NO_INPUT else found.notices:
            click.echo(notice, err=True)
        if not as_json and tokenizer.has_controls(item.text):
            click.echo(
                "The input has characters that look like control tokens; they are sent as text.", err=True
            )
    return 0


def _inputs(files: tuple[str, ...], texts: tuple[str, ...], encoding: str) -> list[Input]:
    if not files and not texts:
        return [Input(_NO_INPUT, "{text}")]
    if files.count("-") > 1:
        raise click.UsageError("Standard input (-) can be read only once.")
    for text in texts:
        check_text(text, "--text")
    return [read_input(path, encoding) for path in files] + [Input("--text", text) for text in texts]


def _print(segments: list[tuple[str, bool]]) -> None:
    """The text as it is sent; on a terminal with its control tokens in colour."""
    coloured = sys.stdout.isatty()
    for text, control in segments:
        click.echo(click.style(text, fg="cyan", dim=True) if control and coloured else text, nl=False)
    click.echo()


def _report(prompt: Prompt, tokenizer: Tokenizer) -> dict[str, Any]:
    """A prompt and its settings as JSON values."""
    from nlpsuite.runtime.number_limit import numbers_of

    ids = tokenizer.encode_prompt(prompt)
    return {
        "text": "".join(text for text, _ in tokenizer.segments(prompt)),
        "prompt_tokens": len(ids),
        "token_ids": ids,
        "prefill": prompt.prefill,
        "choices": list(prompt.choices),
        "stop": list(prompt.stop),
        "max_tokens": None if prompt.choices else prompt.max_tokens,
        "sentence_end_after": prompt.sentence_end_after,
        "numbers": None if prompt.numbers_of is None else sorted(numbers_of(prompt.numbers_of)),
        "sampling": None if prompt.choices else dataclasses.asdict(prompt.sampling),
        "calibration": [
            "".join(text for text, _ in tokenizer.segments(calibration)) for calibration in prompt.calibration
        ],
    }


def _lines(report: dict[str, Any]) -> list[str]:
    """The same for people: only settings that have an effect."""
    from nlpsuite.runtime.prompt import Sampling

    lines = [f"{report['prompt_tokens']:,} tokens"]
    if report["prefill"]:
        lines.append(f"the answer begins with {_quoted(report['prefill'])}")
    if report["choices"]:
        lines.append(f"choices, scored: {', '.join(map(_quoted, report['choices']))}")
        if report["calibration"]:
            lines.append(
                f"calibrated with {len(report['calibration'])} prompts without content; --json shows them"
            )
        return lines
    end = report["sentence_end_after"]
    lines.append(
        f"at most {report['max_tokens']:,} tokens"
        + (f", ending with a sentence after {end:,}" if end is not None else "")
    )
    if report["numbers"] is not None:
        lines.append(f"no other numbers than {', '.join(report['numbers']) or 'none'}")
    if report["stop"]:
        lines.append(f"stops before {', '.join(map(_quoted, report['stop']))}")
    off = dataclasses.asdict(Sampling())
    sampling = {name: value for name, value in report["sampling"].items() if value != off[name]}
    drawn = "greedy" if report["sampling"]["temperature"] == 0 else "drawn"
    lines.append(", ".join([drawn, *(f"{name} {value}" for name, value in sampling.items())]))
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def described(name: str) -> dict[str, Any]:
    """A task's form of prompt with its default options, and the placeholders of its own options.

    Raises:
        PluginError: the task's plugin fails.
    """
    from nlpsuite.data.record import Record
    from nlpsuite.options import GenerationOptions, make_options, option_specs

    task = load_task(name)
    try:
        prompt = task.prompt(Record("{text}"), make_options(task.options, dict(task.sample_options)))
    except Exception as error:  # a plugin's own
        raise PluginError(
            f"The task {name!r} makes no prompt: {type(error).__name__}: {error}",
            hint=f"Run `nlpsuite plugins check {name}`.",
        ) from error
    common = {field.name for field in dataclasses.fields(GenerationOptions)}
    options = [spec.public_name for spec in option_specs(task.options) if spec.name not in common]
    form = "conversation" if prompt.messages else "text"
    return {
        "task": name,
        "form": form,
        "choices": list(prompt.choices),
        "placeholders": ["text", "shots", *options],
    }
