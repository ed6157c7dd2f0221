"""The Python interface: ``nlpsuite.load("summarize")(text)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.export import store
from nlpsuite.plugins import load_task
from nlpsuite.plugins.bases import base_named

if TYPE_CHECKING:
    import os

    from nlpsuite.export.store import Reporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.tasks.adjust import ShotsGiven
    from nlpsuite.tasks.guard import GuardMode
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["load"]


def load(
    task: str,
    *,
    model: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    device: DeviceChoice = "auto",
    threads: int = 0,
    max_parts: int = 64,
    prompt_file: str | os.PathLike[str] | None = None,
    prompt_template: str | None = None,
    shots: ShotsGiven | None = None,
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
            the base that it was trained on.
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
    from nlpsuite.runtime.language_model import LanguageModel
    from nlpsuite.tasks.adjust import adjust
    from nlpsuite.tasks.guard import GuardedPipeline, check_mode
    from nlpsuite.tasks.options import make_options
    from nlpsuite.tasks.pipeline import Pipeline

    # What is wrong with options and files should not wait for the model.
    loaded = adjust(
        load_task(task),
        prompt_file=prompt_file,
        prompt_template=prompt_template,
        shots=shots,
        max_shots=max_shots,
    )
    make_options(loaded.options, options)
    screener = None
    if guard is not None:
        from nlpsuite.plugins.loading import load as load_kind

        check_mode(guard)
        screener = load_kind("guard", "guard")
    path = store.resolve(base_named(model), precision=precision, adapter=adapter, reporter=reporter)
    language_model = LanguageModel.load(path, device=device, threads=threads)
    if guard is not None and screener is not None:
        return GuardedPipeline(loaded, language_model, screener, guard, max_parts, **options)
    return Pipeline(loaded, language_model, max_parts=max_parts, **options)
