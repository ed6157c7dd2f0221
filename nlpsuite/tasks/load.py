"""A task with its model: what ``nlpsuite.load`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.errors import NlpsuiteError
from nlpsuite.export.cache import get_bundle
from nlpsuite.models.bundle_cache import DEFAULT_PRECISION
from nlpsuite.models.resolve import resolve_model
from nlpsuite.models.spec import ModelSpec
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.adapters import NO_ADAPTER, adapter_fault, given_adapter, own_adapter, why_not_merged

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from nlpsuite.models.spec import Reporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.guard import GuardMode
    from nlpsuite.tasks.override import ShotsSource
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["check_options", "load", "resolve_bundle"]


def load(
    task: str | Task[Any],
    /,
    *,
    model: str | os.PathLike[str] | None = None,
    adapter: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    device: DeviceChoice = "auto",
    threads: int = 0,
    max_parts: int = 64,
    prompt_file: str | os.PathLike[str] | None = None,
    prompt_template: str | None = None,
    shots: ShotsSource | None = None,
    max_shots: int | None = None,
    guard: GuardMode | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> Pipeline:
    """A task with a model, ready to be called with texts.

    The first call on a machine downloads the default model (93 MB) and caches it.

    Args:
        task: a name that ``nlpsuite list`` shows, or a task of your own.
        model: None for the default, a bundle directory, a ``.gguf`` file, a Hugging Face directory or
            training run, ``hf:owner/name``, or a name that ``nlpsuite models`` shows.
        adapter: a file from ``nlpsuite train adapter`` or a LoRA directory from peft, merged into the
            model, which must be the one it was trained on; or the name of one that the task ships, such as
            ``python`` for ``complete``. None uses the task's own adapter if it has one and the model fits; ``none``
            uses no adapter at all.
        precision: ``int8`` (default on the CPU), ``int4``, ``fp32``, or ``fp16`` (default with CUDA).
        device: ``auto``, ``cuda`` or ``cpu``.
        threads: CPU threads; 0 uses every core.
        max_parts: maximum number of parts a long text is split into.
        prompt_file: a text file with a prompt of your own, with ``{text}`` in it; see docs/prompts.md.
        prompt_template: the same as a string.
        shots: examples to show the model first: a file as for training, or pairs of text and answer.
        max_shots: use only the first ``max_shots`` of them.
        guard: screen the outputs; ``warn`` adds a notice to flagged ones, ``block`` replaces them.
            See docs/guard.md.
        reporter: receives progress while a model is downloaded and built.
        options: the task's own options.

    Raises:
        NlpsuiteError: its subclasses say what to do next.
    """
    from nlpsuite.runtime.language_model import LanguageModel
    from nlpsuite.tasks.guard import OutputGuard
    from nlpsuite.tasks.override import PromptOverride
    from nlpsuite.tasks.pipeline import Pipeline

    # Errors in options and files should not wait for the model.
    loaded = load_task(task) if isinstance(task, str) else task
    override = PromptOverride.read(
        loaded,
        prompt_file=prompt_file,
        prompt_template=prompt_template,
        shots=shots,
        max_shots=max_shots,
    )
    check_options(loaded, options, model=model, adapter=adapter)
    output_guard = None
    if guard is not None:
        from nlpsuite.plugins.loading import load as load_kind

        output_guard = OutputGuard(load_kind("guard", "guard"), guard)
    path, notices = resolve_bundle(
        loaded, model=model, adapter=adapter, precision=precision, device=device, reporter=reporter
    )
    language_model = LanguageModel.load(path, device=device, threads=threads)
    pipeline = Pipeline(
        loaded, language_model, max_parts=max_parts, override=override, guard=output_guard, **options
    )
    pipeline.notices[:0] = notices
    return pipeline


def check_options(
    task: Task[Any],
    options: Mapping[str, Any],
    *,
    model: str | os.PathLike[str] | ModelSpec | None,
    adapter: str | os.PathLike[str] | None,
) -> None:
    """Raise OptionError for options that are wrong or don't suffice, before a model is loaded.

    A named model or adapter may bring the options that are missing.
    """
    from nlpsuite.options import make_options

    made = make_options(task.options, dict(options))
    if model is None and adapter in (None, NO_ADAPTER) and not task.adapter:
        task.for_options(made)


def resolve_bundle(
    task: Task[Any] | None,
    *,
    model: str | os.PathLike[str] | ModelSpec | None = None,
    adapter: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    device: DeviceChoice = "cpu",
    reporter: Reporter | None = None,
    offline: bool = False,
) -> tuple[Path, list[str]]:
    """The bundle that runs a task, built in the cache if necessary, and notices for the user.

    A task's own adapter is merged if no other is named and the model is the one it was trained on. With
    any other model the task runs without it, and a notice says so.

    Args:
        task: None for the model itself.
        model, adapter, precision, device, reporter: as for ``load``.
        offline: download nothing; NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1 have the same effect.

    Raises:
        PluginError: the task's own adapter is missing or damaged.
        NlpsuiteError: as ``get_bundle``.
    """
    given = given_adapter(task, adapter)
    own = own_adapter(task) if task is not None and adapter is None else None
    found = resolve_model(model, precision=precision, offline=offline)
    if precision is None and isinstance(found, ModelSpec):
        precision = _default_precision(device)
    try:
        path = get_bundle(
            found,
            precision=precision,
            adapter=own or given,
            adapter_optional=own is not None,
            reporter=reporter,
            offline=offline,
        )
    except NlpsuiteError as error:
        # If the adapter caused it, the plugin is to blame.
        if task is not None and own and (fault := adapter_fault(task, own)):
            raise fault from error
        raise
    if task is None or own is None:
        return path, []
    notice = why_not_merged(task, own, Bundle.open(path), is_bundle=not isinstance(found, ModelSpec))
    return path, [notice] if notice else []


def _default_precision(device: DeviceChoice) -> str:
    """fp16 where CUDA will be used: the integer products of int8 have no kernel there."""
    if device == "cpu":
        return DEFAULT_PRECISION
    from nlpsuite.runtime.device import choose_device

    return "fp16" if choose_device(device).kind == "cuda" else DEFAULT_PRECISION
