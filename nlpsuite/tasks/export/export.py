"""Export a model as a bundle, and a task with it: what ``nlpsuite export`` does."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import (
    AdapterMismatchError,
    ClientMismatchError,
    NlpsuiteError,
    OptionError,
    TaskNotExportableError,
)
from nlpsuite.export.clients.check import split_clients
from nlpsuite.export.export import ExportReport, export_model
from nlpsuite.options import GenerationOptions, OptionSpec, option_specs
from nlpsuite.plugins import load_task
from nlpsuite.tasks.adapters import adapter_fault, given_adapter, own_adapter
from nlpsuite.tasks.export.subject import Subject
from nlpsuite.tasks.export.task_file import TASK_FILE, describe_task, task_file
from nlpsuite.tasks.export.template import NotATemplateError
from nlpsuite.tasks.load import check_options
from nlpsuite.tasks.override import PromptOverride, ShotsSource

if TYPE_CHECKING:
    from nlpsuite.models.spec import ModelSpec, Reporter
    from nlpsuite.runtime.bundle import Bundle
    from nlpsuite.tasks.base import Task

__all__ = ["export"]


def export(
    model: str | os.PathLike[str] | ModelSpec | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    task: str | Task[Any] | None = None,
    precision: str = "int8",
    layout: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    name: str | None = None,
    verify: bool = True,
    verify_with: str = "",
    overwrite: bool = False,
    prompt_file: str | os.PathLike[str] | None = None,
    prompt_template: str | None = None,
    shots: ShotsSource | None = None,
    max_shots: int | None = None,
    golden_texts: Sequence[str] = (),
    reporter: Reporter | None = None,
    offline: bool = False,
    **options: Any,
) -> ExportReport:
    """Export a model, optionally with an adapter merged into it, as a bundle; and a task with it.

    The bundle appears at ``output`` complete and verified, or not at all. With a task it has one more file, task.json,
    with which a program in any language can do the task; docs/task-file.md describes it.

    Args:
        model: None for the default model; a ``.gguf`` file, Hugging Face directory or training run;
            ``hf:owner/name``.
        output: the directory to write; by default ``exported/<model>-<precision>`` or similar in the
            current directory.
        task: a name that ``nlpsuite list`` shows, or a task of your own.
        precision: ``fp32``, ``fp16`` (for CUDA and WebGPU), ``int8`` or ``int4``; several, separated by commas,
            for a portable bundle with a graph of each; the first is task.json's default.
        layout: ``slots`` for nlpsuite's runtime, ``portable`` for other apps (onnxruntime-genai,
            transformers.js, optimum). By default portable with a task, else slots.
        adapter: a file written by ``nlpsuite train adapter``, or a LoRA directory written by peft. None merges the
            task's own adapter if it has one and the model fits; ``none`` merges none.
        name: display name in the manifest; by default the model's own.
        verify: compare the graph with torch; needs ``nlpsuite[train]``.
        verify_with: other programs to run the finished bundle with, separated by commas: ``ort``, ``genai``,
            ``optimum``, ``transformersjs``, ``browser``. Those that aren't installed are reported.
        overwrite: replace a bundle at ``output``.
        prompt_file, prompt_template, shots, max_shots: change the task's prompt, as for ``load``.
        golden_texts: texts for the task file's golden examples, in place of the usual ones.
        reporter: receives progress.
        offline: download nothing.
        options: the task's, fixed for whoever runs the bundle.

    Raises:
        OptionError: no such precision, layout or option; ``model`` is already a bundle; ``output`` exists.
        TaskNotExportableError: the task with these options can't be described in a file; says which can.
        UnknownTaskError: no plugin provides the task.
        PluginError: the task's plugin or its adapter is broken.
        ClientMismatchError: a program of ``verify_with`` computes something else; the bundle is there.
        NlpsuiteError: as ``export_model``.
    """
    if split_clients(verify_with) and layout == "slots":
        raise OptionError(
            "Other programs can only run a portable bundle.",
            hint="Leave out --layout slots, or --verify-with.",
        )
    settings: dict[str, Any] = {
        "precision": precision,
        "name": name,
        "verify": verify,
        "overwrite": overwrite,
        "reporter": reporter,
        "offline": offline,
    }
    if task is None:
        _refuse_without_task(
            {"prompt_file": prompt_file, "prompt_template": prompt_template, "shots": shots, **options}
        )
        given = given_adapter(None, adapter)
        plain = layout or ("portable" if verify_with else "slots")
        return _checked(
            export_model(model, output, layout=plain, adapter=given, **settings), verify_with, reporter
        )
    loaded = load_task(task) if isinstance(task, str) else task
    override = PromptOverride.read(
        loaded, prompt_file=prompt_file, prompt_template=prompt_template, shots=shots, max_shots=max_shots
    )
    check_options(loaded, options, model=model, adapter=adapter)
    companion = _TaskCompanion(loaded, options, override, golden_texts)
    settings |= {"layout": layout or "portable", "companion": companion, "suffix": loaded.name}
    report = _export_with_adapter(loaded, model, output, adapter, settings)
    report = dataclasses.replace(report, task=loaded.name, notices=(*report.notices, *companion.notices))
    return _checked(report, verify_with, reporter)


def _checked(report: ExportReport, verify_with: str, reporter: Reporter | None) -> ExportReport:
    """The report with what other programs computed. Raises ClientMismatchError if that is something else."""
    if not verify_with:
        return report
    from nlpsuite.export.clients.check import check_clients

    def on_client(name: str) -> None:
        if reporter:
            reporter.stage(f"Running it with {name}", None)

    try:
        clients = tuple(check_clients(report.bundle, [verify_with], on_client))
    finally:
        if reporter:
            reporter.close()
    if wrong := [client for client in clients if not client.good]:
        raise ClientMismatchError(
            f"{report.bundle.path} was written, but not every program agrees with nlpsuite:\n"
            + "\n".join(map(str, clients)),
            hint=f"Use another precision or version for {wrong[0].client}, or report it with these lines.",
        )
    return dataclasses.replace(report, clients=clients)


def _refuse_without_task(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"{name} is given without a task.", hint="Name a task, as in task='sentiment'.")


def _export_with_adapter(
    task: Task[Any],
    model: str | os.PathLike[str] | ModelSpec | None,
    output: str | os.PathLike[str] | None,
    adapter: str | os.PathLike[str] | None,
    settings: Mapping[str, Any],
) -> ExportReport:
    """Export with the adapter that is named, or with the task's own if the model is the one it was trained on."""
    own = own_adapter(task) if adapter is None else None
    if own is None:
        return export_model(model, output, adapter=given_adapter(task, adapter), **settings)
    try:
        return export_model(model, output, adapter=own, **settings)
    except AdapterMismatchError:
        from nlpsuite.models.adapter import Adapter

        report = export_model(model, output, **settings)
        notice = (
            f"The adapter of {task.name} was trained on {Adapter.open(own).info.base}, not on "
            f"{report.bundle.name}: exported without it. --adapter none silences this notice."
        )
        return dataclasses.replace(report, notices=(notice,))
    except NlpsuiteError as error:
        if fault := adapter_fault(task, own):
            raise fault from error
        raise


class _TaskCompanion:
    """Writes task.json into a bundle."""

    def __init__(
        self,
        task: Task[Any],
        options: Mapping[str, Any],
        override: PromptOverride,
        golden_texts: Sequence[str],
    ) -> None:
        self._task, self._options, self._override = task, options, override
        self._golden_texts = golden_texts
        self.notices: tuple[str, ...] = ()

    def check(self, draft: Bundle) -> None:
        """Describe the task before the graph is written, which takes much longer."""
        from nlpsuite.runtime.tokenizer import Tokenizer

        subject = Subject.of(self._task, self._options, draft, Tokenizer.open(draft.path), self._override)
        self.notices = subject.notices
        try:
            describe_task(subject)
        except NotATemplateError as error:
            raise _not_exportable(subject, self._options, error) from None

    def files(self, bundle: Bundle) -> Mapping[str, str]:
        from nlpsuite.runtime.plain_model import PlainModel
        from nlpsuite.runtime.tokenizer import Tokenizer

        models = (PlainModel.open(bundle, graph) for graph in bundle.graphs)  # one at a time in memory
        subject = Subject.of(self._task, self._options, bundle, Tokenizer.open(bundle.path), self._override)
        return {TASK_FILE: task_file(subject, models, self._golden_texts)}


def _not_exportable(
    subject: Subject, given: Mapping[str, Any], error: NotATemplateError
) -> TaskNotExportableError:
    name = subject.task.name
    working = [flag for flag, changed in _variants(subject) if _is_describable(changed)]
    if working:
        hint = f"What works: {', '.join(working)}."
    else:
        hint = f"`nlpsuite run {name}` and `nlpsuite serve` do it. docs/task-file.md says what a file can describe."
    settings = ", ".join(f"{key.rstrip('_')}={value!r}" for key, value in given.items())
    return TaskNotExportableError(
        f"{name}{f' with {settings}' if settings else ''} can't be exported as a file: {error}.", hint=hint
    )


def _variants(subject: Subject) -> list[tuple[str, Subject]]:
    """The subject with one of its options changed, and the flag that does it."""
    generic = {spec.name for spec in option_specs(GenerationOptions)}
    found = []
    for spec in option_specs(type(subject.options)):
        for value, flag in _values(spec) if spec.name not in generic else ():
            if value == getattr(subject.options, spec.name):
                continue
            try:
                options = dataclasses.replace(subject.options, **{spec.name: value})
                task = subject.task.for_options(options)
            except NlpsuiteError:
                continue
            solver = dataclasses.replace(subject.solver, task=task)
            found.append((flag, dataclasses.replace(subject, task=task, options=options, solver=solver)))
    return found


def _values(spec: OptionSpec) -> list[tuple[Any, str]]:
    flag = f"--{spec.public_name.replace('_', '-')}"
    if spec.type is bool:
        return [(True, flag), (False, f"--no-{flag[2:]}")]
    return [(choice, f"{flag} {choice}") for choice in spec.choices]


def _is_describable(subject: Subject) -> bool:
    try:
        describe_task(subject)
    except (NotATemplateError, NlpsuiteError):
        return False
    return True
