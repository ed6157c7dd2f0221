"""What ``nlpsuite run TASK`` does: read inputs, run the task on each, print the results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import dump_json, error_object, show_error
from nlpsuite.cli.pieces import Pieces
from nlpsuite.cli.progress import Progress
from nlpsuite.data.record import Record
from nlpsuite.data.text import Input, check_text, read_input
from nlpsuite.errors import NlpsuiteError, StdoutError
from nlpsuite.files import atomic_write_bytes, check_output

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["run_task"]

_BLOCKED = 3


def run_task(
    task: Task[Any],
    files: tuple[str, ...],
    options: dict[str, Any],
    *,
    texts: tuple[str, ...],
    encoding: str,
    as_json: bool,
    output: str | None,
    overwrite: bool,
    **model_options: Any,
) -> int:
    """Run a task on every input; a bad input doesn't stop the others.

    Returns:
        The exit code: 0, that of the first error, or 3 if a guard blocked an output.
    """
    dialogue = task.conversational and not (files or texts or as_json or output)
    sources = [] if dialogue else _sources(files, texts)
    if output:
        check_output(Path(output), overwrite=overwrite, inputs=[Path(path) for path in files if path != "-"])
    # Read before the model is loaded: a mistyped name should not have to wait for it.
    inputs = [(source, _attempt(partial(_read, source, text, encoding))) for source, text in sources]
    printer = _Printer(task, as_json, to_file=output is not None, several=len(inputs) > 1)
    pipeline = None
    if dialogue or any(isinstance(item, Input) for _, item in inputs):
        pipeline = printer.load(options, model_options)
    if pipeline is not None and dialogue:
        from nlpsuite.cli.dialogue import hold_dialogue

        return hold_dialogue(pipeline, encoding) or (_BLOCKED if pipeline.blocked else 0)
    errors = [printer.run(pipeline, source, item) for source, item in inputs]
    codes = [error.exit_code for error in errors if error is not None]
    if output and pipeline is not None:
        atomic_write_bytes(Path(output), printer.collected.encode(errors="surrogateescape"))
    return codes[0] if codes else _BLOCKED if pipeline is not None and pipeline.blocked else 0


def _sources(files: tuple[str, ...], texts: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """Names of the inputs; those given with --text also have their text."""
    if not files and not texts:
        if sys.stdin.isatty():
            raise click.UsageError(
                "Nothing to work on. Name a FILE, or use --text TEXT, or - for standard input."
            )
        files = ("-",)
    if files.count("-") > 1:
        raise click.UsageError("Standard input (-) can be read only once.")
    return [*((path, None) for path in files), *(("--text", text) for text in texts)]


def _read(source: str, text: str | None, encoding: str) -> Input:
    if text is None:
        return read_input(source, encoding)
    check_text(text, source)
    return Input(source, text)


def _attempt(action: Callable[[], Any]) -> Any:
    """The action's result, or the error a user can fix."""
    try:
        return action()
    except StdoutError:
        raise
    except NlpsuiteError as error:
        return error


class _Printer:
    """Prints results as text or as lines of JSON, to stdout or into ``collected``."""

    def __init__(self, task: Task[Any], as_json: bool, *, to_file: bool, several: bool) -> None:
        self._task, self._as_json, self._to_file, self._several = task, as_json, to_file, several
        self._load_seconds = 0.0
        self._gap = ""  # between a result and the next header
        self.collected = ""

    def load(self, options: dict[str, Any], model_options: dict[str, Any]) -> Pipeline:
        """The task with its model; shows progress and notices on stderr."""
        from nlpsuite.tasks.load import load

        started = time.perf_counter()
        progress = Progress()
        try:
            pipeline = load(self._task, reporter=progress, **model_options, **options)
        finally:
            progress.close()
        self._load_seconds = time.perf_counter() - started
        for notice in pipeline.notices:
            _notice(notice)
        return pipeline

    def run(
        self, pipeline: Pipeline | None, source: str, item: Input | NlpsuiteError
    ) -> NlpsuiteError | None:
        """Run the task on an input and print the result, or show why there is none; returns the error."""
        if isinstance(item, NlpsuiteError):
            error: NlpsuiteError | None = item
        else:
            assert pipeline is not None
            error = _attempt(partial(self._run, pipeline, item))
        if error is not None:
            show_error(error)
            if self._as_json:
                self._put_json({"task": self._task.name, "source": source, **error_object(error)})
        return error

    def _run(self, pipeline: Pipeline, item: Input) -> None:
        if self._several and not self._as_json:
            self._put(f"{self._gap}==> {item.source} <==\n")
            self._gap = "\n"
        streaming = not self._as_json and not self._to_file and sys.stdout.isatty()
        pieces = Pieces(self._put, _notice)
        show: Callable[[str], None] = pieces.text if streaming else lambda piece: None
        result = pipeline.run(Record(item.text), show, pieces.notice)
        if self._as_json:
            from nlpsuite.tasks.report import run_report

            self._put_json(run_report(pipeline, result, source=item.source, load_seconds=self._load_seconds))
        elif streaming:
            pieces.end()
        else:
            self._put(result.output.text + "\n")

    def _put_json(self, value: dict[str, Any]) -> None:
        self._put(dump_json(value, "utf-8" if self._to_file else sys.stdout.encoding) + "\n")

    def _put(self, text: str) -> None:
        if self._to_file:
            self.collected += text
        else:
            sys.stdout.write(text)
            sys.stdout.flush()


def _notice(text: str) -> None:
    click.echo(text, err=True)
