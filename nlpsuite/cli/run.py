"""What ``nlpsuite run TASK`` does: read inputs, run the task on each, print the results."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite import __version__
from nlpsuite.cli import show_error
from nlpsuite.cli.inputs import Input, check_text, read_input
from nlpsuite.cli.pieces import Pieces
from nlpsuite.cli.progress import Progress
from nlpsuite.errors import NlpsuiteError, OptionError, StorageError
from nlpsuite.plugins import find_task
from nlpsuite.plugins.discovery import find_plugin

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.pipeline import Pipeline
    from nlpsuite.tasks.result import Result

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
    """Run a task on every input; one bad input does not stop the others.

    Returns:
        The exit code: 0, that of the first error, or 3 where a guard has blocked an output.
    """
    dialogue = task.conversational and not (files or texts or as_json or output)
    readers = [] if dialogue else list(_readers(files, texts, encoding))
    if output:
        _check_output(Path(output), files, overwrite)
    # Read before the model is loaded: a mistyped name should not wait for it.
    inputs = [_attempt(reader) for reader in readers]
    errors = [item for item in inputs if isinstance(item, NlpsuiteError)]
    if inputs and len(errors) == len(inputs):
        for error in errors:
            show_error(error)
        return errors[0].exit_code
    started = time.perf_counter()
    pipeline = _load(task, options, model_options)
    loaded_in = time.perf_counter() - started
    for notice in pipeline.notices:
        _notice(notice)
    if dialogue:
        from nlpsuite.cli.dialogue import hold_dialogue

        return hold_dialogue(pipeline, encoding) or (_BLOCKED if pipeline.blocked else 0)
    printer = _Printer(
        task, as_json, to_file=output is not None, several=len(inputs) > 1, loaded_in=loaded_in
    )
    code = 0
    for item in inputs:
        failed = item if isinstance(item, NlpsuiteError) else _attempt(partial(printer.run, pipeline, item))
        if isinstance(failed, NlpsuiteError):
            show_error(failed)
            code = code or failed.exit_code
    if output:
        from nlpsuite.files import atomic_write_text

        atomic_write_text(Path(output), printer.collected)
    return code or (_BLOCKED if pipeline.blocked else 0)


def _attempt(action: Callable[[], Any]) -> Any:
    """The action's result, or the error a user can mend."""
    try:
        return action()
    except NlpsuiteError as error:
        return error


def _readers(files: tuple[str, ...], texts: tuple[str, ...], encoding: str) -> Iterator[Callable[[], Input]]:
    if not files and not texts:
        if sys.stdin.isatty():
            raise click.UsageError(
                "Nothing to work on: name a FILE, or use --text TEXT, or - for standard input."
            )
        files = ("-",)
    if files.count("-") > 1:
        raise click.UsageError("Standard input (-) can be read only once.")
    for path in files:
        yield partial(read_input, path, encoding)
    for text in texts:
        yield partial(_given, text)


def _given(text: str) -> Input:
    check_text(text, "--text")
    return Input("--text", text)


def _check_output(output: Path, files: tuple[str, ...], overwrite: bool) -> None:
    for path in files:
        if path != "-" and output.exists() and Path(path).exists() and output.samefile(path):
            raise OptionError(f"The output {output} is also an input.", hint="Choose another name.")
    if output.is_dir():
        raise StorageError(f"The output {output} is a directory.", hint="Name a file.")
    if not output.parent.is_dir():
        raise StorageError(f"There is no directory {output.parent}.", hint="Create it first.")
    if output.exists() and not overwrite:
        raise StorageError(f"The output {output} exists.", hint="Use --overwrite to replace it.")


def _load(task: Task[Any], options: dict[str, Any], model_options: dict[str, Any]) -> Pipeline:
    from nlpsuite.tasks.load import load

    progress = Progress()
    try:
        return load(task.name, reporter=progress, **model_options, **options)
    finally:
        progress.close()


class _Printer:
    """Prints results as text or JSON lines, on stdout or into ``collected``."""

    def __init__(
        self, task: Task[Any], as_json: bool, *, to_file: bool, several: bool, loaded_in: float
    ) -> None:
        self._task, self._as_json, self._to_file = task, as_json, to_file
        self._several, self._loaded_in = several, loaded_in
        self._gap = ""  # between one result and the next header
        self.collected = ""

    def run(self, pipeline: Pipeline, item: Input) -> None:
        from nlpsuite.data.record import Record

        if self._several and not self._as_json:
            self._put(f"{self._gap}==> {item.source} <==\n")
            self._gap = "\n"
        streaming = not self._as_json and not self._to_file and sys.stdout.isatty()
        pieces = Pieces(self._put, _notice)
        result = pipeline.run(Record(item.text), pieces.text if streaming else None, pieces.notice)
        if self._as_json:
            self._put(
                json.dumps(self._report(pipeline, item, result), ensure_ascii=False, allow_nan=False) + "\n"
            )
        elif streaming:
            pieces.end()
        else:
            self._put(result.output.text + "\n")

    def _put(self, text: str) -> None:
        if self._to_file:
            self.collected += text
        else:
            # Lone surrogates and narrow terminal encodings must not end a run.
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()

    def _report(self, pipeline: Pipeline, item: Input, result: Result) -> dict[str, Any]:
        output, bundle, plugin = result.output, pipeline.model.bundle, find_task(self._task.name)
        generating = result.seconds - (result.first_token_seconds or 0)
        several_tokens = result.completion_tokens > 1 and generating > 0
        guard = {} if result.guard is None else {"guard": {**result.guard, "plugin": _guard_plugin()}}
        report: dict[str, Any] = {"task": self._task.name, "source": item.source, "text": output.text}
        adapter = bundle.adapter and {key: bundle.adapter[key] for key in ("task", "sha256")}
        if output.label is not None:
            report |= {"label": output.label, "probabilities": dict(output.probabilities or {})}
        return report | dict(output.data) | {
            "finish_reason": result.finish_reason,
            "usage": {
                "prompt_tokens": result.prompt_tokens,
                "completion_tokens": result.completion_tokens,
                "parts": result.parts,
            },
            "timings": {
                "load_seconds": round(self._loaded_in, 3),
                "first_token_seconds": _rounded(result.first_token_seconds),
                "total_seconds": round(result.seconds, 3),
                "tokens_per_second": _rounded((result.completion_tokens - 1) / generating if several_tokens else None),
            },
            "notices": result.notices,
            "model": {
                "name": bundle.name,
                "precision": bundle.graph("slots").precision,
                "fingerprint": bundle.fingerprint,
                "device": pipeline.model.device.kind,
            } | ({"adapter": adapter} if adapter else {}),
            "plugin": {
                "distribution": plugin.distribution,
                "version": plugin.version,
                "task_version": self._task.version,
            },
            "nlpsuite": __version__,
        } | guard | dict(pipeline.override.report)  # fmt: skip


def _guard_plugin() -> dict[str, str]:
    plugin = find_plugin("guard", "guard")
    return {"distribution": plugin.distribution, "version": plugin.version}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _notice(text: str) -> None:
    click.echo(text, err=True)
