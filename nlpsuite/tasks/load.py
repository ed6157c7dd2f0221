"""A task with its model: what ``nlpsuite.load`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.errors import NlpsuiteError
from nlpsuite.export import store
from nlpsuite.export.base import find_base
from nlpsuite.export.schemes import base_named
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.adapters import NO_ADAPTER, adapter_fault, own_adapter, why_not_merged

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from nlpsuite.export.store import Reporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.tasks.base import Task
    from nlpsuite.tasks.guard import GuardMode
    from nlpsuite.tasks.override import ShotsSource
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["load", "resolve_bundle"]


def load(
    task: str,
    /,
    *,
    model: str | None = None,
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

    The first call on a machine fetches the default model (93 MB) and caches it.

    Args:
        task: a name that ``nlpsuite list`` shows.
        model: None for the default, a bundle directory, a ``.gguf`` file, a Hugging Face
            checkpoint directory, ``hf:owner/name``, or a name that ``nlpsuite models`` shows.
        adapter: a file that ``nlpsuite train adapter`` wrote, merged into the model, which must be
            the base that it was trained on. None for the one that the task brings along, if it does and the
            model is that base; ``none`` for none at all.
        precision: ``int8`` (default), ``int4``, ``fp32``, or ``fp16``, which is for CUDA.
        device: ``auto``, ``cuda`` or ``cpu``.
        threads: of the CPU; 0 uses every core.
        max_parts: most parts a long text may be split into.
        prompt_file: a prompt of your own, a text file with ``{text}`` in it; see docs/prompts.md.
        prompt_template: the same as a text.
        shots: examples that the model is shown first: a file as for training, or pairs of a text
            and its answer.
        max_shots: show only the first so many of them.
        guard: screen the outputs; ``warn`` adds a notice to what is flagged, ``block`` replaces it.
            See docs/guard.md.
        reporter: told of progress while a model is fetched and built.
        options: the task's own.

    Raises:
        NlpsuiteError: its subclasses say what to do next.
    """
    from nlpsuite.options import make_options
    from nlpsuite.runtime.language_model import LanguageModel
    from nlpsuite.tasks.guard import OutputGuard
    from nlpsuite.tasks.override import PromptOverride
    from nlpsuite.tasks.pipeline import Pipeline

    # What is wrong with options and files should not wait for the model.
    loaded = load_task(task)
    override = PromptOverride.read(
        loaded,
        prompt_file=prompt_file,
        prompt_template=prompt_template,
        shots=shots,
        max_shots=max_shots,
    )
    make_options(loaded.options, options)
    output_guard = None
    if guard is not None:
        from nlpsuite.plugins.loading import load as load_kind

        output_guard = OutputGuard(load_kind("guard", "guard"), guard)
    path, notices = resolve_bundle(
        loaded, model=model, adapter=adapter, precision=precision, reporter=reporter
    )
    language_model = LanguageModel.load(path, device=device, threads=threads)
    pipeline = Pipeline(
        loaded, language_model, max_parts=max_parts, override=override, guard=output_guard, **options
    )
    pipeline.notices[:0] = notices
    return pipeline


def resolve_bundle(
    task: Task[Any],
    *,
    model: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> tuple[Path, list[str]]:
    """The bundle that runs a task, built in the cache if need be, and what the user should know about it.

    A task's own adapter is merged where nobody names another and the model is the base that it was trained
    on. With any other model the task runs without it, and a notice says so.

    Args:
        task, model, adapter, precision, reporter: as for ``load``.
        offline: fetch nothing; so do NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1.

    Raises:
        PluginError: the task's own adapter is missing or damaged.
        NlpsuiteError: as ``store.resolve``.
    """
    given = None if adapter == NO_ADAPTER else adapter
    own = own_adapter(task) if adapter is None else None
    base = base_named(model, offline=offline)
    try:
        path = store.resolve(
            base,
            precision=precision,
            adapter=own or given,
            if_it_fits=own is not None,
            reporter=reporter,
            offline=offline,
        )
    except NlpsuiteError as error:
        # It may have been the adapter's fault, and then its author's.
        if own and (fault := adapter_fault(task, own)):
            raise fault from error
        raise
    if own is None:
        return path, []
    built = find_base(base, offline=offline) is None
    notice = why_not_merged(task, own, Bundle.open(path), built=built)
    return path, [notice] if notice else []
